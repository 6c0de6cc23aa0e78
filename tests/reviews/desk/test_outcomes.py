"""My feedback: what became of each review, the live model's text beside mine, and nothing that unblinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import NotFound, Refused
from models_app.ml.engines import LeadEngine
from models_app.models import (
    DatasetSnapshot,
    EvaluationExample,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    Job,
    ModelVersion,
    PromptVersion,
    Release,
    SnapshotExample,
    TrainingRun,
)
from models_app.serving.routing import router
from reviews.desk import outcomes
from reviews.desk.outcomes import STATES, my_reviews, with_what_became
from reviews.examples.decisions import TEST_SPLIT
from reviews.models import (
    Adjudication,
    FeedbackExample,
    GoldAnswer,
    QueueItem,
    Review,
    ReviewReturn,
    ReviewRevision,
)
from tests import make
from tests.api.conftest import serve
from tests.database import without_guards
from tests.pages import markup

pytestmark = pytest.mark.django_db
DRAFT = "The old pier closes. 410 piles are rotten."
MINE = "The old pier closes for nine months. 140 piles are rotten."


@pytest.fixture
def live(cast: make.Cast, tmp_path: Path) -> Iterator[Release]:
    release = make.release(state="warming")
    stop = serve(release, tmp_path / "live.sock", LeadEngine(3))
    make.put_live(release)
    router.reread()
    yield release
    stop()


def reviewed(reviewer: Any, *, done: bool = True, split: str = "train", **fields: Any) -> Review:
    item = make.queue_item(make.summary(make.document(split=split), DRAFT), state="done" if done else "open")
    values = {"state": "submitted", "stars": 2, "verdict": "poor", "edited_text": MINE}
    return Review.objects.create(
        item=item, summary=item.summary, reviewer=reviewer, rubric=item.queue.rubric,
        submitted_at=timezone.now(), **{**values, **fields},
    )  # fmt: skip


def example(review: Review, state: str, **fields: Any) -> FeedbackExample:
    return FeedbackExample.objects.create(
        kind="demonstration", origin="review", document=review.summary.document, summary=review.summary,
        review=review, target=review.edited_text, state=state, **fields,
    )  # fmt: skip


def learnt(row: FeedbackExample) -> TrainingRun:
    """Frozen into a snapshot that a run was trained on."""
    snapshot = DatasetSnapshot.objects.create(
        name="Spring", digest=f"{row.pk:064}", train_rows=1, validation_rows=0, directory="snapshots/1"
    )
    SnapshotExample.objects.create(
        snapshot=snapshot, position=0, split="train", document_hash=row.document.content_hash,
        origin=f"feedback:{row.pk}", source="s", target="t",
    )  # fmt: skip
    return TrainingRun.objects.create(
        name="first", snapshot=snapshot, base="starter", prompt_version=PromptVersion.objects.earliest("pk"),
        recipe={}, recipe_digest=f"{row.pk}", state="succeeded",
    )  # fmt: skip


def only(review: Review) -> outcomes.MyReview:
    return with_what_became([my_reviews(review.reviewer).get(pk=review.pk)])[0]


# ---------------------------------------------------------------- narrowing


def test_each_state_gives_the_reviews_that_are_in_it(cast: make.Cast, live: Release) -> None:
    rita = cast.reviewer
    by = {
        name: reviewed(rita)
        for name in ("waits", "accepted", "declined", "learnt", "live", "held", "nothing")
    }
    for name, state in (
        ("waits", "proposed"),
        ("accepted", "approved"),
        ("declined", "declined"),
        ("held", "held"),
    ):
        example(by[name], state)
    learnt(example(by["learnt"], "approved"))
    run = learnt(example(by["live"], "approved"))
    with without_guards(ModelVersion):
        ModelVersion.objects.filter(pk=live.model_version_id).update(training_run=run)
    returned = reviewed(rita, state="returned")
    ReviewReturn.objects.create(review=returned, returned_by=cast.ml_engineer, comment="Which piles?")
    resolved = reviewed(rita)
    Adjudication.objects.create(
        item=resolved.item, adjudicator=cast.ml_engineer, stars=3, verdict="fair", rubric=resolved.rubric,
        edited_text="Resolved.",
    )  # fmt: skip
    judges = reviewed(rita, split="test")
    example(judges, "declined", reason=TEST_SPLIT)
    reviewed(cast.another_reviewer)
    Review.objects.filter(pk=reviewed(rita).pk).update(state="draft")
    expected = {
        "": {*by.values(), returned, resolved, judges},
        "waits": {by["waits"], by["held"]},
        "accepted": {by["accepted"], by["learnt"], by["live"]},
        "declined": {by["declined"]},
        "evaluation": {judges},
        "learnt": {by["learnt"], by["live"]},
        "live": {by["live"]},
        "returned": {returned},
        "adjudicated": {resolved},
    }
    assert set(expected) == set(STATES)
    for state, reviews in expected.items():
        assert set(my_reviews(rita, state)) == reviews, state


def test_a_declined_example_that_was_proposed_again_waits(cast: make.Cast) -> None:
    review = reviewed(cast.reviewer)
    example(review, "declined")
    example(review, "proposed")
    assert list(my_reviews(cast.reviewer, "declined")) == []
    assert list(my_reviews(cast.reviewer, "waits")) == [review]


def test_a_narrowed_list_says_that_it_goes_back_only_so_far(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "NARROWED", 2)
    for _ in range(3):
        example(reviewed(cast.reviewer), "approved")
    client = signed_in(cast.reviewer)
    shown = markup(client.get("/my-feedback/?state=accepted"))
    assert "The newest 2 of them." in shown
    assert shown.count('class="card fate"') == 2
    assert markup(client.get("/my-feedback/")).count('class="card fate"') == 3


# ---------------------------------------------------------------- what a row says


def test_a_return_an_adjudication_and_a_gold_answer_are_shown_to_whose_review_it_is(cast: make.Cast) -> None:
    review = reviewed(cast.reviewer)
    ReviewReturn.objects.create(
        review=review, returned_by=cast.ml_engineer, comment="Which <piles>?", answered_at=timezone.now()
    )
    Adjudication.objects.create(
        item=review.item, adjudicator=cast.administrator, stars=3, verdict="fair", rubric=review.rubric,
        edited_text="The old pier closes for nine months.", explanation="The number is not needed.",
    )  # fmt: skip
    gold = reviewed(cast.reviewer)
    QueueItem.objects.filter(pk=gold.item_id).update(reason="gold item")
    GoldAnswer.objects.create(
        summary=gold.summary, rubric=gold.rubric, stars=5, verdict="good", explanation="It is right.",
        created_by=cast.ml_engineer,
    )  # fmt: skip
    for number, stars in ((1, 2), (2, 5)):
        ReviewRevision.objects.create(
            review=gold, number=number, data={"stars": stars, "verdict": "good", "ratings": {}}
        )
    assert [(row.right, len(row.judged or [])) for row in [only(gold)]] == [(1, 2)], "the first answer counts"
    shown = markup(signed_in(cast.reviewer).get("/my-feedback/"))
    assert "Which &lt;piles&gt;?" in shown
    assert "The number is not needed." in shown
    assert "alma" not in shown
    assert "mila" not in shown
    assert "gold item: 1 of 2 right" in shown
    theirs = markup(signed_in(cast.another_reviewer).get("/my-feedback/"))
    assert "Which &lt;piles&gt;?" not in theirs
    open_one = reviewed(cast.another_reviewer, state="returned")
    ReviewReturn.objects.create(review=open_one, returned_by=cast.ml_engineer, comment="Look again.")
    theirs = markup(signed_in(cast.another_reviewer).get("/my-feedback/?state=returned"))
    assert "Look again." in theirs
    assert f'href="/desk/item/{open_one.item_id}/"' in theirs


# ---------------------------------------------------------------- the live model beside mine


def test_the_live_model_s_draft_stands_beside_mine_word_by_word(cast: make.Cast, live: Release) -> None:
    review = reviewed(cast.reviewer)
    assert only(review).live == outcomes.LiveText()
    make.summary(review.summary.document, "The old pier closes for ten months.", release=live, source="batch")
    row = only(review)
    assert row.live is not None
    assert row.live.text == "The old pier closes for ten months."
    shown = markup(signed_in(cast.reviewer).get("/my-feedback/"))
    assert "What the live model writes now, beside yours" in shown
    assert "<ins>ten</ins>" in shown
    other = reviewed(cast.reviewer)
    make.summary(other.summary.document, MINE, release=live, source="batch")
    assert only(other).live_is_mine


def test_what_it_wrote_when_it_was_evaluated_counts_too(cast: make.Cast, live: Release) -> None:
    review = reviewed(cast.reviewer, split="test")
    document = review.summary.document
    on = EvaluationSet.objects.create(name="Test", digest="e" * 64, rows=1)
    judged = EvaluationExample.objects.create(
        evaluation_set=on, position=0, document_hash=document.content_hash, origin=f"document:{document.pk}",
        source=document.text, reference=document.reference,
    )  # fmt: skip
    run = EvaluationRun.objects.create(release=live, evaluation_set=on, state="succeeded")
    ExampleScore.objects.create(
        run=run, example=judged, output="Evaluated text.", rouge1=0, rouge2=0, rougeL=0, rougeLsum=0, summary_words=2,
        length_ratio=1, repetition=0, copied_share=0, unsupported_numbers=0, unsupported_names=0,
    )  # fmt: skip
    live_text = only(review).live
    assert live_text is not None
    assert live_text.text == "Evaluated text."


def test_while_an_item_is_open_the_live_text_does_not_tell_whose_draft_it_is(
    cast: make.Cast, live: Release
) -> None:
    review = reviewed(cast.reviewer, done=False)
    make.summary(review.summary.document, DRAFT, release=live, source="batch")
    assert only(review).live is None
    assert "live model" not in markup(signed_in(cast.reviewer).get("/my-feedback/")).split("<article")[1]
    with pytest.raises(Refused, match="still hidden"):
        outcomes.ask_live(review=review.pk, reviewer=cast.reviewer)
    queue = review.item.queue
    queue.blind_to_model = False
    queue.save()
    row = only(review)
    assert row.live_is_draft


def test_it_can_be_asked_once_and_the_page_waits_for_it(cast: make.Cast, live: Release) -> None:
    review = reviewed(cast.reviewer)
    client = signed_in(cast.reviewer)
    path = f"/my-feedback/{review.pk}/live/"
    for _ in range(2):
        shown = markup(client.post(path, headers={"HX-Request": "true"}))
        assert "is writing this article" in shown
        assert 'hx-trigger="every 3s"' in shown
    job = Job.objects.get(kind="generate_summaries")
    make.carried_out(job)
    shown = markup(client.get(path, headers={"HX-Request": "true"}))
    assert "harbour authority of Nordhaven" in shown
    assert "every 3s" not in shown
    assert "written it already" in markup(client.post(path, headers={"HX-Request": "true"}))
    assert client.post(path)["Location"] == "/my-feedback/"
    assert signed_in(cast.another_reviewer).post(path).status_code == 404
    with pytest.raises(NotFound):
        outcomes.ask_live(review=review.pk, reviewer=cast.another_reviewer)
    assert signed_in(cast.approver).post(path).status_code == 403


def test_only_so_many_texts_are_written_for_one_person_at_once(cast: make.Cast, live: Release) -> None:
    for _ in range(3):
        outcomes.ask_live(review=reviewed(cast.reviewer).pk, reviewer=cast.reviewer)
    with pytest.raises(Refused, match="Wait for one of them"):
        outcomes.ask_live(review=reviewed(cast.reviewer).pk, reviewer=cast.reviewer)


def test_where_nothing_is_live_nothing_is_offered(cast: make.Cast) -> None:
    review = reviewed(cast.reviewer)
    assert only(review).live is None
    with pytest.raises(Refused, match="Nothing is live"):
        outcomes.ask_live(review=review.pk, reviewer=cast.reviewer)


# ---------------------------------------------------------------- cost


@pytest.mark.slow
def test_pages_cost_the_same_however_much_there_is(
    cast: make.Cast, live: Release, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        learnt(example(reviewed(cast.reviewer), "approved"))
    client = signed_in(cast.reviewer)
    for _ in range(2):
        for state in STATES:
            with django_assert_max_num_queries(29):
                assert client.get(f"/my-feedback/?state={state}").status_code == 200
        for _ in range(22):
            example(reviewed(cast.reviewer), "approved")
    assert "page 1 of 3" in markup(client.get("/my-feedback/"))
    assert "Nothing of yours is in this state" in markup(client.get("/my-feedback/?state=returned"))
    assert client.get("/my-feedback/?state=nonsense").status_code == 200


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client
