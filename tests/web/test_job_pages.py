from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.foundation import jobs
from models_app.models import AuditEvent, EvaluationRun, Job
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def job(**fields: Any) -> Job:
    values = {
        "kind": "generate_summaries",
        "payload": {"documents": [], "release": 0},
        "subject": "release:1",
    }
    return Job.objects.create(**{**values, **fields})


def running(**fields: Any) -> Job:
    row = job(**fields)
    claimed = jobs.claim(row.pk)
    assert claimed is not None
    return claimed


def write_log(row: Job, text: bytes) -> None:
    path = jobs.log_path(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


@pytest.mark.parametrize(
    ("who", "status"),
    [("ml_engineer", 200), ("approver", 200), ("operator", 200), ("administrator", 200), ("reviewer", 403),
     ("stranger", 403)],
)  # fmt: skip
def test_jobs_and_their_logs_are_for_those_who_see_monitoring(cast: make.Cast, who: str, status: int) -> None:
    row = job()
    write_log(row, b"a line of the log\n")
    client = signed_in(getattr(cast, who))
    assert client.get("/jobs/").status_code == status
    answer = client.get(f"/jobs/{row.pk}/")
    assert answer.status_code == status
    assert ("a line of the log" in markup(answer)) is (status == 200)


def test_the_list_is_filtered_by_state_kind_and_queue(cast: make.Cast) -> None:
    failed = job(state="failed", reason="The disk is full.")
    waiting = job(kind="train", queue="training", subject="trainingrun:7")
    client = signed_in(cast.operator)

    def found(query: str) -> set[int]:
        return {row.pk for row in client.get(f"/jobs/{query}").context["page"]}

    assert found("") == {failed.pk, waiting.pk}
    assert found("?state=active") == {waiting.pk}
    assert found("?state=failed") == {failed.pk}
    assert found("?kind=train&queue=training") == {waiting.pk}
    assert found("?state=nonsense&kind=nonsense&queue=nonsense") == {failed.pk, waiting.pk}
    shown = markup(client.get("/jobs/"))
    assert "The disk is full." in shown
    assert 'href="/training/7/"' in shown


def test_the_list_asks_a_fixed_number_of_questions(
    cast: make.Cast, django_assert_max_num_queries: Any
) -> None:
    for _ in range(40):
        job(requested_by=cast.ml_engineer)
    client = signed_in(cast.operator)
    with django_assert_max_num_queries(9):
        client.get("/jobs/")


def test_polling_goes_on_while_it_runs_and_stops_at_the_end(cast: make.Cast) -> None:
    row = running()
    jobs.JobContext(row).phase("drafting summaries", total=40)
    client = signed_in(cast.operator)
    for path in ("/jobs/", f"/jobs/{row.pk}/"):
        shown = markup(client.get(path, headers={"HX-Request": "true"}))
        assert "drafting summaries" in shown
        assert 'hx-trigger="every 2s"' in shown
        assert "<html" not in shown
    Job.objects.update(state="succeeded", finished_at=timezone.now(), result={"drafted": 40})
    for path in ("/jobs/", f"/jobs/{row.pk}/"):
        assert "every 2s" not in markup(client.get(path, headers={"HX-Request": "true"}))


def test_only_the_end_of_a_long_log_is_shown_as_plain_text(cast: make.Cast) -> None:
    row = job(state="failed", reason="It broke.")
    long = b"".join(b"line %06d \x1b[31mred\x1b[0m <b>bold</b>\n" % number for number in range(5000))
    write_log(row, long + b"progress 1%\rprogress 99%\n\xff\xfe\x00 last words\n")
    answer = signed_in(cast.operator).get(f"/jobs/{row.pk}/")
    log = answer.context["log"]
    assert len(log) <= 64 * 1024
    assert log.startswith("line ")
    assert "\x1b" not in log
    assert "\x00" not in log
    assert "progress 99%" in log
    assert "progress 1%" not in log
    assert log.endswith("last words")
    shown = markup(answer)
    assert "the last 64 KB" in shown
    assert "<b>bold" not in shown


def test_a_job_without_a_log_says_so(cast: make.Cast) -> None:
    assert "It has not begun." in markup(signed_in(cast.operator).get(f"/jobs/{job().pk}/"))


def test_those_who_manage_jobs_cancel_anybody_s(cast: make.Cast) -> None:
    row = job(requested_by=cast.ml_engineer)
    assert signed_in(cast.approver).post(f"/jobs/{row.pk}/cancel/").status_code == 403
    signed_in(cast.operator).post(f"/jobs/{row.pk}/cancel/")
    row.refresh_from_db()
    assert (row.state, AuditEvent.objects.get(action="job.cancel").actor) == ("cancelled", cast.operator)


def test_people_cancel_their_own(cast: make.Cast) -> None:
    row = running(requested_by=cast.ml_engineer)
    client = signed_in(cast.ml_engineer)
    assert "Cancel the job" in markup(client.get(f"/jobs/{row.pk}/"))
    client.post(f"/jobs/{row.pk}/cancel/")
    row.refresh_from_db()
    assert row.cancel_requested_at is not None
    assert "stops at its next step" in markup(client.get(f"/jobs/{row.pk}/"))
    other = job(requested_by=cast.operator)
    assert "Cancel the job" not in markup(client.get(f"/jobs/{other.pk}/"))
    assert client.post(f"/jobs/{other.pk}/cancel/").status_code == 403


def test_what_ended_cannot_be_cancelled(cast: make.Cast) -> None:
    row = job(state="failed")
    assert signed_in(cast.operator).post(f"/jobs/{row.pk}/cancel/").status_code == 409


def test_a_failed_job_is_tried_again_as_a_new_one(cast: make.Cast) -> None:
    row = job(state="failed", unique_key="draft:1")
    assert signed_in(cast.ml_engineer).post(f"/jobs/{row.pk}/retry/").status_code == 403
    client = signed_in(cast.operator)
    answer = client.post(f"/jobs/{row.pk}/retry/")
    again = Job.objects.latest("pk")
    assert answer["Location"] == f"/jobs/{again.pk}/"
    assert (again.state, again.kind, again.payload) == ("queued", row.kind, row.payload)
    assert client.post(f"/jobs/{row.pk}/retry/")["Location"] == f"/jobs/{again.pk}/", "pressed twice is once"
    assert f"job {again.pk}" in markup(client.get(f"/jobs/{row.pk}/"))
    assert client.post(f"/jobs/{again.pk}/retry/").status_code == 409, "it has not ended"
    done = job(state="succeeded")
    assert client.post(f"/jobs/{done.pk}/retry/").status_code == 409


def test_trying_an_evaluation_again_resumes_it(cast: make.Cast) -> None:
    run = EvaluationRun.objects.create(
        release=make.release(), evaluation_set=scenes.evaluation_set(3), state="failed"
    )
    run.job = job(kind="evaluate", state="failed", subject=f"evaluationrun:{run.pk}", payload={"run": run.pk})
    run.save()
    client = signed_in(cast.operator)
    client.post(f"/jobs/{run.job.pk}/retry/")
    first, run = run.job, EvaluationRun.objects.get(pk=run.pk)
    assert run.state == "queued"
    assert run.job is not None
    assert run.job.pk > first.pk
    assert client.post(f"/jobs/{first.pk}/retry/").status_code == 409, "a later job has it"
