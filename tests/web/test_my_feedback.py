"""My feedback: what became of each review and suggestion of mine."""

from __future__ import annotations

from django.test import Client
from pytest_django import DjangoAssertNumQueries

from models_app.models import ModelVersion, PromptVersion, Release, SnapshotExample, TrainingRun
from reviews.desk import claims
from reviews.desk.reviews import submit_review
from reviews.models import (
    FeedbackExample,
    PromptSuggestion,
    Review,
    ReviewQueue,
)
from tests import make
from tests.pages import markup
from tests.web.desk_forms import ANSWERS, submitted


def follow(review: Review, release_state: str = "live") -> Release:
    """From the approved example to a release of the model that learnt from it."""
    from models_app.models import DatasetSnapshot

    example = FeedbackExample.objects.get(review=review, kind="demonstration")
    FeedbackExample.objects.filter(pk=example.pk).update(state="approved")
    snapshot = DatasetSnapshot.objects.create(
        name="Spring", digest=f"{example.pk:064}", train_rows=1, validation_rows=0, directory="snapshots/1"
    )
    SnapshotExample.objects.create(
        snapshot=snapshot, position=0, split="train", document_hash=example.document.content_hash,
        origin=f"feedback:{example.pk}", source="s", target="t",
    )  # fmt: skip
    run = TrainingRun.objects.create(
        name="first", snapshot=snapshot, base="starter", prompt_version=PromptVersion.objects.earliest("pk"),
        recipe={}, recipe_digest=f"{example.pk}", state="succeeded",
    )  # fmt: skip
    model = ModelVersion.objects.create(
        name="tuned", family="t5", architecture="T5", base="starter", digest=f"m{example.pk:063}",
        engine="ctranslate2", training_run=run,
    )  # fmt: skip
    return make.release(model, state=release_state)


def test_my_feedback_follows_a_review_to_the_release_that_learnt_from_it(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = submitted(cast, queue)
    page = markup(rita.get("/my-feedback/"))
    assert "for an engineer’s decision" in page
    assert "<del>410</del><ins>140</ins>" in page
    release = follow(review)
    page = markup(rita.get("/my-feedback/"))
    for step in (
        "Accepted",
        "Snapshot",
        "Spring",
        "Training",
        "succeeded",
        "tuned",
        f"Release {release.pk}",
        "live",
    ):
        assert step in page
    assert f'href="/models/{release.model_version_id}/"' not in page, "reviewers may not open models"


def test_a_review_of_a_test_document_is_told_as_evaluation_data_and_not_as_declined(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    make.queue_item(make.summary(make.document(split="test")), in_queue=queue)
    lease = claims.claim_next(queue=queue, reviewer=cast.reviewer)
    assert lease is not None
    submit_review(item=lease.assignment.item, answers=ANSWERS, reviewer=cast.reviewer)
    assert FeedbackExample.objects.get(kind="demonstration").state == "declined", "nothing is learnt from it"
    page = markup(rita.get("/my-feedback/"))
    assert "Evaluation data" in page
    assert "Declined</b>" not in page
    assert '<li class="bad' not in page
    assert "None of your reviews" in markup(rita.get("/my-feedback/?state=declined"))
    assert "<b>Evaluation data</b>" in markup(rita.get("/my-feedback/?state=evaluation"))


def test_my_feedback_says_why_something_was_declined(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = submitted(cast, queue)
    FeedbackExample.objects.filter(review=review).update(
        state="declined", reason="The <number> is still wrong."
    )
    assert "The &lt;number&gt; is still wrong." in markup(rita.get("/my-feedback/"))


def test_my_feedback_shows_nobody_else_s(rita: Client, cast: make.Cast, queue: ReviewQueue) -> None:
    item = make.queue_item(in_queue=queue)
    claims.hold(item=item, reviewer=cast.another_reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.another_reviewer)
    assert "You have not submitted a review yet" in markup(rita.get("/my-feedback/"))


def test_my_suggestions_show_their_fate(
    rita: Client, cast: make.Cast, queue: ReviewQueue, live: PromptVersion
) -> None:
    document = make.document()
    open_one = PromptSuggestion.objects.create(
        suggested_by=cast.reviewer,
        document=document,
        based_on=live,
        template="In brief: {text}",
        note="Shorter.",
    )
    PromptSuggestion.objects.create(
        suggested_by=cast.reviewer, document=document, based_on=live, template="Long: {text}", state="declined",
        reason="We want short ones.",
    )  # fmt: skip
    version = PromptVersion.objects.create(
        prompt=live.prompt, number=2, parent=live, template="In brief: {text}", digest="e" * 64
    )
    page = markup(rita.get("/my-feedback/?list=suggestions"))
    assert "Shorter." in page
    assert "We want short ones." in page
    PromptSuggestion.objects.filter(pk=open_one.pk).update(state="adopted", adopted_as=version)
    release = make.release(prompt_version=version, state="awaiting approval")
    page = markup(rita.get("/my-feedback/?list=suggestions"))
    assert "news summary v2" in page
    assert f"Release {release.pk}" in page


def test_my_feedback_takes_a_fixed_number_of_queries(
    rita: Client, cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    follow(submitted(cast, queue))
    with django_assert_num_queries(20):
        rita.get("/my-feedback/")
    for _ in range(25):
        follow(submitted(cast, queue), "superseded")
    with django_assert_num_queries(20):
        page = rita.get("/my-feedback/")
    assert markup(page).count('<article class="card fate"') == 20
    assert "page 1 of 2" in markup(page)
    with django_assert_num_queries(20):
        rita.get("/my-feedback/?page=2")
