"""`manage.py` as processes of their own, as a pipeline calls it, that share what takes longest: starting Python and
Django. Each is a fork of one that has both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

FORK = """
import importlib, json, os, sys
import django
import manage
django.setup()
where, *commands = json.loads(sys.argv[1])
for name in {words[0] for words in commands}:
    importlib.import_module("models_app.management.commands." + name)
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
