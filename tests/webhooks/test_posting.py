"""One POST, against receivers that misbehave."""

from __future__ import annotations

import ssl
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from models_app.webhooks import posting
from models_app.webhooks.posting import Answer
from models_app.webhooks.targets import Inside
from tests.webhooks.receiver import answers, certificate, drips, hangs, receiver, server_with, speaks

HERE = Inside(networks=(ip_network("127.0.0.0/8"),))


def post(url: str, inside: Inside = HERE, body: bytes = b"{}", to: str = "127.0.0.1") -> Answer:
    return posting.post(url, body, {"X-Galley-Event": "x"}, inside=inside, resolver=lambda *asked: [to])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(posting, "CONNECT_SECONDS", 0.5)


def test_what_is_sent_arrives_as_it_is() -> None:
    with receiver(answers(202, b"Danke sch\xc3\xb6n \0")) as to:
        answer = post(to.url + "?key=a%20b", body='{"ü": 1}'.encode())
    (request,) = to.requests
    assert (request.path, request.body) == ("/hook?key=a%20b", '{"ü": 1}'.encode())
    assert request.headers["Host"] == f"127.0.0.1:{to.port}"
    assert request.headers["X-Galley-Event"] == "x"
    assert (answer.status, answer.taken, answer.text, answer.address) == (
        202,
        True,
        "Danke schön ",
        "127.0.0.1",
    )
    assert answer.words == "It answered 202."


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_other_answers_are_not_taken(status: int) -> None:
    with receiver(answers(status)) as to:
        answer = post(to.url)
    assert (answer.status, answer.taken, answer.words) == (status, False, f"It answered {status}.")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_inside_is_not_followed(status: int) -> None:
    with receiver() as secret, receiver(answers(status, Location=secret.url)) as to:
        answer = post(to.url)
    assert (answer.taken, len(to.requests), secret.requests) == (False, 1, [])
    assert "not followed" in answer.words


def test_of_an_endless_answer_four_kibibytes_are_read() -> None:
    with receiver(answers(200, b"x" * 5_000_000)) as to:
        answer = post(to.url)
    assert (answer.taken, len(answer.text)) == (True, 4096)


def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """The name is asked for once: what it says the next moment gains nothing."""
    said = [["127.0.0.1"], ["10.0.0.1"]]
    with receiver() as to:
        answer = posting.post(
            f"http://rebinding.example.org:{to.port}/",
            b"{}",
            {},
            inside=HERE,
            resolver=lambda *asked: said.pop(0),
        )
    assert (answer.taken, answer.address, said) == (True, "127.0.0.1", [["10.0.0.1"]])
    assert to.requests[0].headers["Host"] == f"rebinding.example.org:{to.port}"


def test_nothing_is_connected_to_that_is_not_allowed() -> None:
    with receiver() as to:
        answer = post(to.url, inside=Inside())
    assert (answer.status, answer.taken, to.requests) == (None, False, [])
    assert "no public address" in answer.words


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("behaviour", [hangs(3), drips(0.05)], ids=["hangs", "drips"])
def test_who_hangs_or_drips_is_left_after_the_limit(behaviour: object) -> None:
    with receiver(behaviour) as to:  # type: ignore[arg-type]
        began = time.monotonic()
        answer = post(to.url)
        took = time.monotonic() - began
    assert (answer.status, answer.taken) == (None, False)
    assert answer.words == "It did not answer within 1 seconds."
    assert 0.9 < took < 2.5
    assert 900 < answer.milliseconds < 2500


@pytest.mark.usefixtures("short")
def test_the_status_decides_where_the_body_does_not_come() -> None:
    with speaks(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nthe beginning") as port:
        answer = post(f"http://127.0.0.1:{port}/")
    assert (answer.taken, answer.status) == (True, 200)


@pytest.mark.parametrize(
    "first",
    [
        b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 99999 No\r\n\r\n", b"\xff" * 70_000,
        b"HTTP/1.1 200 OK\r\nX" + b"x" * 70_000,
    ],
    ids=["nothing", "another protocol", "no status", "bytes", "a header without end"],
)  # fmt: skip
def test_what_is_no_answer_is_none(first: bytes) -> None:
    with speaks(first) as port:
        answer = post(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.taken) == (None, False)
    assert answer.words.startswith(("It ended the connection", "Its answer is not HTTP", "No connection"))


def test_a_port_where_nobody_is_says_so() -> None:
    with speaks(b"") as port:
        pass
    answer = post(f"http://127.0.0.1:{port}/")
    assert (answer.taken, answer.words) == (False, "No connection: Connection refused.")


# ---------------------------------------------------------------- TLS


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with receiver(tls=server_with(certificate(tmp_path))) as to:
        answer = post(f"https://hooks.example.org:{to.port}/")
    assert (answer.taken, to.requests) == (False, [])
    assert "not trusted" in answer.words


@pytest.mark.parametrize(("name", "taken"), [("hooks.example.org", True), ("other.example.org", False)])
def test_a_certificate_is_for_the_name_and_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, taken: bool
) -> None:
    trusted = certificate(tmp_path)
    make = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: make(cafile=str(trusted)))
    with receiver(tls=server_with(trusted)) as to:
        answer = post(f"https://{name}:{to.port}/")
    assert (answer.taken, len(to.requests)) == (taken, int(taken))
    assert taken or "not trusted" in answer.words


@pytest.mark.usefixtures("short")
def test_who_hangs_within_the_handshake_is_left_too() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        answer = post(f"https://hooks.example.org:{silent.getsockname()[1]}/")
    assert answer.words == "It did not answer within 1 seconds."
    assert time.monotonic() - began < 2.5


def test_plain_http_where_tls_is_meant_is_no_answer() -> None:
    with receiver() as to:
        answer = post(f"https://hooks.example.org:{to.port}/")
    assert (answer.taken, answer.status) == (False, None)
    assert "TLS" in answer.words
