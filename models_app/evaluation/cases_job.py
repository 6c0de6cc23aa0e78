"""Running a release's behavioural cases by themselves: the evaluation was made before the cases were."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.cases.running import missing_runs, run_cases
from models_app.engines import open_engine
from models_app.foundation import audit, jobs
from models_app.foundation.errors import Refused
from models_app.foundation.jobs import JobContext
from models_app.foundation.roles import require
from models_app.models import Job, Release

KIND = "run_cases"


def start_cases(*, release: Release, actor: Any | None, deliver: bool = True) -> Job:
    """Queue what the release has not been run on; the job that is active for it where there is one."""
    require(actor, "evaluate")
    if not missing_runs(release):
        raise Refused(f"Release {release.pk} has been run on the newest version of every set of cases.")
    with transaction.atomic():
        job = jobs.enqueue(
            kind=KIND,
            actor=actor,
            subject=f"release:{release.pk}",
            payload={"release": release.pk},
            queue="training",
            unique_key=f"{KIND}:{release.pk}",
            deadline_seconds=12 * 3600,
            deliver=deliver,
        )
        audit.record(actor=actor, action="cases.start", subject=release)
    return job


def run(context: JobContext) -> dict[str, Any]:
    release = Release.objects.select_related("model_version", "prompt_version__prompt").get(
        pk=context.payload["release"]
    )
    versions = missing_runs(release)
    if not versions:
        return {"runs": []}
    context.phase("loading the model")
    with open_engine(release, threads=settings.GALLEY_SLOT_THREADS) as engine:
        context.phase("running behavioural cases", sum(version.cases for version in versions))
        runs = run_cases(release=release, versions=versions, write=engine.write, progress=context.step)
    return {"runs": [made.pk for made in runs]}
