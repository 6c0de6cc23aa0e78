"""Clients ask for summaries while the database is stopped or frozen, and a web worker is killed meanwhile.

    python benchmarks/attacks/summaries_without_database.py [--how stop|freeze] [--seconds 60] [--clients 4] [--kill]

An installation of its own, with a slot of leading sentences. Afterwards every summary that was answered has to be in
the log, once. Ends with 1 where one is not, or where one was refused that should not have been.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import installation
import psutil
import web_share

WORDS = "The council of Nordhaven will close its old pier for nine months after divers found rotten piles."
PAUSE_SECONDS = 0.02
SETTLE_SECONDS = 15


@dataclass(frozen=True)
class Answer:
    at: float
    seconds: float
    said: str  # status, or how the connection ended
    degraded: bool
    summary: str | None


@dataclass
class Clients:
    port: int
    token: str
    number: int
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_on) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask_on(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.wait(PAUSE_SECONDS):
            at = time.time()
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                status, headers, body = ask(connection, self.token)
            except (OSError, http.client.HTTPException) as error:
                connection = None
                self.answers.append(Answer(at, time.time() - at, type(error).__name__, False, None))
                time.sleep(0.1)
            else:
                degraded = "X-Galley-Degraded" in headers
                self.answers.append(
                    Answer(at, time.time() - at, str(status), degraded, json.loads(body).get("id"))
                )

    def between(self, begin: float, end: float) -> str:
        found = [answer for answer in self.answers if begin <= answer.at < end]
        counts = Counter((answer.said, "degraded" if answer.degraded else "as ever") for answer in found)
        said = ", ".join(f"{number} × {' '.join(what)}" for what, number in sorted(counts.items()))
        longest = max((answer.seconds for answer in found), default=0.0)
        return f"{said or 'none'}; longest {longest:.2f} s"


def ask(connection: http.client.HTTPConnection, token: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"text": " ".join([WORDS] * 24)})
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/summaries/", body, headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def look(port: int, token: str) -> None:
    """What a monitor, a program with a new token and the rest of the API are told."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    print(f"  /readyz: {answer.status} {answer.read().decode()}")
    status, headers, body = ask(connection, "gly_unknown")
    print(f"  an unknown token: {status}, Retry-After {headers['Retry-After']}: {body.decode()}")
    connection.request("GET", "/api/v1/releases/live/", headers={"Authorization": f"Token {token}"})
    answer = connection.getresponse()
    print(f"  the rest of the API: {answer.status} {answer.read().decode()}")


@contextmanager
def away(home: Path, how: str) -> Iterator[None]:
    from llmops_site import embedded
    from llmops_site.postgres_server import PostgresServer

    if how == "stop":
        embedded.stop(home)
        yield
        embedded.revive(home)
        return
    processes = PostgresServer(home).processes()
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        process.resume()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--how", choices=["stop", "freeze"], default="stop")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kill", action="store_true", help="kill -9 of the web worker half-way")
    options = parser.parse_args()
    with installation.temporary() as home:
        token = web_share.prepare()
        with web_share.processes(1) as (port, web):
            web_share.wait_until_ready(port)
            clients = Clients(port, token, options.clients)
            with clients.asking():
                time.sleep(3)
                times = [time.time()]
                with away(home, options.how):
                    time.sleep(options.seconds / 2)
                    look(port, token)
                    waits = sum(path.stat().st_size for path in (home / "request-log").glob("*"))
                    print(f"  rows wait in {waits / 1e6:.1f} MB")
                    if options.kill:
                        for worker in psutil.Process(web.pid).children():
                            worker.kill()
                    time.sleep(options.seconds / 2)
                    times.append(time.time())
                time.sleep(SETTLE_SECONDS)
        return report(clients, times, home, killed=options.kill)


def report(clients: Clients, times: list[float], home: Path, *, killed: bool) -> int:
    from django.db import connection

    from models_app.models import InferenceRequest

    connection.close()  # it is from before
    gone, back = times
    print(f"before: {clients.between(0, gone)}")
    print(f"away for {back - gone:.0f} s: {clients.between(gone, back)}")
    print(f"after: {clients.between(back, time.time())}")
    answered = [answer.summary for answer in clients.answers if answer.said == "201"]
    logged = InferenceRequest.objects.filter(pk__in=answered).count()
    left: list[Any] = list((home / "request-log").glob("*"))
    print(
        f"answered {len(answered)}, in the log {logged}, rows in all {InferenceRequest.objects.count()}; left {left}"
    )
    wrong = [answer for answer in clients.answers if answer.said != "201"]
    return int(logged != len(answered) or bool(left) or bool(wrong and not killed))


if __name__ == "__main__":
    sys.exit(main())
