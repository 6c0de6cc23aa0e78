"""One POST to one address that was looked at before.

By the standard library: it lets the connection be made here, to the very address that `targets.look_at` passed, with
the certificate checked for the name; what follows redirects, proxies of the environment or the name once more by
itself would have to be talked out of it. Everything ends after ten seconds, however slowly the other side writes.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from models_app.webhooks.targets import Inside, NotThere, Resolver, Target, look_at, parse, resolve

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
MOST_OF_AN_ANSWER = 4096


@dataclass(frozen=True)
class Answer:
    """`status` is None where no answer came; `words` say what happened."""

    status: int | None
    words: str
    text: str = ""
    address: str = ""
    milliseconds: int = 0

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, inside: Inside, resolver: Resolver = resolve
) -> Answer:
    """Never raises for what the other side does."""
    began = time.monotonic()
    address = ""
    try:
        target = parse(url)
        addresses = look_at(target, resolver(target.host, target.port, CONNECT_SECONDS), inside)
        connection, address = _connect(target, addresses)
        with _Deadline(connection, began + TOTAL_SECONDS) as deadline:
            try:
                status, text = _ask(target, connection, body, headers, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise NotThere(deadline.words or _what(error)) from error
    except NotThere as refused:
        return Answer(None, str(refused)[:300], address=address, milliseconds=_since(began))
    return Answer(status, _words(status), text, address, _since(began))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _connect(target: Target, addresses: list[str]) -> tuple[socket.socket, str]:
    """To the first that answers. Raises NotThere."""
    until = time.monotonic() + CONNECT_SECONDS
    words = ""
    for address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, target.port), timeout=left), address
        except OSError as error:
            words = _what(error)
    raise NotThere(words or f"No connection within {CONNECT_SECONDS:.0f} seconds.")


class _Deadline:
    """Ends the connection under its reader or writer: a timeout of the socket begins again with every byte."""

    def __init__(self, connection: socket.socket, at: float) -> None:
        self.words = ""
        self._connection = connection
        self._left = max(0.0, at - time.monotonic())
        self._timer = threading.Timer(self._left, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._connection.settimeout(self._left + 1)
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._connection.close()

    def _end(self) -> None:
        self.words = f"It did not answer within {TOTAL_SECONDS:.0f} seconds."
        with suppress(OSError):  # it has ended by itself
            self._connection.shutdown(socket.SHUT_RDWR)


def _ask(
    target: Target,
    connection: socket.socket,
    body: bytes,
    headers: Mapping[str, str],
    deadline: _Deadline,
) -> tuple[int, str]:
    """The status decides, where the answer's head came in time; of the body, what came is kept. Raises NotThere."""
    with _secured(target, connection) as secured:
        asking = http.client.HTTPConnection(target.host, target.port)
        asking.sock = secured
        asking.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": target.host_header, **headers, "Connection": "close"}.items():
            asking.putheader(name, value)
        asking.putheader("Content-Length", str(len(body)))
        asking.endheaders(body)
        answer = asking.getresponse()
        if deadline.words:  # a head that was cut off reads like a whole one
            raise NotThere(deadline.words)
        read = b""
        with suppress(OSError, http.client.HTTPException, ValueError):
            read = answer.read(MOST_OF_AN_ANSWER)
        return answer.status, read.decode("utf-8", "replace").replace("\0", "")


def _secured(target: Target, connection: socket.socket) -> socket.socket:
    """A second object for the same connection, so that the deadline can end it during the handshake too."""
    twin = connection.dup()
    twin.settimeout(connection.gettimeout())
    if target.scheme == "http":
        return twin
    return ssl.create_default_context().wrap_socket(twin, server_hostname=target.host)


def _what(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not trusted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return f"No connection by TLS: {error.reason or error}."
    if isinstance(error, TimeoutError):
        return f"No connection within {CONNECT_SECONDS:.0f} seconds."
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "It ended the connection without an answer."
    if isinstance(error, http.client.HTTPException):
        return f"Its answer is not HTTP: {type(error).__name__}."
    return f"No connection: {getattr(error, 'strerror', None) or error}."


def _words(status: int) -> str:
    if 200 <= status < 300:
        return f"It answered {status}."
    if 300 <= status < 400:
        return f"It answered {status} and redirects; redirects are not followed."
    return f"It answered {status}."
