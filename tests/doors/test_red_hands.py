"""Nobody decides under one name on what they did under another, and work that came by a side door has hands too."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from models_app.cases.writing import retire_case
from models_app.foundation import audit, jobs
from models_app.foundation.errors import NotAllowed, Refused
from models_app.foundation.seeds import prompt_digest
from models_app.models import CaseVersion, Job, ModelVersion, PromptVersion, Release, Route, Waiver
from models_app.models.releases import Environment
from models_app.people.accounts import change_roles
from models_app.people.links import make_password_link, set_password_by_link
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release
from models_app.releases.deploying import go_live
from models_app.releases.hands import involved, work_began
from models_app.releases.waiving import ask_for_waiver, may_agree
from models_app.training.registering import start_registering
from reviews.examples.decisions import approve_example
from reviews.examples.proposals import propose_from_references
from reviews.examples.snapshots import freeze_snapshot
from reviews.filling.client_feedback import bring_back
from reviews.ingest.documents import content_hash
from reviews.models import FeedbackExample
from reviews.quality.adjudication import resolve_dispute
from tests import make
from tests.cases import scene as case_scenes
from tests.gates.test_cases import ran as run_on_cases
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene
from tests.reviews.filling.test_client_feedback import feedback_on, request_of
from tests.reviews.quality.test_adjudication import RULING, disputed, seen
from tests.tiny_models import make_tiny_llama

pytestmark = pytest.mark.django_db

NEW = "another-long-password"


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def at(moment: datetime, act: Any) -> Any:
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr("models_app.foundation.audit.timezone.now", lambda: moment)
        return act()


def opened(who: User, by: User | None, action: str, **data: Any) -> None:
    with transaction.atomic():
        audit.record(actor=by, action=action, subject=f"user:{who.pk}", data={"name": who.username, **data})


# ---------------------------------------------------------------- the work done under another name


def test_who_took_over_the_engineer_s_account_and_submitted_with_it_cannot_approve(the: Scene) -> None:
    """The other way round: no hand opened the approver's account, the approver opened that of a hand."""
    alma = make.user("both", "administrator", "approver")
    _, secret = make_password_link(person=the.cast.ml_engineer, actor=alma)
    set_password_by_link(secret=secret, password=NEW)
    mila = Client()
    assert mila.login(username="mila", password=NEW)
    the.submitted(actor=User.objects.get(username="mila"))
    may, why = may_decide(now(the), alma)
    assert not may
    assert "both had the link made by which the password of the account of mila was set" in why
    assert "that could have been done by both" in why
    with pytest.raises(NotAllowed, match="after the work on this release began"):
        the.approved_by(alma)
    the.approved_by(the.cast.approver)
    go_live(release=now(the))


def test_who_did_so_through_a_third_account_cannot_approve_either(the: Scene) -> None:
    alma, second = make.user("both", "administrator", "approver"), make.user("second", "administrator")
    make_password_link(person=second, actor=alma)
    change_roles(person=the.cast.ml_engineer, roles=["ml engineer", "reviewer"], actor=second)
    the.submitted()
    may, why = may_decide(now(the), alma)
    assert not may
    assert "second opened the account of somebody with a hand in it" in why


def waiver_by(the: Scene, person: User) -> Waiver:
    scenes.small_policy(guards={"least_documents": 100})
    the.submitted()
    return ask_for_waiver(
        release=now(the), gate="guards", name="rouge1", reason="Few documents.", days=7, actor=person
    )


def test_who_asked_for_a_waiver_by_an_account_of_their_own_does_not_agree_to_it_nor_approve(
    the: Scene,
) -> None:
    alma, puppet = make.user("both", "administrator", "approver"), make.user("puppet", "ml engineer")
    opened(puppet, alma, "person.create")
    waiver = waiver_by(the, puppet)
    may, why = may_agree(waiver, alma)
    assert not may
    assert "both made the account of puppet" in why
    assert not may_decide(now(the), alma)[0]
    assert may_agree(waiver, the.cast.approver)[0]


@pytest.mark.usefixtures("waiting")
def test_who_tried_a_training_again_by_an_account_of_their_own_does_not_approve(the: Scene) -> None:
    alma, puppet = make.user("both", "administrator", "approver"), make.user("puppet", "operator")
    opened(puppet, alma, "person.create")
    job = Job.objects.create(kind="train", subject=f"trainingrun:{the.model.training_run_id}", state="failed")
    with transaction.atomic():
        audit.record(actor=puppet, action="job.retry", subject=job)
    assert puppet.pk in involved(now(the))
    assert not may_decide(now(the), alma)[0]


def test_who_made_cases_easier_by_an_account_of_their_own_does_not_approve(the: Scene) -> None:
    alma, puppet = make.user("both", "administrator", "approver"), make.user("puppet", "ml engineer")
    made = case_scenes.case_set("Acceptance", case_scenes.draft(), case_scenes.draft())
    run_on_cases(the.candidate, "410 piles are rotten.")
    the.submitted()
    opened(puppet, alma, "person.create")
    retire_case(case=CaseVersion.objects.get(number=1), reason="Flaky.", actor=puppet)
    assert made.versions.count() == 3
    assert puppet.pk in involved(now(the))
    assert not may_decide(now(the), alma)[0]


@pytest.mark.usefixtures("waiting")
def test_who_helped_an_engineer_after_the_work_was_done_may_approve(the: Scene) -> None:
    alma = make.user("both", "administrator", "approver")
    make_password_link(person=the.cast.ml_engineer, actor=alma)
    assert may_decide(now(the), alma)[0]


def test_an_approval_of_who_made_the_engineer_s_account_long_ago_counts_and_the_page_says_so(
    the: Scene,
) -> None:
    alma = make.user("both", "administrator", "approver")
    long_ago = timezone.now() - timedelta(days=30)
    at(long_ago, lambda: opened(the.cast.ml_engineer, alma, "person.create"))
    the.submitted()
    the.approved_by(alma)
    client = Client()
    client.force_login(the.cast.another_approver)
    page = markup(client.get(f"/releases/{the.candidate.pk}/"))
    assert f"both made the account of mila on {long_ago:%d %B %Y}" in page
    assert now(the).state == "warming"


def test_a_link_that_was_made_before_the_work_and_used_while_it_went_on_opens_the_account(the: Scene) -> None:
    alma = make.user("hands", "administrator", "ml engineer")
    puppet = the.cast.approver
    _, secret = at(timezone.now() - timedelta(hours=1), lambda: make_password_link(person=puppet, actor=alma))
    release = compose_release(
        model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 4},
        origin="decoding", actor=alma,
    )  # fmt: skip
    assert may_decide(release, User.objects.get(pk=puppet.pk))[0]
    assert work_began(release) == release.created_at, "neither the prompt nor the model is new"
    set_password_by_link(secret=secret, password=NEW)
    may, why = may_decide(release, User.objects.get(pk=puppet.pk))
    assert not may
    assert "hands had the link made by which the password of the account was set" in why


def test_an_account_that_was_opened_after_the_data_were_frozen_and_before_the_training_cannot_approve(
    the: Scene,
) -> None:
    """Freezing is work: a person who froze the data and then makes an approver has begun."""
    assert the.model.training_run is not None
    before = the.model.training_run.created_at - timedelta(microseconds=1)
    assert the.snapshot.created_at < before
    assert work_began(now(the)) == the.snapshot.created_at
    puppet = make.user("puppet", "approver")
    at(before, lambda: opened(puppet, the.cast.ml_engineer, "person.create"))
    the.submitted()
    assert not may_decide(now(the), puppet)[0]


# ---------------------------------------------------------------- by trying a job again


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_who_let_a_failed_training_or_evaluation_go_on_by_its_job_has_a_hand_in_it(
    the: Scene, kind: str
) -> None:
    """As by its own page; the job's page gives the run to nobody in particular."""
    otto = make.user("both", "operator", "approver")
    run: Any = the.model.training_run if kind == "train" else the.comparison.candidate
    with transaction.atomic():
        job = jobs.enqueue(
            kind=kind, actor=run.requested_by, subject=audit.subject_of(run), payload={"run": run.pk}
        )
        audit.record(actor=otto, action="job.retry", subject=f"job:{job.pk}")
    the.submitted()
    assert otto.pk in involved(now(the))
    assert not may_decide(now(the), otto)[0]


@pytest.mark.parametrize("retried", [False, True])
def test_who_asked_for_a_model_registered_it_though_another_tries_the_job_again(
    the: Scene, tmp_path: Path, settings: Any, retried: bool
) -> None:
    """Letting it fail the first time and an operator press the button changes no names."""
    settings.GALLEY_MODEL_DIRECTORIES = [tmp_path]
    owner = make.user("both", "ml engineer", "approver")
    if not retried:
        make_tiny_llama(tmp_path / "fresh", seed=3)
    job = start_registering(reference=str(tmp_path / "fresh"), actor=owner)
    done = make.carried_out(job)
    if retried:
        assert done.state == "failed"
        make_tiny_llama(tmp_path / "fresh", seed=3)
        done = make.carried_out(jobs.retry(job=done, actor=the.cast.operator))
    assert done.state == "succeeded", done.reason
    version = ModelVersion.objects.latest("pk")
    assert version.created_by == owner
    release = compose_release(
        model_version=version, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    assert not may_decide(release, owner)[0]


def test_a_first_release_that_was_submitted_needs_its_approvals_when_it_goes_live(the: Scene) -> None:
    """What Galley installs by itself needs none; what people decided on stands on what they decided."""
    empty = Environment.objects.create(name="empty")
    Route.objects.create(environment=empty, salt="x")
    scenes.same_policy(empty)
    release = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={}, origin="initial",
        actor=the.cast.ml_engineer, environment="empty",
    )  # fmt: skip
    comparison = scenes.compared(release, the.live, the.on)
    scenes.submitted(release, comparison, actor=the.cast.ml_engineer)
    the.approved_by(the.cast.approver, release=release, evidence_digest=release.evidence_digest)
    User.objects.filter(pk=the.cast.approver.pk).update(is_active=False)
    with pytest.raises(Refused, match="0 of 1"):
        go_live(release=Release.objects.get(pk=release.pk))


def test_what_was_live_in_another_environment_was_not_judged_here(the: Scene) -> None:
    """Its first release needs no approval: who put model and prompt live there would have no hand in them here."""
    staging = Environment.objects.create(name="staging")
    Route.objects.create(environment=staging, salt="x")
    writer, registrar = (make.user(name, "approver", "ml engineer") for name in ("writer", "registrar"))
    prompt = PromptVersion.objects.create(
        prompt=scenes.chat_prompt().prompt, number=77, system="Be brief.", template="{text}",
        digest=prompt_digest("Be brief.", "{text}"), parent=scenes.chat_prompt(), created_by=writer,
    )  # fmt: skip
    parts: dict[str, Any] = {
        "model_version": scenes.base_model(by=registrar),
        "prompt_version": prompt,
        "decoding": {},
    }
    first = compose_release(**parts, origin="initial", actor=the.cast.ml_engineer, environment="staging")
    make.put_live(first)
    release = compose_release(**parts, origin="retraining", actor=the.cast.ml_engineer)
    hands = involved(release)
    assert "wrote its prompt" in hands[writer.pk]
    assert "registered its model" in hands[registrar.pk]


# ---------------------------------------------------------------- training data by a side door


def submits_a_model_trained_on(the: Scene, example: FeedbackExample) -> dict[int, list[str]]:
    approve_example(example=example, actor=the.cast.ml_engineer)
    snapshot = freeze_snapshot(name="By a side door", actor=the.cast.ml_engineer)
    assert snapshot.train_rows == 1
    model = scenes.trained_model(the.live.model_version, snapshot, by=the.cast.ml_engineer)
    release = compose_release(
        model_version=model, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    return involved(release)


def test_who_sent_corrections_with_a_token_wrote_the_data(the: Scene) -> None:
    """What a token does its person does: an approver's program must not write what its approver then approves."""
    text = f"{make.ARTICLE} It was the last report of the day."
    document = make.document(text, content_hash=content_hash(text))
    request = request_of(text, client=the.cast.approver)
    feedback = feedback_on(request, stars=5, comment="", edited_summary=document.reference)
    bring_back(feedback=feedback)
    example = FeedbackExample.objects.get(origin="client")
    assert submits_a_model_trained_on(the, example)[the.cast.approver.pk] == ["curated its data"]


def test_who_brought_the_reference_summaries_that_it_learnt_has_a_hand_in_it(the: Scene) -> None:
    """The person who presses *Propose* is not the only one."""
    document = make.document(created_by=the.cast.administrator)
    (example,) = propose_from_references(documents=[document], actor=the.cast.ml_engineer)
    assert submits_a_model_trained_on(the, example)[the.cast.administrator.pk] == ["curated its data"]


def test_whose_text_an_adjudicator_took_wrote_the_data(the: Scene) -> None:
    item = make.queue_item(in_queue=make.queue(reviews_per_item=2), wanted_reviews=2)
    reviews = disputed(item, the.cast)
    resolve_dispute(item=item, ruling=RULING, actor=the.cast.administrator, seen=seen(*reviews))
    example = FeedbackExample.objects.get(origin="adjudication", kind="demonstration")
    assert example.target == reviews[1].edited_text
    hands = submits_a_model_trained_on(the, example)
    assert hands[the.cast.another_reviewer.pk] == ["curated its data"]
    assert "curated its data" in hands[the.cast.administrator.pk]
