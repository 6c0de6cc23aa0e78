"""What clients of a running Galley are told while its embedded PostgreSQL is stopped, frozen and started again.

    python benchmarks/attacks/database_away.py --home /tmp/trial --port 8000 [--clients 16] [--seconds 15]

Against an installation of one's own on this machine: its database is stopped (its supervisor, frozen meanwhile, would
start it again), frozen (SIGSTOP to each of its processes), and killed. Half of the clients ask for a page, half call
the API, each a tenth of a second after it was answered; `/healthz` and `/readyz` are asked once a second. Counted are
answers by status, those of 500 and above without `Retry-After`, and the longest wait.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from llmops_site.postgres_server import PostgresServer

PAGE = ("/documents/", {"Cookie": "galley_session=" + "a" * 32})
API = ("/api/v1/releases/live/", {"Authorization": "Token gly_" + "a" * 60})
PATIENCE = 60.0


@dataclass
class Count:
    statuses: Counter[str] = field(default_factory=Counter)
    without: int = 0
    longest: float = 0.0
    last_bad: float = 0.0

    def note(self, status: str, retry_after: bool, seconds: float) -> None:
        self.statuses[status] += 1
        self.without += status >= "500" and not retry_after
        self.longest = max(self.longest, seconds)
        if status >= "500":
            self.last_bad = time.monotonic()

    def __str__(self) -> str:
        told = ", ".join(f"{number} × {status}" for status, number in sorted(self.statuses.items()))
        return f"{told}; {self.without} without Retry-After; longest {self.longest:.1f} s"


def ask(port: int, path: str, headers: dict[str, str]) -> tuple[str, bool]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return str(answer.status), answer.getheader("Retry-After") is not None
    except OSError as error:
        return type(error).__name__, False
    finally:
        connection.close()


class Clients:
    def __init__(self, port: int, number: int) -> None:
        self.counts = {name: Count() for name in ("page", "API", "/healthz", "/readyz")}
        self._port = port
        self._end = threading.Event()
        work = [("page", *PAGE, 0.1), ("API", *API, 0.1)] * (number // 2)
        work += [(path, path, {}, 1.0) for path in ("/healthz", "/readyz")]
        self._threads = [threading.Thread(target=self._go, args=each) for each in work]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _go(self, name: str, path: str, headers: dict[str, str], pause: float) -> None:
        while not self._end.wait(pause):
            began = time.monotonic()
            status, retry_after = ask(self._port, path, headers)
            self.counts[name].note(status, retry_after, time.monotonic() - began)


@contextlib.contextmanager
def stopped(server: PostgresServer, supervisor: int) -> Iterator[None]:
    os.kill(supervisor, signal.SIGSTOP)
    try:
        server.shut_down()
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


@contextlib.contextmanager
def frozen(server: PostgresServer, supervisor: int) -> Iterator[None]:
    processes = server.processes()
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def killed(server: PostgresServer, supervisor: int) -> Iterator[None]:
    process = server.postmaster()
    assert process is not None
    process.kill()
    yield


def wait_until_well(port: int) -> None:
    while ask(port, *PAGE)[0] != "302" or ask(port, *API)[0] != "401":
        time.sleep(0.2)


def drill(
    name: str, away: Callable[..., contextlib.AbstractContextManager[None]], options: argparse.Namespace
) -> None:
    server = PostgresServer(options.home)
    supervisor = json.loads((options.home / "run" / "supervisor.lock").read_text())["pid"]
    wait_until_well(options.port)
    with Clients(options.port, options.clients) as clients:
        time.sleep(2)
        with away(server, supervisor):
            time.sleep(options.seconds)
        back = time.monotonic()
        time.sleep(options.seconds)
    last = max(count.last_bad for path, count in clients.counts.items() if not path.startswith("/"))
    print(
        f"{name}, for {options.seconds:.0f} s; the last 5xx came {max(0.0, last - back):.1f} s after its return"
    )
    for asked, count in clients.counts.items():
        print(f"    {asked:<10}{count}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, required=True, help="GALLEY_HOME of the installation")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    for name, away in (("stopped", stopped), ("frozen", frozen), ("killed", killed)):
        drill(name, away, options)


if __name__ == "__main__":
    main()
