"""A WSGI program that says what came in, and a lot where that is asked for."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LARGE = 30 * 1024**2


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/streamed":
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return (bytes(64 * 1024) for _ in range(LARGE // (64 * 1024)))
    if environ["PATH_INFO"] == "/patient":  # until its client has gone
        while not environ["galley.client_is_gone"]():
            time.sleep(0.01)
        Path(environ["QUERY_STRING"]).write_text("gone")
    if environ["PATH_INFO"] == "/file":
        file = tempfile.TemporaryFile()  # noqa: SIM115  the server closes it
        file.write(b"f" * LARGE)
        file.seek(0)
        start_response("200 OK", [("Content-Length", str(LARGE))])
        answer: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return answer
    said = b"hello"
    if environ["REQUEST_METHOD"] == "POST":
        said = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said]
