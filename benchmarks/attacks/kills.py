"""What is lost, and for how long nothing answers, when a process of a running Galley is killed.

    python benchmarks/attacks/kills.py --home /tmp/trial --port 8000 [--clients 4]

Against an installation of one's own on this machine. One after the other: a web worker, the web program, the queue, a
worker of the queue, the training queue, the serving process, a model slot, the embedded PostgreSQL, and at last, unless
`--spare-supervisor`, the supervisor. Under a little load: clients upload documents by API and ask for the sign-in
page. Counted are requests without an answer, answers of 500 and above, documents that were answered as taken and are
not there afterwards, and the time from the kill until everything is up and answers again. Makes an account `drill`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from llmops_site import embedded
from llmops_site.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]

MAKE_TOKEN = """
from django.contrib.auth.models import Group, User
from models_app.foundation.tokens import create_token
user, _ = User.objects.get_or_create(username="drill")
user.groups.set(Group.objects.all())
print(create_token(user=user, name="kills", scopes=["documents:write"], days=1, actor=user)[1])
"""
WORDS = (
    "harbour",
    "council",
    "pier",
    "divers",
    "found",
    "rotten",
    "piles",
    "region",
    "pays",
    "half",
    "work",
    "year",
)
PATIENCE = 120.0


@dataclass
class Load:
    port: int
    token: str
    taken: list[int] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    end: threading.Event = field(default_factory=threading.Event)

    def submit(self, number: int) -> None:
        chance = random.Random(f"{time.time()} {number}")  # nosec B311
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        while not self.end.wait(0.2):
            text = " ".join(chance.choice(WORDS) + str(chance.randrange(10**6)) for _ in range(60))
            status, body = ask(self.port, "POST", "/api/v1/documents/", json.dumps({"text": text}), headers)
            self.statuses[status] += 1
            if status == "201":
                self.taken.append(json.loads(body)["id"])

    def look(self) -> None:
        while not self.end.wait(0.2):
            self.statuses[ask(self.port, "GET", "/accounts/login/")[0]] += 1

    def bad(self) -> str:
        silent = sum(number for status, number in self.statuses.items() if not status.isdigit())
        errors = {
            status: number for status, number in self.statuses.items() if status >= "5" and status.isdigit()
        }
        told = ", ".join(f"{number} x {status}" for status, number in sorted(errors.items())) or "none"
        return f"{sum(self.statuses.values()):>5} asked, {silent} without an answer, 5xx: {told}"


def ask(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[str, bytes]:
    """Status and body; for a status the error's name where no answer came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return str(answer.status), answer.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, b""
    finally:
        connection.close()


def supervisor_of(home: Path) -> psutil.Process:
    return psutil.Process(json.loads((home / "run" / "supervisor.lock").read_text())["pid"])


def of_program(home: Path, name: str) -> list[psutil.Process]:
    """Main process first."""
    found = []
    for process in supervisor_of(home).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("GALLEY_SUPERVISED") == name:
                found.append(process)
    return sorted(found, key=lambda process: process.create_time())


def victims(home: Path) -> Iterator[tuple[str, Callable[[], psutil.Process | None]]]:
    def nth(name: str, number: int) -> psutil.Process | None:
        processes = of_program(home, name)
        return processes[number] if len(processes) > number else None

    yield "web worker", lambda: nth("web", 1)
    yield "web program", lambda: nth("web", 0)
    yield "queue", lambda: nth("queue", 0)
    yield "worker of the queue", lambda: nth("queue", -1)
    yield "training queue", lambda: nth("training", 0)
    yield "serving", lambda: nth("serving", 0)
    yield "model slot", lambda: nth("serving", 1)
    yield "PostgreSQL", lambda: PostgresServer(home).postmaster()


def counts(home: Path) -> dict[str, int]:
    return {name: len(of_program(home, name)) for name in ("web", "queue", "training", "serving")}


def is_well(home: Path, port: int, token: str, wanted: dict[str, int]) -> bool:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    refused = ask(port, "POST", "/api/v1/documents/", json.dumps({"text": "too short"}), headers)[0]
    return refused == "422" and ask(port, "GET", "/accounts/login/")[0] == "200" and counts(home) == wanted


def drill(name: str, kill: Callable[[], bool], options: argparse.Namespace, token: str) -> None:
    wanted = counts(options.home)
    load = Load(options.port, token)
    threads = [threading.Thread(target=load.submit, args=(number,)) for number in range(options.clients)]
    threads.append(threading.Thread(target=load.look))
    for thread in threads:
        thread.start()
    time.sleep(3)
    began = time.monotonic()
    if not kill():
        print(f"{name:<22}there is none")
        took = None
    else:
        time.sleep(0.3)
        while not is_well(options.home, options.port, token, wanted):
            if time.monotonic() - began > PATIENCE:
                break
            time.sleep(0.2)
        took = time.monotonic() - began
        time.sleep(3)
    load.end.set()
    for thread in threads:
        thread.join()
    if took is None:
        return
    with psycopg.connect(embedded.database_url(options.home)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM reviews_sourcedocument WHERE id = ANY(%s)", (load.taken,)
        ).fetchone()
    lost = len(load.taken) - (row[0] if row else 0)
    well = "not well" if took > PATIENCE else f"well after {took:.1f} s"
    print(f"{name:<22}{well}; {len(load.taken)} taken, {lost} lost; {load.bad()}", flush=True)


def kill_supervisor(home: Path, port: int) -> bool:
    """It is started again as an operator would."""
    supervisor = supervisor_of(home)
    environment = supervisor.environ()
    supervisor.kill()
    with contextlib.suppress(psutil.TimeoutExpired):
        supervisor.wait(10)
    output = (home / "logs" / "kills.out").open("ab")
    subprocess.Popen(
        [sys.executable, "-m", "llmops_site.supervisor"],
        cwd=ROOT,
        env=environment,
        stdout=output,
        stderr=output,
    )
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, required=True, help="GALLEY_HOME of the installation")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--spare-supervisor", action="store_true")
    options = parser.parse_args()
    made = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", MAKE_TOKEN],
        cwd=ROOT,
        env={**os.environ, "GALLEY_HOME": str(options.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    token = made.stdout.split()[-1]
    for name, find in victims(options.home):

        def kill(find: Callable[[], psutil.Process | None] = find) -> bool:
            process = find()
            if process is not None:
                process.kill()
            return process is not None

        drill(name, kill, options, token)
    if not options.spare_supervisor:
        drill("supervisor", lambda: kill_supervisor(options.home, options.port), options, token)


if __name__ == "__main__":
    main()
