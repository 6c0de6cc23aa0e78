from __future__ import annotations

import io
from pathlib import Path

import pytest

from models_app.serving import wire


def read(data: bytes) -> wire.Message | None:
    return wire.read_message(io.BytesIO(data))


def test_what_is_written_is_read_again() -> None:
    message = read(wire.request("POST", "/generate", {"text": "Öl für 3 €"}))
    assert message is not None
    assert (message.start, message.json(), message.keep_alive) == (
        "POST /generate HTTP/1.1", {"text": "Öl für 3 €"}, True,
    )  # fmt: skip
    answer = read(wire.answer(503, {"error": {"code": "overloaded"}}))
    assert answer is not None
    assert (answer.status, answer.json()) == (503, {"error": {"code": "overloaded"}})


def test_messages_follow_each_other_and_then_the_end() -> None:
    stream = io.BytesIO(wire.request("GET", "/health") + wire.request("POST", "/generate", {}))
    starts = [message.start if (message := wire.read_message(stream)) else None for _ in range(3)]
    assert starts == ["GET /health HTTP/1.1", "POST /generate HTTP/1.1", None]


def test_a_client_that_wants_to_close_is_understood() -> None:
    message = read(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert message is not None
    assert not message.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"GET /health",
        b"GET /health HTTP/1.1\r\nHost: sl",
        b"POST /generate HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST /generate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"GET /" + b"x" * 10000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        read(data)


def test_a_socket_s_path_is_short_enough_however_deep_the_data_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    for home in (Path("/srv/galley"), deep):
        longest = wire.socket_directory(home) / "slot-0000000000.sock"
        assert len(str(longest)) <= wire.LONGEST_SOCKET_PATH
    assert wire.socket_directory(deep) == wire.socket_directory(deep)
    assert wire.socket_directory(deep) != wire.socket_directory(tmp_path / ("d" * 60) / ("f" * 60))
