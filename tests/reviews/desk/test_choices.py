"""Choosing between two summaries, blind: pairs, assignments, sides, drafts, submits, taking back, and the figures."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from models_app.evaluation.people import Tally, count_votes, preferences
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import (
    AuditEvent,
    Comparison,
    EvaluationExample,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    HumanVote,
    Release,
)
from reviews.desk.answers import AlreadySubmitted, StaleDraft
from reviews.desk.choices import (
    Judgement,
    begin,
    choose,
    revise_choice,
    save_choice,
    seen,
    take_back,
)
from reviews.desk.claims import Lease, claim_next, hold, skip
from reviews.desk.reviews import Answers, save_draft
from reviews.filling.pairs import available, pair_comparison, pair_releases, pairwise_queue
from reviews.models import Assignment, Preference, QueueItem, Review, ReviewQueue, Skip, Summary
from reviews.queues.statements import items_waiting
from tests import make

LEFT = Judgement("left", 2, "Says when.")


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return pairwise_queue(actor=cast.ml_engineer)


@pytest.fixture
def before(cast: make.Cast) -> Release:
    return make.release()


@pytest.fixture
def after(cast: make.Cast) -> Release:
    return make.release()


def counted(before: Release, after: Release) -> Tally:
    return count_votes(candidate=after.pk, baseline=before.pk, hands=()).tally


def drafts(before: Release, after: Release, count: int, **fields: Any) -> None:
    fields = {"split": "test", **fields}
    for number in range(count):
        document = make.document(**fields)
        make.summary(document, f"Before {number}.", release=before)
        make.summary(document, f"After {number}.", release=after)


@pytest.fixture
def pairs(queue: ReviewQueue, before: Release, after: Release, cast: make.Cast) -> list[QueueItem]:
    drafts(before, after, 4)
    pair_releases(before=before, after=after, queue=queue, limit=10, actor=cast.ml_engineer)
    return list(QueueItem.objects.filter(queue=queue).order_by("pk"))


def asked(queue: ReviewQueue, reviewer: User) -> Lease | None:
    return claim_next(queue=queue, reviewer=reviewer, kind=ReviewQueue.Kind.PAIRWISE)


def claimed(queue: ReviewQueue, reviewer: User) -> Lease:
    lease = asked(queue, reviewer)
    assert lease is not None
    begin(item=lease.assignment.item, reviewer=reviewer)
    return lease


def for_after(item: QueueItem, reviewer: User, strength: int = 2) -> Judgement:
    mine = Preference.objects.get(item=item, reviewer=reviewer)
    return Judgement("left" if mine.after_was_left else "right", strength)


# ---------------------------------------------------------------- pairs


def compared(cast: make.Cast, before: Release, after: Release, outputs: list[tuple[str, str]]) -> Comparison:
    test_set = EvaluationSet.objects.create(name="test", digest=f"{before.pk}", rows=len(outputs))
    runs = [
        EvaluationRun.objects.create(release=release, evaluation_set=test_set, state="succeeded")
        for release in (before, after)
    ]
    zeros = dict.fromkeys(
        [
            "rouge1", "rouge2", "rougeL", "rougeLsum", "summary_words", "length_ratio", "repetition", "copied_share",
            "unsupported_numbers", "unsupported_names",
        ],
        0,
    )  # fmt: skip
    for position, texts in enumerate(outputs):
        document = make.document(split="test")
        example = EvaluationExample.objects.create(
            evaluation_set=test_set, position=position, document_hash=document.content_hash,
            origin=f"document:{document.pk}", source=document.text, reference="R.",
        )  # fmt: skip
        for run, text in zip(runs, texts, strict=True):
            ExampleScore.objects.create(run=run, example=example, output=text, **zeros)
    return Comparison.objects.create(
        candidate=runs[1], baseline=runs[0], n=len(outputs), verdict="inconclusive", sentence="…", seed=7,
        resamples=10, signature="s", digest="d",
    )  # fmt: skip


def test_pairs_of_a_comparison_are_what_was_judged_and_same_texts_are_left_out_and_said(
    cast: make.Cast, queue: ReviewQueue, before: Release, after: Release
) -> None:
    comparison = compared(
        cast,
        before,
        after,
        [("Old 1.", "New 1."), ("Same.", "Same. "), ("Old 2.", "New 2."), ("Old 3.", "New 3.")],
    )
    assert available(comparison=comparison) == (4, 3)
    made = pair_comparison(comparison=comparison, queue=queue, limit=4, actor=cast.ml_engineer)
    assert (made.documents, made.put_in, made.identical) == (4, 3, 1)
    assert "For 1 of the sample both texts are the same: nobody is asked" in made.sentence()
    assert counted(before, after).identical == 1
    for item in QueueItem.objects.select_related("summary__document", "other__document"):
        assert item.other is not None
        assert item.summary.document == item.other.document
        assert (item.summary.release, item.other.release) == (before, after)
        assert item.summary.text.replace("Old", "New") == item.other.text
        assert (item.reason, item.summary.source, item.assignments.count()) == ("comparison", "evaluation", 1)
    more = pair_comparison(comparison=comparison, queue=queue, limit=10, actor=cast.ml_engineer)
    assert (more.put_in, more.there_already, more.identical) == (0, 3, 1)
    assert counted(before, after).identical == 1
    assert Summary.objects.count() == 6
    assert AuditEvent.objects.filter(action="pairs.queue").count() == 2


def test_the_seed_says_which_documents_and_a_larger_sample_holds_the_smaller(
    cast: make.Cast, queue: ReviewQueue, before: Release, after: Release
) -> None:
    drafts(before, after, 12)

    def taken(limit: int, seed: int) -> set[int]:
        Assignment.objects.all().delete()
        QueueItem.objects.all().delete()
        pair_releases(before=before, after=after, queue=queue, limit=limit, seed=seed, actor=cast.ml_engineer)
        return set(QueueItem.objects.values_list("summary", flat=True))

    assert taken(4, 1) == taken(4, 1) < taken(8, 1)
    assert taken(4, 1) != taken(4, 2)


def test_pairs_of_drafts_use_the_drafts_there_are(pairs: list[QueueItem]) -> None:
    assert len(pairs) == 4
    assert Summary.objects.count() == 8


def test_only_those_who_manage_queues_make_pairs_and_only_in_pairwise_queues(
    cast: make.Cast, queue: ReviewQueue, before: Release, after: Release
) -> None:
    drafts(before, after, 1)
    with pytest.raises(NotAllowed):
        pair_releases(before=before, after=after, queue=queue, limit=1, actor=cast.reviewer)
    for wrong in ({"limit": 0}, {"limit": 9999}, {"queue": make.queue()}, {"after": before}):
        with pytest.raises(InvalidInput) as refused:
            pair_releases(
                **{"before": before, "after": after, "queue": queue, "limit": 1, "actor": None, **wrong}  # type: ignore[arg-type]
            )
        assert set(refused.value.fields) == set(wrong)
    with pytest.raises(Refused, match="no document"):
        pair_releases(before=after, after=make.release(), queue=queue, limit=1, actor=None)
    ReviewQueue.objects.filter(pk=queue.pk).update(active=False)
    with pytest.raises(InvalidInput, match="closed"):
        pairwise_queue(actor=None)


# ---------------------------------------------------------------- assignments and sides


def test_each_pair_is_given_to_one_and_then_nothing_is_left(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    assert items_waiting(reviewer=cast.reviewer, queue=queue) == {queue.pk: 4}
    given = []
    while (lease := asked(queue, cast.reviewer)) is not None:
        given.append(lease.assignment.item_id)
        choose(item=lease.assignment.item, answers=LEFT, reviewer=cast.reviewer)
    assert sorted(given) == [item.pk for item in pairs]
    assert asked(queue, cast.another_reviewer) is None
    assert set(QueueItem.objects.values_list("state", flat=True)) == {"done"}


def test_sides_are_drawn_by_chance_neighbours_see_them_the_other_way_round(
    cast: make.Cast, queue: ReviewQueue, before: Release, after: Release
) -> None:
    queue.reviews_per_item = 2
    queue.save()
    drafts(before, after, 40)
    pair_releases(before=before, after=after, queue=queue, limit=40, actor=cast.ml_engineer)
    first, second = (
        dict(Assignment.objects.filter(position=position).values_list("item", "swapped"))
        for position in (0, 1)
    )
    assert all(first[item] is not second[item] for item in first)
    assert 5 <= sum(first.values()) <= 35  # fails by chance once in two million runs


def test_a_side_stays_for_one_person_whatever_assignment_they_get(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    lease = claimed(queue, cast.reviewer)
    mine = begin(item=lease.assignment.item, reviewer=cast.reviewer)
    assert mine is not None
    assert mine.after_was_left == lease.assignment.swapped
    Assignment.objects.filter(pk=lease.assignment.pk).update(swapped=not mine.after_was_left)
    again = begin(item=lease.assignment.item, reviewer=cast.reviewer)
    assert again == mine
    kept = choose(item=lease.assignment.item, answers=Judgement("left", 1), reviewer=cast.reviewer)
    assert kept.choice == ("after" if mine.after_was_left else "before")


def test_a_choice_is_kept_as_before_and_after_whatever_side_it_was(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    for after_was_left, side, expected in (
        (True, "left", "after"), (True, "right", "before"), (False, "left", "before"), (False, "right", "after")
    ):  # fmt: skip
        item = claimed(queue, cast.reviewer).assignment.item
        Preference.objects.filter(item=item).update(after_was_left=after_was_left)
        kept = choose(item=item, answers=Judgement(side, 3), reviewer=cast.reviewer)
        assert (kept.choice, kept.strength) == (expected, 3)
        assert seen(kept).answer == side


def test_a_pair_takes_no_review_and_a_summary_no_choice(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    pair = claimed(queue, cast.reviewer).assignment.item
    with pytest.raises(Refused, match="which of two"):
        save_draft(item=pair, answers=Answers(comment="?"), reviewer=cast.reviewer, base_revision=0)
    single = make.queue_item()
    hold(item=single, reviewer=cast.reviewer)
    with pytest.raises(Refused, match="not for a choice"):
        choose(item=single, answers=LEFT, reviewer=cast.reviewer)
    assert not Review.objects.exists()


def test_nobody_else_can_choose_for_a_pair_and_no_stranger_at_all(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    item = claimed(queue, cast.reviewer).assignment.item
    for act in (choose, revise_choice):
        with pytest.raises(StaleState, match="do not have"):
            act(item=item, answers=LEFT, reviewer=cast.another_reviewer)
        with pytest.raises(NotAllowed):
            act(item=item, answers=LEFT, reviewer=cast.stranger)
    with pytest.raises(StaleState):
        take_back(item=item, reviewer=cast.another_reviewer)


# ---------------------------------------------------------------- drafts and submits


def test_a_draft_is_kept_as_typed_and_a_stale_tab_is_told(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    item = claimed(queue, cast.reviewer).assignment.item
    draft = save_choice(
        item=item, answers=Judgement("right", None, "So far"), reviewer=cast.reviewer, base_revision=0
    )
    assert (draft.state, draft.revision, seen(draft).answer) == ("draft", 1, "right")
    with pytest.raises(StaleDraft) as stale:
        save_choice(item=item, answers=LEFT, reviewer=cast.reviewer, base_revision=0)
    assert (stale.value.code, stale.value.answer.reason) == ("stale_draft", "So far")
    kept = save_choice(item=item, answers=LEFT, reviewer=cast.reviewer, base_revision=0, overwrite=True)
    assert kept.revision == 2
    assert not HumanVote.objects.exists()


@pytest.mark.parametrize(
    ("judgement", "field"),
    [
        (Judgement(), "answer"),
        (Judgement("middle"), "answer"),
        (Judgement("left"), "strength"),
        (Judgement("left", 4), "strength"),
        (Judgement("tie", 1), "strength"),
        (Judgement("tie", None, "x" * 4001), "reason"),
        (Judgement("tie", None, "", -1), "active_seconds"),
    ],
)
def test_what_is_missing_or_out_of_range_is_named(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], judgement: Judgement, field: str
) -> None:
    item = claimed(queue, cast.reviewer).assignment.item
    with pytest.raises(InvalidInput) as refused:
        choose(item=item, answers=judgement, reviewer=cast.reviewer)
    assert list(refused.value.fields) == [field]
    assert not Preference.objects.filter(state="submitted").exists()


def test_the_same_choice_twice_is_one_and_another_is_a_correction(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], before: Release, after: Release
) -> None:
    item = claimed(queue, cast.reviewer).assignment.item
    first = choose(item=item, answers=LEFT, reviewer=cast.reviewer)
    assert choose(item=item, answers=LEFT, reviewer=cast.reviewer).revision == first.revision
    with pytest.raises(AlreadySubmitted) as refused:
        choose(item=item, answers=Judgement("tie"), reviewer=cast.reviewer)
    assert refused.value.code == "submitted"
    changed = revise_choice(item=item, answers=Judgement("tie"), reviewer=cast.reviewer)
    assert (changed.choice, changed.strength, changed.revision) == ("tie", None, 2)
    told = AuditEvent.objects.get(action="preference.revise").data["answer"]
    assert (told["choice"], told["before"]["strength"]) == ("tie", 2)
    assert counted(before, after).ties == 1


def test_late_work_is_kept_and_counts(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], before: Release, after: Release
) -> None:
    lease = claimed(queue, cast.reviewer)
    Assignment.objects.exclude(pk=lease.assignment.pk).delete()
    Assignment.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    other = claimed(queue, cast.another_reviewer)
    assert other.assignment.item_id == lease.assignment.item_id
    choose(item=other.assignment.item, answers=Judgement("tie"), reviewer=cast.another_reviewer)
    kept = choose(item=lease.assignment.item, answers=LEFT, reviewer=cast.reviewer)
    assert kept.late
    found = counted(before, after)
    assert (found.documents, found.choices) == (1, 2)


def test_a_submit_can_be_taken_back_for_ten_seconds(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], before: Release, after: Release
) -> None:
    item = claimed(queue, cast.reviewer).assignment.item
    choose(item=item, answers=LEFT, reviewer=cast.reviewer)
    assert QueueItem.objects.get(pk=item.pk).state == "done"
    take_back(item=item, reviewer=cast.reviewer)
    lease = asked(queue, cast.reviewer)
    assert lease is not None
    assert lease.assignment.item_id == item.pk
    mine = Preference.objects.get(item=item, reviewer=cast.reviewer)
    assert (mine.state, seen(mine).answer, mine.reason) == ("draft", "left", "Says when.")
    assert QueueItem.objects.get(pk=item.pk).state == "open"
    assert counted(before, after).documents == 0
    choose(item=item, answers=Judgement("tie"), reviewer=cast.reviewer)
    Preference.objects.update(submitted_at=timezone.now() - timedelta(seconds=20))
    with pytest.raises(Refused, match="ten seconds"):
        take_back(item=item, reviewer=cast.reviewer)
    assert counted(before, after).ties == 1


def test_passing_by_gives_the_assignment_to_others(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    lease = claimed(queue, cast.reviewer)
    skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    assert Skip.objects.get().meaning == Skip.Meaning.SKIP
    assert claimed(queue, cast.reviewer).assignment.item_id != lease.assignment.item_id
    assert claimed(queue, cast.another_reviewer).assignment.item_id == lease.assignment.item_id


# ---------------------------------------------------------------- figures


def test_every_choice_counts_at_once_for_the_two_releases(
    cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], before: Release, after: Release
) -> None:
    for number in range(4):
        item = claimed(queue, cast.reviewer).assignment.item
        judgement = for_after(item, cast.reviewer) if number < 3 else Judgement("both bad")
        choose(item=item, answers=judgement, reviewer=cast.reviewer)
    (said,) = preferences(candidate=after, baseline=before, hands=())
    assert (said.tally.documents, said.tally.candidate_better, said.tally.both_bad) == (4, 3, 1)
    assert said.tally.share == 1
    assert said.verdict == "inconclusive"
    left = Preference.objects.filter(choice="after", after_was_left=True).count()
    assert said.tally.left_preferred == left
    assert preferences(candidate=before, hands=()) == []


def test_summaries_without_a_release_make_no_figures(cast: make.Cast, queue: ReviewQueue) -> None:
    document = make.document()
    make.queue_item(make.summary(document, "A."), queue, other=make.summary(document, "B."))
    choose(item=claimed(queue, cast.reviewer).assignment.item, answers=LEFT, reviewer=cast.reviewer)
    assert not HumanVote.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_choose_at_the_same_instant_all_are_counted(transactional_db: None) -> None:
    cast = make.cast()
    queue = pairwise_queue(actor=cast.ml_engineer)
    queue.reviews_per_item = 8
    queue.save()
    before, after = make.release(), make.release()
    drafts(before, after, 1)
    pair_releases(before=before, after=after, queue=queue, limit=1, actor=None)
    people = [make.user(f"judge{number}", "reviewer") for number in range(8)]
    items = [claimed(queue, person).assignment.item for person in people]
    start, wrong = threading.Barrier(8), []

    def judge(item: QueueItem, person: User) -> None:
        try:
            start.wait()
            choose(item=item, answers=for_after(item, person), reviewer=person)
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=judge, args=pair) for pair in zip(items, people, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    found = counted(before, after)
    assert (found.documents, found.choices, found.candidate_better) == (1, 8, 8)
    assert QueueItem.objects.get().state == "done"
