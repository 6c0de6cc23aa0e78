"""What small files that grow do to an installation: memory of the web process and of the job, the answer, the time.

    .venv/bin/python benchmarks/attacks/bombs.py [--code DIRECTORY] [--port 8107] [NAME …]

Starts an installation of its own from the code in DIRECTORY (this one unless given), on the loopback interface and in a
temporary directory; submits each file of `bomb_files.py`, the large ones with 90 MB, at the page *Import documents*;
and waits for what the page says. Nothing is kept.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from benchmarks.attacks import bomb_files  # noqa: E402

SIGN_IN = """
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_superuser("attacker", password="a long password of nobody")
session = SessionStore()
session["_auth_user_id"] = str(user.pk)
session["_auth_user_backend"] = "models_app.people.backend.RolesBackend"
session["_auth_user_hash"] = user.get_session_auth_hash()
session.create()
print("session", session.session_key)
"""


@dataclass
class Memory:
    """The most that the web processes and a job took while it was watched, in MB."""

    port: int
    home: str
    web: int = 0
    job: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.over.wait(0.05):
            self.web = max(self.web, web_memory(self.port))
            for process in psutil.process_iter(["cmdline"]):
                if "run_job" in (process.info["cmdline"] or ()) and home_of(process) == self.home:
                    self.job = max(self.job, size(process))


def home_of(process: psutil.Process) -> str:
    """Of which installation it is: there may be others on this machine."""
    try:
        return str(process.environ().get("GALLEY_HOME", ""))
    except psutil.Error:
        return ""


def size(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss >> 20)
    except psutil.Error:
        return 0


def web_memory(port: int) -> int:
    """Of the largest process that listens on the port: the master is small."""
    there = {found.pid for found in psutil.net_connections("tcp") if found.laddr and found.laddr.port == port}
    return max((size(psutil.Process(pid)) for pid in there if pid and psutil.pid_exists(pid)), default=0)


def wait_for(url: str, path: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            requests.get(url + path, timeout=2)
        except requests.RequestException:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return


def submit(session: requests.Session, url: str, path: Path) -> tuple[int, str, float, float]:
    """(status of the upload, what was said in the end, seconds until the answer, seconds until that was said)"""
    session.get(f"{url}/documents/imports/", timeout=60)
    token = session.cookies["galley_csrf"]
    began = time.monotonic()
    with path.open("rb") as file:
        answer = session.post(
            f"{url}/documents/imports/",
            data={"csrfmiddlewaretoken": token, "from": "file", "format": ""},
            files={"file": (path.name, file)},
            headers={"Referer": url},
            timeout=600,
            allow_redirects=False,
        )
    answered = time.monotonic() - began
    if answer.status_code != 302:
        found = re.search(r'class="[^"]*err[^"]*"[^>]*>(.*?)</', answer.text, re.DOTALL)
        return answer.status_code, words(found[1] if found else ""), answered, answered
    while time.monotonic() - began < 300:
        page = session.get(url + answer.headers["Location"], timeout=120).text
        if "Looking at the first rows" not in page:
            break
        time.sleep(0.2)
    section = page.partition('id="import-progress"')[2].partition("</section>")[0]
    said = re.search(r'<p class="break">(.*?)</p>', section, re.DOTALL) or re.search(
        r"<h2>(.*?)</h2>", section
    )
    return answer.status_code, words(said[1] if said else "?"), answered, time.monotonic() - began


def words(markup: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", markup)).split())[:110]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--code", type=Path, default=HERE)
    parser.add_argument("--port", type=int, default=8107)
    asked = parser.parse_args()
    bomb_files.LARGE_MB = 90
    url = f"http://127.0.0.1:{asked.port}"
    with tempfile.TemporaryDirectory(prefix="galley-bombs-") as directory:
        home, files = Path(directory) / "home", Path(directory) / "files"
        files.mkdir()
        environment = {
            **os.environ, "GALLEY_HOME": str(home), "GALLEY_PORT": str(asked.port), "GALLEY_SAMPLE": "no",
            "GALLEY_HOST": "127.0.0.1", "GALLEY_LOG_LEVEL": "WARNING", "DJANGO_SETTINGS_MODULE": "llmops_site.settings",
        }  # fmt: skip
        with (Path(directory) / "log").open("wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "llmops_site.supervisor"], cwd=asked.code, env=environment, stdout=log,
                stderr=log,
            )  # fmt: skip
        try:
            wait_for(url, "/healthz", 300)
            made = subprocess.run(
                [sys.executable, "manage.py", "shell", "-c", SIGN_IN], cwd=asked.code, env=environment,
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            session = requests.Session()
            session.cookies["galley_session"] = re.findall(r"^session (\w+)$", made.stdout, re.MULTILINE)[0]
            session.get(f"{url}/documents/imports/", timeout=60)
            print(
                f"{'file':24} {'KB':>7} {'web':>10} {'after':>6} {'job':>6} {'answer':>13} {'said':>7}  what"
            )
            for name, path in bomb_files.files(files):
                if not asked.names or name in asked.names:
                    report(name, path, session, url, Memory(asked.port, str(home)))
                path.unlink()
        finally:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(60)


def report(name: str, path: Path, session: requests.Session, url: str, memory: Memory) -> None:
    before = web_memory(memory.port)
    watcher = threading.Thread(target=memory.watch)
    watcher.start()
    try:
        status, said, answered, ended = submit(session, url, path)
    except requests.RequestException as error:
        status, said, answered, ended = 0, type(error).__name__, 0.0, 0.0
        wait_for(url, "/healthz", 120)
    finally:
        memory.over.set()
        watcher.join()
    sizes = f"{before:>4}→{memory.web:<5} {web_memory(memory.port):>6} {memory.job or '–':>6}"
    times = f"{status:>4} {answered:>7.2f}s {ended:>6.1f}s"
    print(f"{name:24} {path.stat().st_size >> 10:>7} {sizes} {times}  {said}", flush=True)


if __name__ == "__main__":
    main()
