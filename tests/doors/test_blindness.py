"""Blind means blind: while an item is judged, nobody who may judge it learns what others answered, by any door."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from models_app.foundation.errors import NotFound, Refused
from models_app.models import AuditEvent, PromptVersion
from reviews.desk import claims
from reviews.desk.choices import Judgement, begin, choose
from reviews.discussion import comments
from reviews.examples.proposals import propose_from_review
from reviews.models import (
    Assignment,
    FeedbackExample,
    Notification,
    Preference,
    PromptSuggestion,
    PromptTrial,
    QueueItem,
    Review,
    ReviewQueue,
    Skip,
    Summary,
)
from reviews.prompts.suggestions import adopt_suggestion, decline_suggestion, suggest_prompt
from reviews.prompts.trials import choose_articles, start_trial
from reviews.queues import blindness
from reviews.reports import overview
from tests import make
from tests.pages import markup
from tests.reviews.exports.exported import exported, rows_of

pytestmark = pytest.mark.django_db
SECRET = "It is 140 piles, not 410."
COMMENT = "A digit was swapped."


@pytest.fixture
def people() -> make.Cast:
    return make.cast()


@pytest.fixture
def item(people: make.Cast) -> QueueItem:
    """Two reviews are wanted; rita has submitted hers, and somebody else will be asked for the other."""
    summary = make.summary(
        make.document(title="Old pier"), release=make.release(), model_version=make.lead_model()
    )
    item = make.queue_item(summary, make.queue(reviews_per_item=2))
    claims.hold(item=item, reviewer=people.reviewer)
    review = Review.objects.create(
        item=item, summary=summary, reviewer=people.reviewer, rubric=item.queue.rubric, state="submitted", stars=2,
        verdict="poor", edited_text=SECRET, comment=COMMENT, submitted_at=item.created_at, revision=1,
    )  # fmt: skip
    Assignment.objects.filter(item=item, reviewer=people.reviewer).update(
        state="done", lease_token=None, lease_until=None
    )
    propose_from_review(review=review)
    item.refresh_from_db()
    assert item.state == "open"
    return item


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def judges(people: make.Cast) -> list[Any]:
    """Who sees models, feedback and queues, and may be asked to review: engineer, administrator."""
    return [people.ml_engineer, people.administrator]


def pages_that_tell(item: QueueItem) -> dict[str, int]:
    """Pages that show what others answered once the item is done, and their status as long as it is not."""
    document, example = item.summary.document_id, item.reviews.get().examples.first()
    assert example is not None
    return {
        f"/documents/{document}/": 200,
        "/feedback/": 200,
        "/feedback/?state=all": 200,
        f"/feedback/?state=all&document={document}": 200,
        f"/feedback/{example.pk}/": 404,
        f"/queues/{item.queue.slug}/items/{item.pk}/": 200,
    }


def pages_beside(item: QueueItem) -> list[str]:
    """Pages around the item, which show none of it at any time."""
    return [
        f"/queues/{item.queue.slug}/", "/prompts/?show=suggestions", "/notifications/", "/agreement/disputes/", "/",
        "/my-feedback/", f"/desk/{item.queue.slug}/",
    ]  # fmt: skip


TOLD = (SECRET, "140 piles", COMMENT, "2 stars")


def test_no_page_shows_others_answers_to_who_may_still_be_asked(people: make.Cast, item: QueueItem) -> None:
    for user in judges(people):
        client = signed_in(user)
        for path, status in {**pages_that_tell(item), **dict.fromkeys(pages_beside(item), 200)}.items():
            answer = client.get(path, follow=True)
            assert answer.status_code == status, (user, path)
            assert [told for told in TOLD if told in markup(answer)] == [], (user, path)
    answer = signed_in(people.administrator).get("/audit/")
    assert [told for told in TOLD if told in markup(answer)] == []
    assert answer.status_code == 200


def test_the_same_pages_show_them_once_the_item_is_done(people: make.Cast, item: QueueItem) -> None:
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    for user in judges(people):
        client = signed_in(user)
        for path in pages_that_tell(item):
            page = markup(client.get(path))
            assert "140 piles" in page, (user, path)
            assert COMMENT in page, (user, path)


def test_who_was_shown_them_is_not_asked_any_more(people: make.Cast, item: QueueItem) -> None:
    client = signed_in(people.ml_engineer)
    assert COMMENT not in markup(client.get(f"/documents/{item.summary.document_id}/"))
    client.post(f"/queues/{item.queue.slug}/items/{item.pk}/step-aside/")
    assert Skip.objects.get(item=item, reviewer=people.ml_engineer).saw_others
    assert COMMENT in markup(client.get(f"/documents/{item.summary.document_id}/"))
    assert claims.hold(item=item, reviewer=people.ml_engineer) is None
    assert claims.claim_next(queue=item.queue, reviewer=people.ml_engineer) is None


def test_who_has_answered_sees_the_others_once_all_have(people: make.Cast, item: QueueItem) -> None:
    """Answers can be corrected."""
    people.reviewer.groups.add(Group.objects.get(name="ml engineer"))
    reader = type(people.reviewer).objects.get(pk=people.reviewer.pk)
    Review.objects.create(
        item=item, summary=item.summary, reviewer=people.another_reviewer, rubric=item.queue.rubric, revision=1,
        state="submitted", stars=5, verdict="good", edited_text="x", comment="Nothing wrong.",
        submitted_at=item.created_at,
    )  # fmt: skip
    page = markup(signed_in(reader).get(f"/documents/{item.summary.document_id}/"))
    assert COMMENT in page, "her own"
    assert "Nothing wrong." not in page
    with pytest.raises(Refused, match="once all have"):
        claims.step_aside(item=item, reviewer=reader)


def test_who_never_reviews_sees_what_their_pages_show(people: make.Cast, item: QueueItem) -> None:
    people.stranger.groups.set(Group.objects.filter(name="operator"))
    reader = type(people.stranger).objects.get(pk=people.stranger.pk)
    assert not blindness.judged(reader).exists()
    assert blindness.sees_answers(item=item, reader=reader)


def test_where_reviewers_see_each_other_nothing_is_hidden(people: make.Cast, item: QueueItem) -> None:
    item.queue.blind_to_peers = False
    item.queue.save()
    assert COMMENT in markup(signed_in(people.ml_engineer).get(f"/documents/{item.summary.document_id}/"))


def test_the_document_page_hides_the_model_of_what_one_may_judge(people: make.Cast, item: QueueItem) -> None:
    client = signed_in(people.ml_engineer)
    path = f"/documents/{item.summary.document_id}/"
    page = markup(client.get(path))
    assert "lead-3" not in page
    assert f"/releases/{item.summary.release_id}/" not in page
    assert "stays hidden here while you could still be asked" in page
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert "lead-3" in markup(client.get(path))


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


def every_case(people: make.Cast) -> None:
    """Items in every state, in queues of every kind, that the engineer has or has not answered or left; each has an
    answer of somebody else's."""
    number = 0
    for peers, model in product((True, False), repeat=2):
        queue = ReviewQueue.objects.create(
            name=f"Blind {peers} {model}", slug=f"blind-{peers}-{model}".lower(), blind_to_peers=peers,
            blind_to_model=model, rubric=make.queue().rubric, reviews_per_item=3,
        )  # fmt: skip
        for state, answered, left in product(
            ("open", "disputed", "done"), (True, False), (None, "snooze", "saw others", "had a hand")
        ):
            number += 1
            summary = make.summary(
                make.document(), f"Summary number {number}.", model_version=make.lead_model()
            )
            item = QueueItem.objects.create(queue=queue, summary=summary, state=state)
            for reviewer in (people.reviewer, *((people.ml_engineer,) if answered else ())):
                Review.objects.create(
                    item=item, summary=summary, reviewer=reviewer, rubric=queue.rubric, state="submitted", stars=3,
                    verdict="fair", edited_text=f"Edit {number}.", submitted_at=item.created_at, revision=1,
                )  # fmt: skip
            if left is not None:
                Skip.objects.create(
                    item=item, reviewer=people.ml_engineer, saw_others=left == "saw others",
                    meaning=Skip.Meaning.HAD_A_HAND if left == "had a hand" else Skip.SAID.get(left, Skip.Meaning.SKIP),
                )  # fmt: skip


def test_exports_hold_what_the_one_rule_lets_somebody_read(people: make.Cast) -> None:
    every_case(people)
    for user in (*judges(people), make.user("monika", "operator")):
        user.user_permissions.add(Permission.objects.get(codename="manage_queues"))
        reader = type(user).objects.get(pk=user.pk)
        readable = blindness.readable_reviews(Review.objects.all(), reader)
        hidden = blindness.hidden_models(Summary.objects.all(), reader)
        rows = rows_of(exported(reader, kind="reviews"))
        assert {row["review"] for row in rows} == {review.pk for review in readable}
        assert {row["summary"] for row in rows if row["model_version"] is None} == hidden & {
            review.summary_id for review in readable
        }
        assert bool(hidden) == (user.username != "monika"), "only people who are never asked see all"


@pytest.mark.parametrize("mine", [True, False])
def test_no_export_names_the_model_of_what_the_asker_may_still_judge(
    people: make.Cast, item: QueueItem, mine: bool
) -> None:
    """In its own queue, and in another where the same summary is done."""
    item.queue.blind_to_peers = False
    item.queue.save()
    elsewhere = ReviewQueue.objects.create(name="Elsewhere", slug="elsewhere", rubric=item.queue.rubric)
    done = QueueItem.objects.create(queue=elsewhere, summary=item.summary, state="done")
    Review.objects.filter(item=item).update(reviewer=people.ml_engineer)
    Review.objects.create(
        item=done, summary=item.summary, reviewer=people.ml_engineer, rubric=elsewhere.rubric, state="submitted",
        stars=3, verdict="fair", edited_text="Better.", submitted_at=item.created_at, revision=1,
    )  # fmt: skip
    names = ("release", "model_version", "prompt_version", "system")
    for kind in ("reviews", "edits"):
        rows = rows_of(exported(people.ml_engineer, kind=kind, mine=mine))
        assert {row["item"] for row in rows} == {item.pk, done.pk}
        assert [[row[name] for name in names] for row in rows] == [[None] * 4] * 2
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    rows = rows_of(exported(people.ml_engineer, kind="reviews", mine=mine))
    assert {(row["release"], row["model_version"]) for row in rows} == {
        (item.summary.release_id, make.lead_model().name)
    }


def test_no_export_of_choices_tells_which_side_is_whose_while_the_asker_may_still_judge_the_pair(
    people: make.Cast,
) -> None:
    """Before and after are the live release and the next one, so the pair itself is left out; and where the same
    texts are done in another queue, their models have no names."""
    document = make.document()
    texts = {
        "summary": make.summary(document, "It closes.", model_version=make.lead_model()),
        "other": make.summary(document, "It will close.", system="human"),
    }
    queue = make.queue(kind="pairwise", blind_to_peers=False, reviews_per_item=2)
    elsewhere = ReviewQueue.objects.create(
        name="Elsewhere", slug="elsewhere", kind="pairwise", rubric=queue.rubric
    )
    still = QueueItem.objects.create(queue=queue, **texts)
    done = QueueItem.objects.create(queue=elsewhere, **texts, state="done")
    for item, reviewer in ((still, people.reviewer), (still, people.ml_engineer), (done, people.reviewer)):
        Preference.objects.create(
            item=item, reviewer=reviewer, choice="after", strength=2, state="submitted",
            submitted_at=item.created_at,
        )  # fmt: skip
    (row,) = rows_of(exported(people.ml_engineer, kind="preferences"))
    assert (row["item"], row["before_model_version"], row["after_model_version"]) == (done.pk, None, None)
    QueueItem.objects.filter(pk=still.pk).update(state="done")
    rows = rows_of(exported(people.ml_engineer, kind="preferences"))
    assert [(row["before_model_version"], row["after_model_version"]) for row in rows] == [
        (make.lead_model().name, "human")
    ] * 3


def test_no_training_export_takes_them_out(people: make.Cast, item: QueueItem) -> None:
    """Beside an example of a finished item, which is exported."""
    elsewhere = make.queue_item(make.summary(make.document(), "Another draft of another pier."), item.queue)
    done = Review.objects.create(
        item=elsewhere, summary=elsewhere.summary, reviewer=people.reviewer, rubric=item.queue.rubric, stars=3,
        state="submitted", verdict="fair", edited_text="Better words of another pier.", revision=1,
        submitted_at=item.created_at,
    )  # fmt: skip
    propose_from_review(review=done)
    QueueItem.objects.filter(pk=elsewhere.pk).update(state="done")
    FeedbackExample.objects.update(state="approved", decided_at=item.created_at)

    def completions() -> set[str]:
        return {row["completion"] for row in rows_of(exported(people.ml_engineer, kind="sft"))}

    assert completions() == {"Better words of another pier."}
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert completions() == {"Better words of another pier.", SECRET}


NOTE = "The draft gets the number wrong."


@pytest.fixture
def suggestion(people: make.Cast, item: QueueItem) -> PromptSuggestion:
    """Rita suggests a prompt on the article whose summary others may still be asked to judge."""
    return suggest_prompt(
        document=item.summary.document,
        based_on=PromptVersion.objects.select_related("prompt").get(prompt__kind="chat", number=1),
        template="Keep 140 as it is: {text}",
        output="What it wrote.",
        note=NOTE,
        actor=people.reviewer,
    )


def test_a_suggestion_on_an_article_that_is_still_judged_is_not_shown(
    people: make.Cast, item: QueueItem, suggestion: PromptSuggestion
) -> None:
    shown = "/prompts/?show=suggestions"
    for user in (people.another_reviewer, people.ml_engineer):
        assert NOTE not in markup(signed_in(user).get(shown))
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert NOTE in markup(signed_in(people.ml_engineer).get(shown))


def test_nothing_is_counted_that_its_list_does_not_show(
    people: make.Cast, item: QueueItem, suggestion: PromptSuggestion
) -> None:
    """Neither at the list nor in the navigation."""
    client = signed_in(people.ml_engineer)

    def counted() -> tuple[int, int, int]:
        waits = overview.waiting(people.ml_engineer)
        return client.get("/prompts/").context["waiting"], waits.suggestions, waits.feedback

    assert counted() == (0, 0, 0)
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert counted() == (1, 1, 2), "a demonstration and a preference"


def test_a_suggestion_that_is_not_shown_cannot_be_opened_adopted_or_declined(
    people: make.Cast, item: QueueItem, suggestion: PromptSuggestion
) -> None:
    for user in judges(people):
        client = signed_in(user)
        for path in (
            f"/prompts/playground/?suggestion={suggestion.pk}",
            f"/prompts/playground/?suggestion={suggestion.pk}&which=failing",
        ):
            answer = client.get(path)
            assert answer.status_code == 404, (user, path)
        for act in ("adopt", "decline"):
            answer = client.post(
                f"/prompts/suggestions/{suggestion.pk}/{act}/", {"reason": "Too long."}, follow=True
            )
            assert answer.status_code == 404, (user, act)
            assert "rita" not in markup(answer)
        with pytest.raises(NotFound):
            adopt_suggestion(suggestion=suggestion, actor=user)
        with pytest.raises(NotFound):
            decline_suggestion(suggestion=suggestion, reason="Too long.", actor=user)
    suggestion.refresh_from_db()
    assert suggestion.state == "open"
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    client = signed_in(people.ml_engineer)
    opened = markup(client.get(f"/prompts/playground/?suggestion={suggestion.pk}"))
    assert "Keep 140 as it is" in opened
    client.post(f"/prompts/suggestions/{suggestion.pk}/adopt/")
    suggestion.refresh_from_db()
    assert suggestion.state == "adopted"


def test_the_playground_takes_no_suggestion_that_it_does_not_show(
    people: make.Cast, item: QueueItem, suggestion: PromptSuggestion
) -> None:
    """By its number in the form, and in a trial that somebody else made of it."""
    live = make.release()
    make.put_live(live)
    values = {
        "parent": suggestion.based_on_id, "template": "Tell briefly: {text}", "count": 1, "which": "newest",
        "note": "Mine.", "suggestion": suggestion.pk,
    }  # fmt: skip
    make.document()
    client = signed_in(people.ml_engineer)
    for act in ("run", "save"):
        answer = client.post("/prompts/playground/", {**values, act: "1"})
        assert answer.status_code == 422, act
        assert "suggestion" in answer.context["form"].errors, act
    with pytest.raises(NotFound):
        start_trial(
            based_on=suggestion.based_on, template="Tell briefly: {text}", suggestion=suggestion,
            articles=choose_articles(words="", queue=None, count=1, actor=people.ml_engineer),
            actor=people.ml_engineer,
        )  # fmt: skip
    trial = PromptTrial.objects.create(
        purpose="playground", release=live, based_on=suggestion.based_on, system="",
        template=suggestion.template, suggestion=suggestion, requested_by=people.administrator,
    )  # fmt: skip
    path = f"/prompts/playground/?trial={trial.pk}"
    assert client.get(path).status_code == 404
    own = signed_in(people.administrator).get(path)
    assert own.status_code == 200
    assert own.context["form"].initial["suggestion"] is None, (
        "asked before the item was there, gone on without it"
    )
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    assert client.get(path).context["form"].initial["suggestion"] == suggestion.pk


def test_the_trail_does_not_tell_what_a_suggestion_says_of_a_draft(
    people: make.Cast, item: QueueItem, suggestion: PromptSuggestion
) -> None:
    event = AuditEvent.objects.get(action="prompt.suggest")
    assert NOTE in json.dumps(event.data), "the trail itself keeps it"
    client = signed_in(people.administrator)
    for path in ("/audit/", "/audit/audit.csv", "/audit/audit.jsonl"):
        page = b"".join(client.get(path)).decode()
        assert "prompt.suggest" in page or "suggested a prompt" in page
        assert NOTE not in page, path


def test_no_notification_names_a_reviewer_to_who_may_still_be_asked(
    people: make.Cast, item: QueueItem
) -> None:
    comments.open_thread(about=item, text="Is 410 right?", actor=people.reviewer)
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
    from reviews.queues.assignments import fit_assignments

    fit_assignments(queue=queue, items=[item.pk])
    lease = claims.hold(item=item, reviewer=people.reviewer)
    assert lease is not None
    begin(item=item, reviewer=people.reviewer)
    choose(item=item, answers=Judgement(answer="left", strength=3), reviewer=people.reviewer)
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
    page = markup(answer)
    summary = item.summary
    assert summary.model_version is not None
    for secret in (summary.model_version.name, f"release-{summary.release_id}", summary.model_version.digest):
        assert secret not in page
    assert not {"ETag", "X-Release", "Last-Modified", "Server-Timing"} & set(answer.headers)
