"""`manage.py` as processes of their own, as a pipeline calls it, that share what takes longest: starting Python and
Django, and what evaluations import. Each is a fork of one that has it all, and so are those of the jobs that they
carry out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

FORK = """
import importlib, json, os, sys, traceback
import django
import manage
django.setup()
from django.db import connection
from django.utils.module_loading import import_string
from models_app.foundation import jobs

where, *commands = json.loads(sys.argv[1])
for name in {words[0] for words in commands}:
    importlib.import_module("models_app.management.commands." + name)
for kind in ("evaluate", "compare", "judge_release"):
    import_string(jobs.kinds()[kind].run)
for name in ("models_app.evaluation.rouge_check", "scipy.optimize", "scipy.special"):
    importlib.import_module(name)


class Child:
    returncode = None

    def __init__(self, pid):
        self.pid = pid

    def poll(self, options=os.WNOHANG):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self):
        return self.poll(0)


def start_child(job):
    path = jobs.log_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid)
    code = 1
    try:
        os.setsid()
        jobs.die_with_parent()
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1), os.dup2(log, 2)
        connection.connection = None  # its parent's, which goes on with it
        os.environ["GALLEY_JOB_TOKEN"] = str(job.lease_token)
        sys.argv = ["manage.py", "run_job", str(job.pk)]
        code = manage.main() or 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


jobs._start_child = start_child
for number, words in enumerate(commands):
    child = os.fork()
    if child == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{where}/{number}.{name}", os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
        sys.argv = ["manage.py", *words]
        sys.exit(manage.main())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
"""


def commands(directory: Path, *commands: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """One after another; what they say is kept in `directory`, which nobody else writes into."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, json.dumps([str(directory), *commands])],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return [
        subprocess.CompletedProcess(
            words,
            int(code),
            (directory / f"{number}.out").read_text(),
            (directory / f"{number}.err").read_text(),
        )
        for number, (words, code) in enumerate(zip(commands, done.stdout.split(), strict=True))
    ]
