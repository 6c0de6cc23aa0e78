"""Blind means blind: while an item is judged, nobody who may judge it learns what others answered, by any door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from models_app.foundation.errors import Refused
from models_app.models import AuditEvent
from reviews import blindness, queueing, talking
from reviews.feedback import propose_from_review
from reviews.models import Notification, Preference, PromptSuggestion, QueueItem, Review, ReviewSlot, Skip
from reviews.pairwise import Judgement, begin, choose
from tests import make
from tests.reviews.exports import exported, rows_of

pytestmark = pytest.mark.django_db
SECRET = "It is 140 piles, not 410."
COMMENT = "A digit was swapped."


@pytest.fixture
def people() -> make.Cast:
    return make.cast()


@pytest.fixture
def item(people: make.Cast) -> QueueItem:
    """Two reviews are wanted; rita has handed hers in, and somebody else will be asked for the other."""
    summary = make.summary(
        make.document(title="Old pier"), release=make.release(), model_version=make.lead_model()
    )
    item = make.queue_item(summary, make.queue(reviews_per_item=2))
    queueing.hold(item=item, reviewer=people.reviewer)
    review = Review.objects.create(
        item=item, summary=summary, reviewer=people.reviewer, rubric=item.queue.rubric, state="submitted", stars=2,
        verdict="poor", edited_text=SECRET, comment=COMMENT, submitted_at=item.created_at, revision=1,
    )  # fmt: skip
    ReviewSlot.objects.filter(item=item, reviewer=people.reviewer).update(
        state="done", lease_token=None, lease_until=None
    )
    propose_from_review(review=review)
    item.refresh_from_db()
    assert item.state == "open"
    return item


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    return client


def judges(people: make.Cast) -> list[Any]:
    """Who sees models, feedback and queues, and may be asked to review: engineer, administrator."""
    return [people.ml_engineer, people.administrator]


def pages(item: QueueItem) -> list[str]:
    document, example = item.summary.document_id, item.reviews.get().examples.first()
    assert example is not None
    return [
        f"/documents/{document}/",
        "/feedback/",
        "/feedback/?state=all",
        f"/feedback/?state=all&document={document}",
        f"/feedback/{example.pk}/",
        f"/feedback/{example.pk}/article/",
        f"/queues/{item.queue.slug}/",
        f"/queues/{item.queue.slug}/items/{item.pk}/",
        "/prompts/?show=suggestions",
        "/notifications/",
        "/disputes/",
        "/audit/",
        "/",
        "/my-feedback/",
        f"/desk/{item.queue.slug}/",
    ]


def test_no_page_shows_others_answers_to_who_may_still_be_asked(people: make.Cast, item: QueueItem) -> None:
    for user in judges(people):
        client = signed_in(user)
        for path in pages(item):
            page = client.get(path, follow=True).content.decode()
            for secret in (SECRET, "140 piles", COMMENT, "2 stars"):
                assert secret not in page, (user, path, secret)


def test_the_same_pages_show_them_once_the_item_is_done(people: make.Cast, item: QueueItem) -> None:
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    client = signed_in(people.ml_engineer)
    for path in pages(item)[:2]:
        assert COMMENT in client.get(path).content.decode(), path


def test_who_was_shown_them_is_not_asked_any_more(people: make.Cast, item: QueueItem) -> None:
    client = signed_in(people.ml_engineer)
    assert COMMENT not in client.get(f"/documents/{item.summary.document_id}/").content.decode()
    client.post(f"/queues/{item.queue.slug}/items/{item.pk}/step-aside/")
    assert Skip.objects.get(item=item, reviewer=people.ml_engineer).saw_others
    assert COMMENT in client.get(f"/documents/{item.summary.document_id}/").content.decode()
    assert queueing.hold(item=item, reviewer=people.ml_engineer) is None
    assert queueing.claim_next(queue=item.queue, reviewer=people.ml_engineer) is None


def test_who_has_answered_sees_the_others_once_all_have(people: make.Cast, item: QueueItem) -> None:
    """Answers can be corrected."""
    people.reviewer.groups.add(Group.objects.get(name="ml engineer"))
    reader = type(people.reviewer).objects.get(pk=people.reviewer.pk)
    Review.objects.create(
        item=item, summary=item.summary, reviewer=people.another_reviewer, rubric=item.queue.rubric, revision=1,
        state="submitted", stars=5, verdict="good", edited_text="x", comment="Nothing wrong.",
        submitted_at=item.created_at,
    )  # fmt: skip
    page = signed_in(reader).get(f"/documents/{item.summary.document_id}/").content.decode()
    assert COMMENT in page, "her own"
    assert "Nothing wrong." not in page
    with pytest.raises(Refused, match="once all have"):
        queueing.step_aside(item=item, reviewer=reader)


def test_who_never_reviews_sees_what_their_pages_show(people: make.Cast, item: QueueItem) -> None:
    people.stranger.groups.set(Group.objects.filter(name="operator"))
    reader = type(people.stranger).objects.get(pk=people.stranger.pk)
    assert not blindness.judged(reader).exists()
    assert blindness.sees_answers(item=item, reader=reader)


def test_where_reviewers_see_each_other_nothing_is_hidden(people: make.Cast, item: QueueItem) -> None:
    item.queue.blind_to_peers = False
    item.queue.save()
    assert (
        COMMENT
        in signed_in(people.ml_engineer).get(f"/documents/{item.summary.document_id}/").content.decode()
    )


def test_the_document_page_hides_the_model_of_what_one_may_judge(people: make.Cast, item: QueueItem) -> None:
    client = signed_in(people.ml_engineer)
    path = f"/documents/{item.summary.document_id}/"
    page = client.get(path).content.decode()
    assert "lead-3" not in page
    assert f"/releases/{item.summary.release_id}/" not in page
    assert "stays hidden here while you could still be asked" in page
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert "lead-3" in client.get(path).content.decode()


@pytest.mark.parametrize("kind", ["reviews", "edits", "ratings"])
def test_no_export_takes_them_out(people: make.Cast, item: QueueItem, kind: str) -> None:
    other = make.queue_item(
        make.summary(make.document(), "Draft words of another."), item.queue, state="done"
    )
    done = Review.objects.create(
        item=other, summary=other.summary, reviewer=people.reviewer, rubric=item.queue.rubric, state="submitted",
        stars=3, verdict="fair", edited_text="Better words.", submitted_at=item.created_at, revision=1,
    )  # fmt: skip
    for review in (done, item.reviews.get()):
        for criterion in item.queue.rubric.criteria.all()[:1]:
            review.rating_rows.create(criterion=criterion, value=4)
    for user in judges(people):
        rows = rows_of(exported(user, kind=kind))
        assert {row["item"] for row in rows} == {other.pk}
        assert SECRET not in json.dumps(rows)


def test_no_training_export_takes_them_out(people: make.Cast, item: QueueItem) -> None:
    item.reviews.get().examples.update(state="approved", decided_at=item.created_at)
    from reviews import exporting
    from reviews.export_rows import Request

    export = exporting.request_export(request=Request(kind="sft"), actor=people.ml_engineer)
    assert export.job is not None
    assert make.carried_out(export.job).state == "failed", "there is nothing to take out"


def test_a_suggestion_on_an_article_that_is_still_judged_is_not_shown(
    people: make.Cast, item: QueueItem
) -> None:
    from models_app.models import PromptVersion

    version = PromptVersion.objects.select_related("prompt").all()[0]
    PromptSuggestion.objects.create(
        suggested_by=people.reviewer, document=item.summary.document, based_on=version, template="Better: {text}",
        output="What it wrote.", note="The draft gets the number wrong.",
    )  # fmt: skip
    for user in (people.another_reviewer, people.ml_engineer):
        page = signed_in(user).get("/prompts/?show=suggestions").content.decode()
        assert "gets the number wrong" not in page
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert (
        "gets the number wrong"
        in signed_in(people.ml_engineer).get("/prompts/?show=suggestions").content.decode()
    )


def test_no_notification_names_a_reviewer_to_who_may_still_be_asked(
    people: make.Cast, item: QueueItem
) -> None:
    talking.open_thread(about=item, text="Is 410 right?", actor=people.reviewer)
    told = Notification.objects.filter(user__in=judges(people))
    assert told.exists()
    for notification in told:
        assert "rita" not in notification.text
        assert notification.text.startswith("A reviewer began a conversation")


def test_the_trail_does_not_tell_what_was_preferred(people: make.Cast) -> None:
    queue = make.queue(kind="pairwise", reviews_per_item=2)
    document = make.document()
    item = QueueItem.objects.create(
        queue=queue,
        summary=make.summary(document, "It closes."),
        other=make.summary(document, "It will close."),
    )
    from reviews.seating import fit_seats

    fit_seats(queue=queue, items=[item.pk])
    lease = queueing.hold(item=item, reviewer=people.reviewer)
    assert lease is not None
    begin(item=item, reviewer=people.reviewer)
    choose(item=item, judgement=Judgement(answer="left", strength=3), reviewer=people.reviewer)
    choice = Preference.objects.get().choice
    event = AuditEvent.objects.filter(action__startswith="preference").latest("pk")
    assert event.data["answer"]["choice"] == choice, "the trail itself keeps it"
    client = signed_in(people.administrator)
    for path in ("/audit/", "/audit/audit.csv", "/audit/audit.jsonl"):
        page = b"".join(client.get(path)).decode()
        assert "preference" in page
        assert "strength" not in page


def test_a_blind_desk_page_carries_nothing_that_tells_the_model(people: make.Cast, item: QueueItem) -> None:
    answer = signed_in(people.another_reviewer).get(f"/desk/{item.queue.slug}/")
    page = answer.content.decode()
    summary = item.summary
    assert summary.model_version is not None
    for secret in (summary.model_version.name, f"release-{summary.release_id}", summary.model_version.digest):
        assert secret not in page
    assert not {"ETag", "X-Release", "Last-Modified", "Server-Timing"} & set(answer.headers)
