"""Prompts tried on articles: what the job writes, what it says together, who may, and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused
from models_app.ml.engines import Capacity, Generation, GenerationRequest
from models_app.ml.errors import PromptTooLong
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.models import Job, PromptVersion, Release
from models_app.serving.routing import router
from reviews.models import (
    Adjudication,
    Notification,
    PromptSuggestion,
    PromptTrial,
    QueueItem,
    Review,
    SourceDocument,
)
from reviews.prompts import trials
from reviews.prompts.trials import Chosen, choose_articles, failing_articles, start_trial, visible_trial
from tests import make
from tests.api.conftest import serve
from tests.pages import markup

pytestmark = pytest.mark.django_db
BETTER = "Keep every number.\n\n{text}"
DRAFT = "The old pier closes. 410 piles are rotten."
WANTED = "Nordhaven closes its old pier for nine months. 140 piles are rotten."


class ObedientEngine:
    """Gets the number wrong unless it is asked not to."""

    name = "obedient"
    precision = "none"
    capacity = Capacity(replicas=1, requests=1, tokens=1000)

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        self.asked: list[PromptSpec] = []

    def generate(
        self, requests: Sequence[GenerationRequest], *, prompt: PromptSpec, decoding: Decoding
    ) -> list[Generation]:
        self.asked.append(prompt)
        self.before()
        if requests[0].title == "too long":
            raise PromptTooLong("The prompt without the article is too long.")
        text = WANTED if "number" in prompt.template else DRAFT
        return [Generation(text, 9, 3, 80, 60, requests[0].title == "long", "stop") for _ in requests]


@pytest.fixture
def engine() -> ObedientEngine:
    return ObedientEngine()


@pytest.fixture
def live(cast: make.Cast, engine: ObedientEngine, tmp_path: Path) -> Iterator[Release]:
    release = make.release(state="warming", prompt_version=version())
    stop = serve(release, tmp_path / "live.sock", engine)
    make.put_live(release)
    router.reread()
    yield release
    stop()


def version() -> PromptVersion:
    return PromptVersion.objects.select_related("prompt").get(prompt__name="summarize", number=1)


def trial_on(articles: Sequence[Chosen], actor: Any, **values: Any) -> PromptTrial:
    return start_trial(based_on=version(), template=BETTER, articles=articles, actor=actor, **values)


def carried_out(trial: PromptTrial) -> Job:
    assert trial.job is not None
    job = make.carried_out(trial.job)
    trial.refresh_from_db()
    return job


def failing(document: SourceDocument, reviewer: Any, text: str = WANTED, **fields: Any) -> Review:
    """A finished item whose one review finds the summary poor."""
    summary = make.summary(document, DRAFT, release=fields.pop("release", None))
    item = make.queue_item(summary, state=fields.pop("item_state", QueueItem.State.DONE))
    values = {"stars": 1, "verdict": "poor", "edited_text": text, "state": "submitted"}
    return Review.objects.create(
        item=item, summary=summary, reviewer=reviewer, rubric=item.queue.rubric,
        submitted_at=timezone.now(), **{**values, **fields},
    )  # fmt: skip


# ---------------------------------------------------------------- what comes of it


def test_each_article_is_written_with_both_prompts_and_kept(
    cast: make.Cast, live: Release, engine: ObedientEngine
) -> None:
    documents = [make.document(reference=WANTED), make.document(reference="", title="long")]
    make.summary(documents[0], "Old words.", release=live, source="batch")
    trial = trial_on(choose_articles(words="", queue=None, count=2, actor=cast.ml_engineer), cast.ml_engineer)
    job = carried_out(trial)
    assert (job.state, job.result, job.step) == ("succeeded", {"articles": 2}, job.step)
    second, first = trial.results.all()
    assert (first.live_text, first.live_kept, first.tried_text) == ("Old words.", True, WANTED)
    assert (second.live_text, second.live_kept, second.tried_text) == (DRAFT, False, WANTED)
    assert (first.target_kind, second.target_kind, second.read_share) == ("reference", "", 0.75)
    assert first.tried_scores["rouge2"] == pytest.approx(1)
    assert (second.live_scores["numbers"], second.tried_scores["numbers"]) == (1, 0)
    assert len(engine.asked) == 3, "what the live release wrote before is not written again"
    assert trial.report["scored"] == 1
    assert [(row["n"], row["low"]) for row in trial.report["rouge"]] == [(1, None)] * 3, (
        "no interval below ten"
    )


def test_a_trial_that_was_cut_off_goes_on_where_it_was(
    cast: make.Cast, live: Release, engine: ObedientEngine
) -> None:
    for _ in range(3):
        make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=3, actor=cast.ml_engineer), cast.ml_engineer)
    assert trial.job is not None
    done = 0

    def stop() -> bool:
        nonlocal done
        done += 1
        return done > 2

    with pytest.raises(jobs.JobCancelled):
        trials.carry_out(trial=trial, progress=lambda *_: None, should_stop=stop)
    assert trial.results.filter(finished_at=None).count() == 1
    asked = len(engine.asked)
    carried_out(trial)
    assert len(engine.asked) == asked + 2
    assert trial.report["written"] == 3


def test_a_cancelled_trial_stops_between_two_articles_and_keeps_what_it_has(
    cast: make.Cast, live: Release, engine: ObedientEngine
) -> None:
    for _ in range(3):
        make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=3, actor=cast.ml_engineer), cast.ml_engineer)
    assert trial.job is not None
    claimed = jobs.claim(trial.job.pk)
    assert claimed is not None
    jobs.cancel(job=trial.job, actor=cast.ml_engineer)
    jobs.run(claimed.pk, str(claimed.lease_token))
    claimed.refresh_from_db()
    assert claimed.state == "cancelled"
    assert Notification.objects.filter(kind="trial").count() == 0
    with pytest.raises(NotAllowed):
        jobs.cancel(job=trial.job, actor=cast.another_reviewer)


def test_an_article_that_does_not_fit_says_so_and_the_others_go_on(cast: make.Cast, live: Release) -> None:
    make.document(title="too long")
    make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=2, actor=cast.ml_engineer), cast.ml_engineer)
    carried_out(trial)
    good, bad = trial.results.all()
    assert good.tried_text == WANTED
    assert bad.error == "The prompt without the article is too long."
    assert (trial.report["written"], trial.report["failed"]) == (1, 1)


def test_where_another_release_goes_live_meanwhile_the_trial_ends_and_says_why(
    cast: make.Cast, live: Release, engine: ObedientEngine, tmp_path: Path
) -> None:
    make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=1, actor=cast.ml_engineer), cast.ml_engineer)
    other = make.release(state="warming")
    stop = serve(other, tmp_path / "other.sock", engine)
    make.put_live(other)
    router.reread()
    job = carried_out(trial)
    stop()
    assert job.state == "failed"
    assert f"Release {other.pk} went live meanwhile" in job.reason
    assert trial.results.filter(finished_at=None).count() == 1


def test_a_model_that_is_gone_is_waited_for_and_then_said(
    cast: make.Cast, live: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=1, actor=cast.ml_engineer), cast.ml_engineer)
    monkeypatch.setattr(trials, "PATIENCE_SECONDS", 0.3)
    from models_app.models import Slot

    Slot.objects.update(state="failed")
    router.reread()
    job = carried_out(trial)
    assert (job.state, job.reason) == (
        "failed", "The live model cannot be loaded; the deployments page says why."
    )  # fmt: skip


def test_long_trials_are_told_at_the_bell_and_looking_at_them_reads_that(
    cast: make.Cast, live: Release
) -> None:
    for _ in range(4):
        make.document()
    trial = trial_on(choose_articles(words="", queue=None, count=4, actor=cast.ml_engineer), cast.ml_engineer)
    carried_out(trial)
    row = Notification.objects.get(user=cast.ml_engineer)
    assert (row.text, row.url) == (
        "Your prompt trial on 4 articles is done.", f"/prompts/playground/?trial={trial.pk}"
    )  # fmt: skip
    client = signed_in(cast.ml_engineer)
    shown = markup(client.get(row.url))
    assert shown.count("This prompt <span") == 4
    assert "preview, not a result" in shown
    row.refresh_from_db()
    assert row.read_at is not None


# ---------------------------------------------------------------- would a prompt do it?


def test_failing_articles_come_with_their_corrections_and_no_test_document(
    cast: make.Cast, live: Release
) -> None:
    poor = failing(make.document(), cast.reviewer)
    failing(make.document(), cast.reviewer, stars=4, verdict="good")
    failing(make.document(split="test"), cast.reviewer)
    failing(make.document(), cast.reviewer, item_state="open")
    failing(make.document(), cast.reviewer, state="returned")
    unedited = failing(make.document(), cast.reviewer, DRAFT, stars=5, verdict="good", wants_refine=True)
    chosen = failing_articles(queue=None, count=20, actor=cast.ml_engineer)
    assert [(row.review, row.target) for row in chosen] == [(unedited, ""), (poor, WANTED)]
    Adjudication.objects.create(
        item=poor.item, adjudicator=cast.ml_engineer, stars=2, verdict="poor", rubric=poor.rubric,
        edited_text="The authoritative text.",
    )  # fmt: skip
    assert (
        failing_articles(queue=None, count=20, actor=cast.ml_engineer)[1].target == "The authoritative text."
    )
    with pytest.raises(NotAllowed):
        failing_articles(queue=None, count=20, actor=cast.reviewer)
    with pytest.raises(InvalidInput) as refused:
        failing_articles(queue=make.queue(slug="weak-outputs"), count=5, actor=cast.ml_engineer)
    assert list(refused.value.fields) == ["which"]
    named = failing_articles(words=str(poor.summary.document_id), queue=None, count=5, actor=cast.ml_engineer)
    assert [row.review for row in named] == [poor]
    with pytest.raises(InvalidInput) as refused:
        failing_articles(words="nothing like it", queue=None, count=5, actor=cast.ml_engineer)
    assert list(refused.value.fields) == ["article"]


def test_mending_is_measured_against_corrections_with_an_interval_and_read_honestly(
    cast: make.Cast, live: Release
) -> None:
    for _ in range(11):
        failing(make.document(), cast.reviewer, release=live)
    client = signed_in(cast.ml_engineer)
    asked = {
        "parent": version().pk, "system": "", "template": BETTER, "which": "failing", "article": "", "queue": "",
        "count": "11", "note": "", "run": "1",
    }  # fmt: skip
    answer = client.post("/prompts/playground/", asked)
    trial = PromptTrial.objects.get()
    assert answer["Location"] == f"/prompts/playground/?trial={trial.pk}"
    carried_out(trial)
    rouge2 = trial.report["rouge"][1]
    assert (rouge2["n"], rouge2["after"], rouge2["better"]) == (11, 100.0, 11)
    assert rouge2["low"] is not None
    assert rouge2["low"] > 0
    assert (trial.report["from_left"], trial.report["live"]["numbers"], trial.report["tried"]["numbers"]) == (
        11,
        11,
        0,
    )
    shown = markup(client.get(answer["Location"]))
    assert "chosen because they failed" in shown
    assert "11 of the 11 corrections were made by changing the very text on the left" in shown
    assert "95\N{NO-BREAK SPACE}% between" in shown
    assert "compare a release with it on the test documents before you train" in shown
    assert "rita" not in shown, "whose correction it is does not matter here"


def test_another_prompt_is_tried_on_the_same_articles(cast: make.Cast, live: Release) -> None:
    poor = failing(make.document(), cast.reviewer, release=live)
    first = trial_on(
        failing_articles(queue=None, count=5, actor=cast.ml_engineer), cast.ml_engineer, purpose="mending"
    )
    carried_out(first)
    failing(make.document(), cast.reviewer)
    client = signed_in(cast.ml_engineer)
    assert "Run on the same articles" in markup(client.get(f"/prompts/playground/?trial={first.pk}"))
    asked = {
        "parent": version().pk, "system": "", "template": "Numbers: {text}", "which": "newest", "article": "",
        "queue": "", "count": "3", "note": "", "trial": first.pk, "again": "1",
    }  # fmt: skip
    client.post("/prompts/playground/", asked)
    second = PromptTrial.objects.latest("pk")
    assert (second.purpose, second.template) == ("mending", "Numbers: {text}")
    (result,) = second.results.all()
    assert (result.document, result.review, result.target) == (poor.summary.document, poor, WANTED)
    assert signed_in(cast.reviewer).post("/prompts/playground/", asked).status_code == 404, "another's trial"


# ---------------------------------------------------------------- who


def test_reviewers_try_on_what_they_have_submitted_and_see_their_own_trials_only(
    cast: make.Cast, live: Release
) -> None:
    mine, theirs = make.document(), make.document()
    failing(mine, cast.reviewer)
    failing(theirs, cast.another_reviewer)
    chosen = choose_articles(words="", queue=None, count=5, actor=cast.reviewer)
    assert [row.document for row in chosen] == [mine]
    with pytest.raises(InvalidInput, match="those you reviewed"):
        choose_articles(words=str(theirs.pk), queue=None, count=5, actor=cast.reviewer)
    trial = trial_on(chosen, cast.reviewer)
    assert visible_trial(pk=trial.pk, user=cast.ml_engineer) == trial
    with pytest.raises(NotFound):
        visible_trial(pk=trial.pk, user=cast.another_reviewer)
    client = signed_in(cast.another_reviewer)
    assert client.get(f"/prompts/playground/?trial={trial.pk}").status_code == 404
    assert client.post(f"/prompts/trials/{trial.pk}/cancel/").status_code == 404
    for person in (cast.approver, cast.operator, cast.stranger):
        with pytest.raises(NotAllowed):
            trial_on(chosen, person)
        assert signed_in(person).get("/prompts/playground/").status_code == 403
    shown = markup(signed_in(cast.reviewer).get("/prompts/playground/"))
    assert "found failing" not in shown
    assert "Save as a version" not in shown
    assert "/releases/" not in shown


def test_a_reviewer_suggests_what_was_tried_with_what_the_model_wrote(cast: make.Cast, live: Release) -> None:
    failing(make.document(), cast.reviewer)
    client = signed_in(cast.reviewer)
    asked = {
        "parent": version().pk, "system": "", "template": BETTER, "article": "", "queue": "", "count": "1", "note": "",
    }  # fmt: skip
    answer = client.post("/prompts/playground/", {**asked, "suggest": "1"})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["template"]
    client.post("/prompts/playground/", {**asked, "run": "1"})
    trial = PromptTrial.objects.get()
    carried_out(trial)
    keep = {**asked, "trial": trial.pk, "note": "Numbers stay.", "suggest": "1"}
    changed = client.post("/prompts/playground/", {**keep, "template": "Briefly: {text}"})
    assert changed.status_code == 422, "that was not tried"
    assert client.post("/prompts/playground/", keep)["Location"] == "/my-feedback/?list=suggestions"
    suggestion = PromptSuggestion.objects.get()
    assert (suggestion.suggested_by, suggestion.output, suggestion.note) == (
        cast.reviewer,
        WANTED,
        "Numbers stay.",
    )
    assert client.post("/prompts/playground/", {**asked, "save": "1"}).status_code == 403


@pytest.mark.parametrize(
    ("field", "values"),
    [("template", {"template": "no article"}), ("template", {"template": "{text} {reader}"}),
     ("system", {"system": "You are {name}."})],
)  # fmt: skip
def test_a_prompt_that_breaks_its_variables_is_refused_at_its_field(
    cast: make.Cast, live: Release, field: str, values: dict[str, str]
) -> None:
    asked = {"template": BETTER, "system": "", **values}
    chat = PromptVersion.objects.select_related("prompt").get(prompt__name="news summary", number=1)
    with pytest.raises(InvalidInput) as refused:
        start_trial(
            based_on=chat,
            system=asked["system"],
            template=asked["template"],
            articles=[Chosen(make.document())],
            actor=cast.ml_engineer,
        )
    assert list(refused.value.fields) == [field]
    assert PromptTrial.objects.count() == 0


def test_test_documents_are_refused_by_any_way(cast: make.Cast, live: Release) -> None:
    with pytest.raises(InvalidInput):
        trial_on([Chosen(make.document(split="test"))], cast.ml_engineer)


def test_nothing_is_tried_where_nothing_is_live(cast: make.Cast) -> None:
    with pytest.raises(Refused, match="Nothing is live"):
        trial_on([Chosen(make.document())], cast.ml_engineer)


# ---------------------------------------------------------------- two versions


def test_any_two_versions_are_compared_word_by_word(cast: make.Cast, live: Release) -> None:
    from models_app.prompts.versions import create_version

    newer = create_version(
        prompt=version().prompt,
        template="summarize briefly: {text}",
        parent=version(),
        actor=cast.ml_engineer,
    )
    shown = markup(signed_in(cast.reviewer).get(f"/prompts/compare/?a={version().pk}&b={newer.pk}"))
    assert "<ins> briefly</ins>" in shown or "<ins>briefly </ins>" in shown
    assert "live" in shown
    assert "Choose two versions" in markup(signed_in(cast.reviewer).get("/prompts/compare/"))
    client = signed_in(cast.reviewer)
    assert client.get("/prompts/compare/?a=99999&b=1").status_code == 404
    assert client.get(f"/prompts/compare/?a=x&b={newer.pk}").status_code == 404
    assert signed_in(cast.stranger).get("/prompts/compare/").status_code == 403


def test_the_history_says_when_a_version_was_live(cast: make.Cast, live: Release) -> None:
    shown = markup(signed_in(cast.reviewer).get(f"/prompts/{version().prompt_id}/"))
    assert "Where and when it was live" in shown
    assert "production, " in shown
    assert "– now" in shown


def test_a_trial_s_page_asks_a_fixed_number_of_questions(
    cast: make.Cast, live: Release, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        make.document()
    small = trial_on(choose_articles(words="", queue=None, count=1, actor=cast.ml_engineer), cast.ml_engineer)
    large = trial_on(
        choose_articles(words="", queue=None, count=12, actor=cast.ml_engineer), cast.ml_engineer
    )
    client = signed_in(cast.ml_engineer)
    for trial in (small, large):
        carried_out(trial)
        with django_assert_max_num_queries(18):
            client.get(f"/prompts/playground/?trial={trial.pk}")


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client
