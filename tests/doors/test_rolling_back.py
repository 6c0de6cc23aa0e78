"""Rolling back always works: nothing that people leave lying about, and nobody's lock, keeps a bad release live."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test import Client

from models_app.evaluation.running import resume_evaluation
from models_app.evaluation.signature import signature_of
from models_app.foundation import jobs
from models_app.foundation.errors import NotAllowed, Refused, StaleState, Unavailable
from models_app.foundation.statements import CHAIN_LOCK
from models_app.models import AuditEvent, Deployment, EvaluationRun, Job, Release, Route, TrainingRun
from models_app.models.releases import Environment
from models_app.releases import deploying
from models_app.releases.composing import compose_release
from models_app.releases.deploying import roll_back
from models_app.releases.obstacles import end_holder, holders
from models_app.training.registering import store
from models_app.training.starting import resume_training
from tests import make
from tests.database import another_session, without_guards
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Iterator[Scene]:
    """The candidate is live; the release before it is superseded."""
    made = scene()
    scenes.made_live(made.candidate)
    yield made
    shutil.rmtree(store())


def production() -> Environment:
    return Environment.objects.get(name="production")


def state(release: Release) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=release.pk)


def back(the: Scene, **fields: Any) -> Deployment:
    values = {"environment": production(), "actor": the.cast.operator, "reason": "It invents numbers."}
    return roll_back(**{**values, **fields})


def again_as_a_draft(the: Scene) -> Release:
    """A draft of exactly what is superseded."""
    draft = compose_release(
        model_version=the.live.model_version, prompt_version=the.live.prompt_version, decoding=the.live.decoding,
        origin="retraining", actor=the.cast.ml_engineer,
    )  # fmt: skip
    assert draft.pk != the.live.pk
    assert draft.digest == the.live.digest
    return draft


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


# ---------------------------------------------------------------- what lies about


@pytest.mark.parametrize("left", ["draft", "awaiting approval", "approved", "warming"])
def test_a_release_of_the_same_content_does_not_stop_a_rollback_and_is_ended_with_the_reason(
    the: Scene, left: str
) -> None:
    draft = again_as_a_draft(the)
    with without_guards(Release):
        Release.objects.filter(pk=draft.pk).update(state=left)
    assert back(the).release == the.live
    assert (state(the.live), state(the.candidate)) == ("live", "rolled back")
    draft.refresh_from_db()
    assert draft.state == ("rolled back" if left == "warming" else "withdrawn")
    event = AuditEvent.objects.filter(subject=f"release:{draft.pk}").latest("id")
    assert (event.actor, event.to_state, event.reason) == (the.cast.operator, draft.state, draft.reason)
    if left != "warming":
        assert f"Release {the.live.pk}, which is exactly this, is live again" in draft.reason


def test_it_does_not_by_the_page_and_the_command_either(the: Scene) -> None:
    again_as_a_draft(the)
    page = signed_in(the.cast.operator)
    answer = page.post("/deployments/roll-back/", {"reason": "Bad.", "live": the.candidate.pk}, follow=True)
    assert "is live again" in markup(answer)
    assert state(the.live) == "live"
    scenes.made_live(make.release(the.model, state="draft"))
    again = again_as_a_draft(the)
    call_command("release", "rollback", "--reason", "Bad again.")
    assert (state(the.live), state(again)) == ("live", "withdrawn")


@pytest.mark.django_db(transaction=True)
def test_a_draft_of_the_same_content_that_is_being_composed_meanwhile_does_not_either(the: Scene) -> None:
    """Its row is not committed: nobody can see it, and a unique constraint would make the rollback wait and fail."""
    composed, go_on = threading.Event(), threading.Event()

    def compose() -> None:
        with transaction.atomic():
            again_as_a_draft(the)
            composed.set()
            go_on.wait(10)
        connection.close()

    # the audit trail is one chain: an append waits for one that is not committed yet
    release_soon = threading.Timer(0.5, go_on.set)
    composer = threading.Thread(target=compose)
    composer.start()
    assert composed.wait(10)
    release_soon.start()
    assert back(the).release == the.live
    composer.join()
    assert state(the.live) == "live"


def test_what_is_live_is_not_composed_a_second_time(the: Scene) -> None:
    draft = again_as_a_draft(the)
    back(the)
    same = compose_release(
        model_version=the.live.model_version, prompt_version=the.live.prompt_version, decoding=the.live.decoding,
        origin="retraining", actor=the.cast.ml_engineer,
    )  # fmt: skip
    assert (same.pk, state(draft)) == (the.live.pk, "withdrawn")


@pytest.mark.parametrize("active", ["queued", "running"])
def test_work_under_way_does_not_stop_a_rollback(the: Scene, active: str) -> None:
    EvaluationRun.objects.create(release=the.live, evaluation_set=scenes.evaluation_set(3), state=active)
    make.release(the.model, state="warming")
    jobs.enqueue(kind="compare", actor=None, subject=f"release:{the.live.pk}", unique_key="compare:1")
    assert back(the).release == the.live


# ---------------------------------------------------------------- files that are gone


def test_a_release_whose_files_are_gone_is_passed_over_by_one_button_that_says_so(the: Scene) -> None:
    third = scenes.made_live(make.release(make.lead_model()))
    shutil.rmtree(store() / the.candidate.model_version.artefact)
    client = signed_in(the.cast.operator)
    page = markup(client.get("/deployments/"))
    assert "What is in the way of rolling back" in page
    assert f"Rolling back passes it over and goes to release {the.live.pk}." in page
    assert f'name="to" value="{the.live.pk}"' in page
    client.post(
        "/deployments/roll-back/", {"reason": "Bad.", "live": third.pk, "to": the.live.pk}, follow=True
    )
    assert [state(release) for release in (the.live, the.candidate, third)] == [
        "live", "rolled back", "rolled back",
    ]  # fmt: skip
    assert "Passed over" in Release.objects.get(pk=the.candidate.pk).reason
    assert Route.objects.get().previous is None


def test_the_command_says_what_is_missing_and_goes_where_it_is_told(the: Scene) -> None:
    third = scenes.made_live(make.release(make.lead_model()))
    shutil.rmtree(store() / the.candidate.model_version.artefact)
    with pytest.raises(CommandError, match=r"cannot be loaded: The files of model .* are missing"):
        call_command("release", "rollback", "--reason", "Bad.")
    assert state(third) == "live"
    call_command("release", "rollback", "--reason", "Bad.", "--to", str(the.live.pk))
    assert (state(the.live), state(third)) == ("live", "rolled back")


def test_without_any_files_the_live_release_can_still_be_taken_away(the: Scene) -> None:
    shutil.rmtree(store() / the.live.model_version.artefact)
    page = markup(signed_in(the.cast.operator).get("/deployments/"))
    assert "No earlier release has its files" in page
    assert f'name="to" value="{the.live.pk}"' in page
    assert back(the, to=the.live.pk).release == the.live


def test_one_goes_back_to_nothing_that_was_not_live_or_was_rolled_back(the: Scene) -> None:
    for other in (make.release(), make.release(state="rolled back"), make.release(state="superseded")):
        with pytest.raises(Refused, match="was not live before"):
            back(the, to=other.pk)
    assert state(the.candidate) == "live"


# ---------------------------------------------------------------- locks


HELD = [
    "SELECT FROM models_app_route FOR UPDATE",
    "UPDATE models_app_release SET note = note",
    "LOCK TABLE models_app_deployment IN EXCLUSIVE MODE",
    f"SELECT pg_advisory_xact_lock({CHAIN_LOCK})",
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("held", HELD)
def test_a_lock_that_somebody_holds_is_named_and_ended_by_one_button(
    the: Scene, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr("models_app.releases.obstacles.STUCK_SECONDS", 0.2)
    with another_session(held) as other:
        pid = other.info.backend_pid
        with pytest.raises(Unavailable, match=rf"Session {pid} \(psql\)"):
            back(the)
        assert holders(seconds=0.2), "told while the other still holds it"
        assert state(the.candidate) == "live"
        client = signed_in(the.cast.operator)
        page = markup(client.get("/deployments/"))
        assert f"Session {pid} (psql) of the database, idle in transaction" in page
        assert client.post(f"/deployments/end-session/{pid}/", {"reason": " "}).status_code == 302
        assert [holder.pid for holder in holders(seconds=0.2)] == [pid]
        client.post(f"/deployments/end-session/{pid}/", {"reason": "It was forgotten."})
        assert back(the).release == the.live
    event = AuditEvent.objects.get(action="deployment.end_session")
    assert (event.actor, event.reason, event.data["session"]) == (
        the.cast.operator, "It was forgotten.", pid,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_sessions_that_hold_nothing_a_switch_needs_are_left_alone(the: Scene) -> None:
    with another_session(
        "SELECT FROM models_app_route", "SELECT FROM models_app_release FOR KEY SHARE"
    ) as other:
        time.sleep(0.3)
        assert holders(seconds=0.2) == []
        with pytest.raises(StaleState, match="holds nothing"):
            end_holder(pid=other.info.backend_pid, actor=the.cast.operator, reason="Mine now.")
        with pytest.raises(NotAllowed):
            end_holder(pid=other.info.backend_pid, actor=the.cast.approver, reason="Mine now.")
        assert back(the).release == the.live
        other.execute("SELECT 1")


# ---------------------------------------------------------------- runs that are active already


def test_resuming_a_training_while_an_equal_one_is_active_is_refused_in_words(the: Scene) -> None:
    ended = the.model.training_run
    assert ended is not None
    with without_guards(TrainingRun):
        TrainingRun.objects.filter(pk=ended.pk).update(state="failed")
    ended.refresh_from_db()
    equal = TrainingRun.objects.create(
        name="again", snapshot=ended.snapshot, base=ended.base, prompt_version=ended.prompt_version,
        recipe=ended.recipe, recipe_digest=ended.recipe_digest, state="running",
    )  # fmt: skip
    words = f"Training {equal.pk}, which is the same, is running"
    with pytest.raises(StaleState, match=words):
        resume_training(run=ended, actor=the.cast.ml_engineer)
    answer = signed_in(the.cast.ml_engineer).post(f"/training/{ended.pk}/resume/")
    assert (answer.status_code, words in markup(answer)) == (409, True)
    job = Job.objects.create(kind="train", payload={"run": ended.pk}, state="failed")
    TrainingRun.objects.filter(pk=ended.pk).update(job=job)
    answer = signed_in(the.cast.operator).post(f"/jobs/{job.pk}/retry/")
    assert (answer.status_code, words in markup(answer)) == (409, True)
    assert Job.objects.filter(kind="train").exclude(pk=job.pk).count() == 0


def test_trying_an_evaluation_again_while_an_equal_one_is_active_is_refused_in_words(the: Scene) -> None:
    job = Job.objects.create(kind="evaluate", state="failed")
    on = scenes.evaluation_set(3)
    same: dict[str, Any] = {"release": the.candidate, "evaluation_set": on, "signature": signature_of(on)}
    ended = EvaluationRun.objects.create(**same, state="failed", job=job)
    Job.objects.filter(pk=job.pk).update(payload={"run": ended.pk})
    equal = EvaluationRun.objects.create(**same, state="queued")
    words = f"Evaluation {equal.pk}, which is the same, is queued"
    with pytest.raises(StaleState, match=words):
        resume_evaluation(run=ended, actor=the.cast.ml_engineer)
    answer = signed_in(the.cast.operator).post(f"/jobs/{job.pk}/retry/")
    assert (answer.status_code, words in markup(answer)) == (409, True)


@pytest.mark.parametrize("active", ["queued", "running", "succeeded"])
def test_a_run_that_did_not_end_badly_is_not_resumed(the: Scene, active: str) -> None:
    """A running run that became queued could never end."""
    run = the.model.training_run
    assert run is not None
    with without_guards(TrainingRun):
        TrainingRun.objects.filter(pk=run.pk).update(state=active)
    run.refresh_from_db()
    with pytest.raises(Refused, match=active):
        resume_training(run=run, actor=the.cast.ml_engineer)
    assert (TrainingRun.objects.get(pk=run.pk).state, Job.objects.count()) == (active, 0)
