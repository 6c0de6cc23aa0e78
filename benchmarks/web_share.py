"""What a summary request costs besides the model: HTTP, token, throttle, checks, route, slot, log, answer.

    python benchmarks/web_share.py [--seconds 10] [--clients 16] [--workers 1] [--rounds 3] [--web COMMAND]

A real web process and a real slot with leading sentences in it, which take about a tenth of a millisecond; the text has
400 words. One client first, then many, each with a connection of its own, each asking as soon as it is answered. The
clients are one more Python process on the same machine: on two cores they take from what they measure. CPU time of the
web process for each request is given too; it hardly depends on what else the machine does.

Both ways are asked in turns in the same run: the plain one (`models_app/api/plain.py`), and through Django, to which a
request with an `Accept` header that weighs goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import installation
import psutil

WAYS = {"through Django": "*/*;q=1", "plain": "*/*"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """One kept-alive connection that sends the same request again and again."""

    def __init__(self, port: int, token: str, body: bytes, accept: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        head = (
            f"POST /api/v1/summaries/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {token}\r\n"
            f"Accept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.message = head.encode() + body

    def ask(self) -> float:
        """Milliseconds. Raises RuntimeError for anything but 201."""
        began = time.perf_counter()
        self.socket.sendall(self.message)
        status = self.stream.readline()
        length = 0
        while (line := self.stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = self.stream.read(length)
        if b" 201 " not in status:
            raise RuntimeError(f"{status!r} {answer[:300]!r}")
        return (time.perf_counter() - began) * 1000


def load(
    port: int, token: str, body: bytes, *, clients: int, seconds: float, accept: str = "*/*"
) -> tuple[list[float], float]:
    """(milliseconds of each request, requests per second)"""
    times: list[list[float]] = [[] for _ in range(clients)]
    connections = [Client(port, token, body, accept) for _ in range(clients)]
    for connection in connections:
        connection.ask()
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            times[number].append(connections[number].ask())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = sorted(value for each in times for value in each)
    return flat, len(flat) / (time.perf_counter() - began)


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident MB of the largest of its processes."""
    parent = psutil.Process(process.pid)
    return max(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 2**20


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of the process and its children."""
    parent = psutil.Process(process.pid)
    used = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
    return sum(times.user + times.system for times in used)


@contextmanager
def processes(workers: int, web: str = "") -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Web process (or the command `web` in its place) and serving supervisor; the port, and the web process."""
    from llmops_site.env import read_environment
    from llmops_site.supervisor.galley import programs

    port = free_port()
    environment = {
        **os.environ,
        "GALLEY_PORT": str(port),
        "GALLEY_API_RATE": "100000/second",
        "GALLEY_WEB_WORKERS": str(workers),
    }
    started = {
        program.name: subprocess.Popen(
            shlex.split(web.format(port=port)) if web and program.name == "web" else list(program.command),
            cwd=installation.ROOT,
            env={**environment, **program.environment},
        )
        for program in programs(read_environment(environment))
        if program.name in ("web", "serving")
    }
    try:
        yield port, started["web"]
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait(15)


def wait_until_ready(port: int) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    for _ in range(300):
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("The web process or the slot did not come up.")


def prepare() -> str:
    """A first release of leading sentences, and a token."""
    from django.contrib.auth.models import Group, User

    from models_app.foundation.tokens import create_token
    from models_app.models import ModelVersion, PromptVersion
    from models_app.releases.composing import compose_release
    from models_app.releases.deploying import install_first_release

    release = compose_release(
        model_version=ModelVersion.objects.get(family="lead"),
        prompt_version=PromptVersion.objects.get(prompt__name="summarize", number=1),
        decoding={},
        origin="initial",
        actor=None,
    )
    install_first_release(release=release)
    user = User.objects.create_user("bench")
    user.groups.add(Group.objects.get(name="operator"))
    return create_token(user=user, name="benchmark", scopes=["summaries:write"], days=1, actor=user)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1, help="web processes")
    parser.add_argument("--rounds", type=int, default=3, help="each of both ways in turns")
    parser.add_argument("--web", default="", help="command of another server; {port} stands for the port")
    options = parser.parse_args()
    words = (
        "The council of Nordhaven will close its old pier for nine months after divers found rotten piles."
    )
    text = " ".join([words] * 24)[: 400 * 6]
    body = json.dumps({"text": text, "domain": "news", "user": "reader-1", "session": "s-1"}).encode()
    with installation.temporary():
        token = prepare()
        with processes(options.workers, options.web) as (port, web):
            wait_until_ready(port)
            for accept in WAYS.values():
                load(port, token, body, clients=1, seconds=1, accept=accept)
            for clients in (1, options.clients):
                ratios: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
                for _ in range(options.rounds):
                    for way, accept in WAYS.items():
                        before = cpu_seconds(web)
                        times, rate = load(
                            port, token, body, clients=clients, seconds=options.seconds, accept=accept
                        )
                        cpu = (cpu_seconds(web) - before) * 1000 / (len(times) + clients)
                        ratios[way].append((rate, cpu))
                        at = statistics.quantiles(times, n=100)
                        print(
                            f"{clients:>3} clients, {way:>14}: {rate:7.0f} requests/s   "
                            f"p50 {at[49]:6.2f} ms   p95 {at[94]:6.2f} ms   p99 {at[98]:6.2f} ms   "
                            f"web process {cpu:.2f} ms CPU each   ({len(times)} requests)"
                        )
                django, plain = (
                    [statistics.median(values) for values in zip(*ratios[way], strict=True)] for way in WAYS
                )
                print(
                    f"{clients:>3} clients: plain {plain[0] / django[0]:.2f} times the requests, "
                    f"{plain[1] / django[1]:.2f} of the web process's CPU (medians)"
                )
            print(f"web process: {memory(web):.0f} MB")


if __name__ == "__main__":
    main()
