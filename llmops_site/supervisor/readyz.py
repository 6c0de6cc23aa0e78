"""What the web process says at `/readyz`, asked over a connection of its own each time."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

#: Where a process that listens on all addresses is asked.
_NEAREST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # nosec B104
_LONGEST_BODY = 10_000


class NoAnswer(Exception):
    """It does not listen, or says nothing."""


@dataclass(frozen=True)
class Answer:
    """Whether summaries are served, and what stands in the way or which release serves them."""

    ready: bool
    detail: str = ""


def ask(host: str, port: int, *, seconds: float) -> Answer:
    """Raises NoAnswer."""
    connection = http.client.HTTPConnection(_NEAREST.get(host, host), port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(_LONGEST_BODY)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"the web process does not answer ({type(error).__name__})") from error
    finally:
        connection.close()
    return Answer(response.status == 200, _detail(body, response.status))


def _detail(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"/readyz answers {status}"
