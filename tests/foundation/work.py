"""Jobs to be carried out, cancelled, killed and timed out by tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from models_app.foundation.errors import Refused
from models_app.foundation.jobs import JobContext, NotYet
from models_app.models import Job


def work(context: JobContext) -> dict[str, Any]:
    """Does what the payload says; each beginning leaves a line in the file it names."""
    payload = context.payload
    log = Path(payload["file"])
    with log.open("a") as file:
        file.write(f"begin {os.getpid()}\n")
    begun = len(log.read_text().splitlines())
    context.phase("working", 3)
    match payload.get("do"):
        case "refuse":
            raise Refused("The snapshot is too small.")
        case "break":
            raise ZeroDivisionError("division by zero")
        case "die once" if begun == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case "die always":
            os.kill(os.getpid(), signal.SIGKILL)
        case "lose the database once" if begun == 1:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        case "not yet":
            raise NotYet("Its turn has not come.", seconds=0)
        case "hang":
            while True:
                time.sleep(0.1)
        case "until told":
            while not context.should_stop():
                time.sleep(0.1)
            context.step(1)
    return {"begun": begun}


def ended(job: Job) -> None:
    """Leaves the outcome in the same file, as a subject would be brought in step."""
    with Path(job.payload["file"]).open("a") as file:
        file.write(f"ended {job.state}\n")
