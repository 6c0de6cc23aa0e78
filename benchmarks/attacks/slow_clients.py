"""What others wait while slow clients hold connections to a running Galley.

    python benchmarks/attacks/slow_clients.py --port 8000 [--seconds 20] [--from 127.0.0.2]

Against this machine only (loopback), with fixed numbers of connections and for a fixed time each: half-sent headers,
bodies that come byte by byte, clients that never read what they ask for, connections of which one half is closed, and
idle kept-alive ones. Meanwhile `/healthz` and the sign-in page are asked once a second, over new connections.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PROBES = ("/healthz", "/accounts/login/")
PATIENCE = 35.0


@dataclass
class Attack:
    name: str
    connections: int
    first: bytes
    #: Sent by each once a second.
    then: bytes = b""
    half_closed: bool = False
    reads: bool = True
    answered: int = 0
    closed: int = 0
    open: list[socket.socket] = field(default_factory=list)


def attacks() -> list[Attack]:
    head = b"Host: localhost\r\nUser-Agent: slow\r\n"
    body = b"POST /accounts/login/ HTTP/1.1\r\n" + head + b"Content-Length: 100000\r\n\r\n"
    page = b"GET /accounts/login/ HTTP/1.1\r\n" + head + b"\r\n"
    return [
        Attack("40 half-sent headers", 40, b"GET / HTTP/1.1\r\n" + head, then=b"X: y\r\n"),
        Attack("200 half-sent headers", 200, b"GET / HTTP/1.1\r\n" + head, then=b"X: y\r\n"),
        Attack("18 slow bodies", 18, body, then=b"a"),
        Attack("50 slow bodies", 50, body, then=b"a"),
        Attack("50 clients that never read", 50, page * 400, reads=False),
        Attack("100 half-closed, headers half-sent", 100, b"GET / HTTP/1.1\r\n" + head, half_closed=True),
        Attack("1,000 idle after one answer", 1000, b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n"),
    ]


def ask(port: int, path: str) -> float | None:
    """Seconds until the whole answer; None when none came."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := client.recv(65536):
                answer += piece
                client.settimeout(max(0.1, began + PATIENCE - time.monotonic()))
    except OSError:
        return None
    return time.monotonic() - began if answer.startswith(b"HTTP/1.1 200") else None


def begin(attack: Attack, port: int, source: str) -> None:
    for _ in range(attack.connections):
        client = socket.socket()
        if not attack.reads:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(5)
        try:
            client.bind((source, 0))
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            client.send(attack.first)
            if attack.half_closed:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            attack.closed += 1
            client.close()
            continue
        attack.open.append(client)


def go_on(attack: Attack) -> None:
    """Sends the next byte over each; lets go of those that the server has closed."""
    for client in list(attack.open):
        try:
            if attack.reads:
                with contextlib.suppress(BlockingIOError):
                    if not (piece := client.recv(65536)):
                        raise ConnectionResetError
                    attack.answered += piece.startswith(b"HTTP/1.1")
            if attack.then:
                client.send(attack.then)
        except BlockingIOError:
            continue
        except OSError:
            attack.closed += 1
            attack.open.remove(client)
            client.close()


@contextlib.contextmanager
def under(attack: Attack, port: int, source: str) -> Iterator[Callable[[], None]]:
    begin(attack, port, source)
    try:
        yield lambda: go_on(attack)
    finally:
        for client in attack.open:
            client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=20, help="of each attack")
    parser.add_argument(
        "--from", dest="source", default="127.0.0.2", help="address of the attackers, in 127.0.0.0/8"
    )
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the attacks, from 0")
    options = parser.parse_args()
    if not options.source.startswith("127."):
        raise SystemExit("The attackers' address has to be one of this machine: 127.x.x.x.")
    chosen = [each for number, each in enumerate(attacks()) if options.only is None or number in options.only]
    print(f"{'attack':<38}{'asked':<20}{'answered':>9}{'median':>10}{'longest':>10}   connections left")
    for path in PROBES:
        times = [ask(options.port, path) for _ in range(5)]
        report("none", path, times, "")
    for attack in chosen:
        with under(attack, options.port, options.source) as go_on_with_it:
            times_of: dict[str, list[float | None]] = {path: [] for path in PROBES}
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                for path in PROBES:
                    times_of[path].append(ask(options.port, path))
                go_on_with_it()
                time.sleep(1)
            left = f"{len(attack.open)} of {attack.connections}"
        for path, times in times_of.items():
            report(attack.name, path, times, left)
        time.sleep(2)


def report(attack: str, path: str, times: list[float | None], left: str) -> None:
    known = [each for each in times if each is not None]
    middle, longest = (f"{statistics.median(known):.2f} s", f"{max(known):.2f} s") if known else ("–", "–")
    print(
        f"{attack:<38}{path:<20}{f'{len(known)}/{len(times)}':>9}{middle:>10}{longest:>10}   {left}",
        flush=True,
    )


if __name__ == "__main__":
    main()
