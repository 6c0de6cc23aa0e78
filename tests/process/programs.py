"""Small programs for the supervisor to run, and patience for what they do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from llmops_site.postgres_server import PostgresServer

T = TypeVar("T")
Start = Callable[..., subprocess.Popen[str]]

QUIET = "import time; print('up', flush=True); time.sleep(600)"


def program(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": [sys.executable, "-c", code], **more}


def wait_for(condition: Callable[[], T], seconds: float = 40.0) -> T:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)
    return value


def server_runs(home: Path) -> bool:
    """The embedded database's."""
    return PostgresServer(home).postmaster() is not None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
