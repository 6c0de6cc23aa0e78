"""Queues change while people work in them: assignments, order and states follow, and nothing that was done is lost."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.models import AuditEvent, Job
from reviews.desk import claims
from reviews.desk.reviews import Answers, submit_review
from reviews.models import Assignment, QueueItem, Review, ReviewQueue, Skip, Summary
from reviews.queues import settings as managing
from reviews.queues.settings import Question, QueueSettings, change_queue, create_queue, create_rubric_version
from reviews.queues.statements import Rearranged
from tests import make
from tests.reviews.desk.test_claims import COMPLETE, at_once, claimed, expire

POINTS = ["one", "two", "three", "four", "five"]


def changed(queue: ReviewQueue, actor: Any, **changes: Any) -> Any:
    return change_queue(queue=queue, settings=replace(QueueSettings.of(queue), **changes), actor=actor)


def assignments(item: QueueItem) -> list[str]:
    return sorted(Assignment.objects.filter(item=item).values_list("state", flat=True))


# ---------------------------------------------------------------- queues


@pytest.mark.django_db
def test_a_queue_is_made_and_changed_by_those_who_may_and_recorded() -> None:
    cast = make.cast()
    settings = QueueSettings(name="Hard ones", rubric=1, reviews_per_item=2, order="lowest confidence")
    for person in (cast.reviewer, cast.approver, cast.operator, cast.stranger):
        with pytest.raises(NotAllowed):
            create_queue(settings=settings, actor=person)
    queue = create_queue(settings=settings, actor=cast.ml_engineer)
    assert (queue.slug, queue.reviews_per_item, queue.blind_to_peers) == ("hard-ones", 2, True)
    with pytest.raises(NotAllowed):
        changed(queue, cast.reviewer, name="Mine")
    changed(queue, cast.ml_engineer, lease_minutes=5)
    event = AuditEvent.objects.get(action="queue.change")
    assert event.data["lease_minutes"] == [30, 5]
    changed(queue, cast.ml_engineer)
    assert AuditEvent.objects.filter(action="queue.change").count() == 1, "nothing changed, nothing recorded"


@pytest.mark.django_db
def test_wrong_settings_are_named_field_by_field() -> None:
    cast, queue = make.cast(), make.queue()
    bad: dict[str, Any] = {
        "name": " ", "rubric": 99, "reviews_per_item": 21, "overlap_percent": 101, "lease_minutes": 0,
        "order": "alphabetical", "kind": "quiz", "description": "x" * 301,
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        changed(queue, cast.ml_engineer, **bad)
    assert set(refused.value.fields) == set(bad)
    with pytest.raises(InvalidInput) as refused:
        create_queue(settings=QueueSettings(name=queue.name, rubric=1), actor=cast.ml_engineer)
    assert "name" in refused.value.fields
    make.queue_item(in_queue=queue)
    with pytest.raises(InvalidInput) as refused:
        changed(queue, cast.ml_engineer, kind="pairwise")
    assert "kind" in refused.value.fields


@pytest.mark.django_db
def test_more_reviews_an_item_add_assignments_and_open_finished_items_again() -> None:
    cast, queue = make.cast(), make.queue()
    done, fresh, aside = (make.queue_item(in_queue=queue) for _ in range(3))
    claimed(queue, cast.reviewer)
    submit_review(item=done, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    QueueItem.objects.filter(pk=aside.pk).update(state="flagged")
    moved = changed(queue, cast.ml_engineer, reviews_per_item=3)
    assert (moved.assignments_added, moved.reopened) == (6, 1)
    for item in (done, fresh, aside):
        item.refresh_from_db()
    assert [done.state, fresh.state, aside.state] == ["open", "open", "flagged"]
    assert assignments(done) == ["done", "free", "free"]
    assert [item.wanted_reviews for item in (done, fresh, aside)] == [3, 3, 3]
    assert claimed(queue, cast.another_reviewer).assignment.item == done
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer).assignment.item == fresh  # type: ignore[union-attr]


@pytest.mark.django_db
def test_fewer_reviews_an_item_take_only_free_assignments_and_close_what_has_enough() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3)
    answered, held = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    first = claimed(queue, cast.reviewer)
    submit_review(item=answered, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    mine, theirs = claimed(queue, cast.reviewer), claimed(queue, cast.another_reviewer)
    assert (first.assignment.item, mine.assignment.item, theirs.assignment.item) == (answered, held, answered)
    changed(queue, cast.ml_engineer, reviews_per_item=1)
    assert (assignments(answered), assignments(held)) == (["done", "held"], ["held"])
    # people who hold an assignment finish; it is no late review
    review = submit_review(item=answered, answers=Answers(**COMPLETE), reviewer=cast.another_reviewer)
    assert not review.late
    answered.refresh_from_db()
    assert answered.state == "done"
    changed(queue, cast.ml_engineer, reviews_per_item=2)
    changed(queue, cast.ml_engineer, reviews_per_item=1)
    answered.refresh_from_db()
    assert (answered.state, assignments(answered)) == ("done", ["done", "done"])
    assert assignments(held) == ["held"]


@pytest.mark.django_db
def test_an_item_is_done_when_fewer_are_wanted_than_are_in() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert changed(queue, cast.ml_engineer, reviews_per_item=1).closed == (item.pk,)
    item.refresh_from_db()
    assert (item.state, assignments(item)) == ("done", ["done"])


@pytest.mark.django_db
def test_where_reviewers_have_just_differed_most_the_next_one_is_asked_first() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3, order="most disagreement")
    first, second = (make.queue_item(in_queue=queue) for _ in range(2))
    for person, stars in ((cast.reviewer, 1), (cast.another_reviewer, 5)):
        assert claims.hold(item=second, reviewer=person) is not None
        submit_review(item=second, answers=Answers(**{**COMPLETE, "stars": stars}), reviewer=person)
    assert claimed(queue, cast.ml_engineer).assignment.item == second
    assert claimed(queue, cast.reviewer).assignment.item == first


@pytest.mark.django_db
def test_late_work_takes_the_assignment_that_was_kept_for_its_reviewer() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    expire(lease)
    claims.free_expired(Assignment.objects.filter(pk=lease.assignment.pk))
    Assignment.objects.filter(item=item, position=1).update(assigned_to=cast.reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    left = Assignment.objects.get(item=item, state="free")
    assert left.assigned_to is None, "it would wait for ever for who has answered"


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["skipped", "run out"])
def test_an_assignment_that_is_left_where_fewer_reviews_are_wanted_by_now_is_offered_to_nobody(
    how: str,
) -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    lease = claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    changed(queue, cast.ml_engineer, reviews_per_item=1)
    assert assignments(item) == ["done", "held"]
    if how == "skipped":
        claims.skip(
            assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=cast.another_reviewer
        )
    else:
        expire(lease)
    assert claims.claim_next(queue=queue, reviewer=cast.ml_engineer) is None
    item.refresh_from_db()
    assert (item.state, assignments(item)) == ("done", ["done"])
    if how == "run out":
        late = submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.another_reviewer)
        assert late.late


@pytest.mark.slow
@pytest.mark.django_db
def test_overlap_gives_a_fixed_share_of_the_items_all_reviews_and_only_ever_adds_to_it() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3, overlap_percent=0)
    document = make.document()
    items = [make.queue_item(of=make.summary(document), in_queue=queue) for _ in range(200)]
    assert set(QueueItem.objects.values_list("wanted_reviews", flat=True)) == {1}

    def shared() -> set[int]:
        return set(QueueItem.objects.filter(wanted_reviews=3).values_list("pk", flat=True))

    changed(queue, cast.ml_engineer, overlap_percent=30)
    some = shared()
    assert 35 <= len(some) <= 90  # a binomial share of 200 at 30 %
    assert Assignment.objects.count() == 200 + 2 * len(some)
    changed(queue, cast.ml_engineer, overlap_percent=60)
    assert some < shared()
    changed(queue, cast.ml_engineer, overlap_percent=30)
    assert shared() == some
    changed(queue, cast.ml_engineer, overlap_percent=100)
    assert shared() == {item.pk for item in items}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("oldest", [0, 1, 2, 3]),
        ("priority", [3, 0, 1, 2]),
        ("lowest confidence", [2, 0, 3, 1]),
        ("most disagreement", [1, 3, 0, 2]),
    ],
    ids=["oldest", "priority", "confidence", "disagreement"],
)
def test_a_queue_that_changes_its_order_gives_items_out_in_the_new_one(
    order: str, expected: list[int]
) -> None:
    cast = make.cast()
    queue = make.queue(order="priority" if order == "oldest" else "oldest")
    confidence, disagreement, priority = (0.5, None, 0.1, 0.5), (None, 1.0, None, 0.25), (0, 0, 0, 5)
    items = [
        make.queue_item(
            in_queue=queue,
            confidence=confidence[n],
            disagreement=disagreement[n],
            priority=priority[n],
        )
        for n in range(4)
    ]
    changed(queue, cast.ml_engineer, order=order)
    got = []
    for _ in items:
        lease = claimed(queue, cast.reviewer)
        got.append(items.index(lease.assignment.item))
        claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    assert got == expected


@pytest.mark.django_db(transaction=True)
def test_a_claim_while_a_queue_is_changed_waits_and_gets_an_assignment_of_the_new_order() -> None:
    queue = make.queue(order="oldest")
    engineer = make.user("mila", "ml engineer")
    people = [make.user(f"reviewer{number}", "reviewer") for number in range(4)]
    document = make.document()
    for number in range(40):
        make.queue_item(of=make.summary(document), in_queue=queue, priority=number)
    results = at_once(
        lambda: changed(queue, engineer, order="priority", reviews_per_item=2),
        *(lambda person=person: claims.claim_next(queue=queue, reviewer=person) for person in people),
    )
    assert all(lease is not None for lease in results[1:]), "nobody is told that nothing is left"
    assert len({lease.assignment.pk for lease in results[1:]}) == len(people)
    assert Assignment.objects.count() == 80


@pytest.mark.django_db(transaction=True)
def test_nobody_is_told_that_nothing_waits_while_a_change_is_under_way() -> None:
    queue = make.queue()
    engineer, reviewer = make.user("mila", "ml engineer"), make.user("rita", "reviewer")
    make.queue_item(in_queue=queue)
    got: list[Any] = []

    def claim() -> None:
        try:
            got.append(claims.claim_next(queue=queue, reviewer=reviewer))
        finally:
            connection.close()

    from django.db import transaction

    with transaction.atomic():
        changed(queue, engineer, reviews_per_item=2)
        waiting = threading.Thread(target=claim)
        waiting.start()
        time.sleep(0.2)
        assert not got, "it waits for the change"
    waiting.join(timeout=20)
    assert got[0] is not None


@pytest.mark.django_db
def test_a_rubric_changed_while_items_are_out_asks_who_has_begun_the_old_questions() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    from reviews.desk.reviews import save_draft

    claimed(queue, cast.reviewer)
    save_draft(item=item, answers=Answers(stars=3), reviewer=cast.reviewer, base_revision=0)
    rubric = create_rubric_version(
        instructions="Be strict.",
        questions=[Question("Truth", "Is it true?", POINTS), Question("Length", "Short enough?", POINTS)],
        actor=cast.ml_engineer,
    )
    assert (rubric.number, [row.key for row in rubric.criteria.all()]) == (2, ["truth", "length"])
    changed(queue, cast.ml_engineer, rubric=2)
    item = QueueItem.objects.get(pk=item.pk)
    mine = submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert mine.rubric.number == 1
    claimed(queue, cast.another_reviewer)
    answers = Answers(**{**COMPLETE, "ratings": {"truth": 4, "length": 2}})
    assert submit_review(item=item, answers=answers, reviewer=cast.another_reviewer).rubric == rubric


@pytest.mark.django_db
def test_a_rubric_that_is_not_whole_is_refused_with_what_is_missing() -> None:
    cast = make.cast()
    with pytest.raises(InvalidInput) as refused:
        create_rubric_version(
            instructions="",
            questions=[
                Question("", "", POINTS[:4]), Question("Truth", "True?", POINTS), Question("truth", "True?", POINTS)
            ],
            actor=cast.ml_engineer,
        )  # fmt: skip
    assert set(refused.value.fields) == {"name-0", "question-0", "anchors-0", "name-2"}
    with pytest.raises(InvalidInput):
        create_rubric_version(instructions="", questions=[], actor=cast.ml_engineer)
    with pytest.raises(NotAllowed):
        create_rubric_version(
            instructions="", questions=[Question("Truth", "True?", POINTS)], actor=cast.reviewer
        )


@pytest.mark.django_db
def test_a_flagged_item_that_has_enough_reviews_by_now_is_done_when_it_is_put_back() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    lease = claimed(queue, cast.another_reviewer)
    claims.skip(
        assignment=lease.assignment,
        token=lease.token,
        meaning="flag",
        reason="Twice.",
        reviewer=cast.another_reviewer,
    )
    changed(queue, cast.ml_engineer, reviews_per_item=1)
    claims.put_back(item=item, actor=cast.ml_engineer)
    item.refresh_from_db()
    assert item.state == "done"
    assert Review.objects.filter(item=item, state="submitted").count() == 1
    assert Skip.objects.count() == 1


@pytest.mark.django_db
def test_items_that_a_change_closes_are_looked_at_for_disputes() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3)
    item = make.queue_item(in_queue=queue)
    for person, stars in ((cast.reviewer, 1), (cast.another_reviewer, 5)):
        claimed(queue, person)
        submit_review(item=item, answers=Answers(**{**COMPLETE, "stars": stars}), reviewer=person)
    changed(queue, cast.ml_engineer, reviews_per_item=2)
    item.refresh_from_db()
    assert item.state == "done"
    done = make.carried_out(Job.objects.get(kind="look_for_disputes"))
    assert (done.state, done.result) == ("succeeded", {"looked_at": 1})
    item.refresh_from_db()
    assert item.state == "disputed"
    changed(queue, cast.ml_engineer, reviews_per_item=3)
    item.refresh_from_db()
    assert item.state == "open", "a third one is asked first"


@pytest.mark.django_db(transaction=True)
def test_a_change_is_quick_in_a_queue_that_the_database_counted_before_its_items_were_committed() -> None:
    cast, queue, document = make.cast(), make.queue(), make.document()
    elsewhere = connection.copy()
    with transaction.atomic():
        summaries = Summary.objects.bulk_create(Summary(document=document, text=str(n)) for n in range(1000))
        QueueItem.objects.bulk_create(QueueItem(queue=queue, summary=summary) for summary in summaries)
        changed(queue, cast.ml_engineer, reviews_per_item=2)
        with elsewhere.cursor() as cursor:
            cursor.execute("ANALYZE reviews_queueitem, reviews_assignment")
    elsewhere.close()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '2s'")  # it took minutes
        assert changed(queue, cast.ml_engineer, reviews_per_item=1).assignments_removed == 1000


@pytest.mark.django_db
def test_a_change_that_moves_many_items_is_done_by_a_job_for_the_person_who_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cast, queue = make.cast(), make.queue()
    for _ in range(3):
        make.queue_item(in_queue=queue)
    more = replace(QueueSettings.of(queue), reviews_per_item=2)
    with pytest.raises(NotAllowed):
        managing.change_queue_or_later(queue=queue, settings=more, actor=cast.reviewer)
    monkeypatch.setattr(managing, "AT_ONCE", 2)
    named = replace(QueueSettings.of(queue), description="Nothing moves.")
    assert isinstance(
        managing.change_queue_or_later(queue=queue, settings=named, actor=cast.ml_engineer), Rearranged
    )
    with pytest.raises(InvalidInput):
        managing.change_queue_or_later(queue=queue, settings=replace(more, rubric=99), actor=cast.ml_engineer)
    job = managing.change_queue_or_later(queue=queue, settings=more, actor=cast.ml_engineer)
    assert isinstance(job, Job)
    assert Assignment.objects.count() == 3
    done = make.carried_out(job)
    assert (done.state, done.result["assignments_added"]) == ("succeeded", 3), done.reason
    assert AuditEvent.objects.filter(action="queue.change").latest("pk").actor == cast.ml_engineer
