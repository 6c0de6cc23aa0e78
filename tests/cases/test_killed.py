"""An evaluation that is killed while it runs cases goes on with those that are not there, in processes of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from django.db import connection

from models_app.evaluation.running import start_evaluation
from models_app.foundation import jobs
from models_app.models import CaseResult, CaseRun, EvaluationRun, Job
from tests import make
from tests.cases import scene
from tests.releases.scene import evaluation_set

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@contextmanager
def slowly() -> Iterator[None]:
    """Each result takes a tenth of a second to write."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$; "
            "CREATE TRIGGER slowly BEFORE INSERT ON models_app_caseresult FOR EACH ROW EXECUTE FUNCTION slowly();"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION slowly() CASCADE")


def test_a_killed_evaluation_goes_on_with_its_cases_and_writes_none_twice(cast: make.Cast) -> None:
    scene.case_set("Acceptance", *(scene.draft() for _ in range(60)))
    run = start_evaluation(
        release=make.release(), evaluation_set=evaluation_set(3), actor=None, deliver=False
    )
    assert run.job is not None
    killed: list[int] = []

    def kill(job: Job) -> None:
        if not killed and CaseResult.objects.exists():
            for child in psutil.Process().children():
                if "run_job" in child.cmdline():
                    killed.append(child.pid)
                    child.kill()

    with slowly():
        assert jobs.supervise(run.job.pk, watch=kill) == "queued"
    assert len(killed) == 1
    kept = set(CaseResult.objects.values_list("pk", flat=True))
    assert 0 < len(kept) < 60
    assert CaseRun.objects.get().finished_at is None
    done = jobs.carry_out(run.job)
    assert (done.state, done.attempts) == ("succeeded", 2)
    assert kept < set(CaseResult.objects.values_list("pk", flat=True))
    assert sorted(CaseResult.objects.values_list("case__number", flat=True)) == list(range(1, 61))
    assert CaseRun.objects.get().finished_at is not None
    assert EvaluationRun.objects.get().state == "succeeded"
