"""Who does not choose between two summaries: those who may want the release to win that the choice is about.

Pairs of test documents are votes on the release of the summary after. People with a hand in it (`hands.advocates`)
are offered none of them, nor are accounts that they opened while the work went on. Reviewers whose corrections it
learnt from or is measured against do choose, blind. One may come to have a hand later, by requesting the release for
example, so that it is looked at with every claim, for the one release that an assignment was found for; the votes
given before are left out where votes are counted (models_app/evaluation/people.py)."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet

from models_app.foundation.holders import holders
from models_app.models import Release
from models_app.releases.accounts import Circle
from reviews.models import Assignment, QueueItem, Skip, Split, Summary


def not_asked(release: Release) -> set[int]:
    """Those whose votes on the release would not count."""
    return Circle(release).no_judges


def reviewers_but(people: Collection[int]) -> QuerySet[User]:
    """Who may choose between two releases of which these people judge none."""
    return holders("review").exclude(pk__in=people)


def is_for_others(*, item: QueueItem, judge: User) -> bool:
    """Whether the vote of this person on the pair would not count."""
    if item.other_id is None or item.summary.document.split != Split.TEST:
        return False
    release = Release.objects.filter(
        pk__in=Summary.objects.filter(pk=item.other_id).values("release")
    ).first()
    return release is not None and judge.pk in not_asked(release)


def leave_to_others(*, items: QuerySet[QueueItem], judge: User) -> int:
    """Skip, for good, those of the open pairs that are not this person's to judge. Returns how many these are.

    Looks at every release that the pairs are about. Call it in the transaction of the claim."""
    waiting = _not_skipped(items, judge)
    own = [
        release.pk
        for release in Release.objects.filter(pk__in=waiting.order_by().values("other__release"))
        if judge.pk in not_asked(release)
    ]
    return skip_for_good(items=items.filter(other__release__in=own), judge=judge) if own else 0


def _not_skipped(items: QuerySet[QueueItem], judge: User) -> QuerySet[QueueItem]:
    skipped = Skip.objects.filter(item=OuterRef("pk"), reviewer=judge, meaning=Skip.Meaning.HAD_A_HAND)
    return items.filter(
        ~Exists(skipped), state=QueueItem.State.OPEN, other__isnull=False, summary__document__split=Split.TEST
    )


def skip_for_good(*, items: QuerySet[QueueItem], judge: User) -> int:
    """For good, of pairs about a release whose judge this person is not. Returns how many were not skipped before."""
    found = list(_not_skipped(items, judge).values_list("pk", flat=True))
    Skip.objects.bulk_create(
        (Skip(item_id=item, reviewer=judge, meaning=Skip.Meaning.HAD_A_HAND) for item in found),
        update_conflicts=True,
        unique_fields=["item", "reviewer"],
        update_fields=["meaning", "until"],
        batch_size=1000,
    )
    Assignment.objects.filter(item__in=found, assigned_to=judge, state=Assignment.State.FREE).update(
        assigned_to=None
    )
    return len(found)


def had_a_hand(*, item: QueueItem, judge: User) -> bool:
    return Skip.objects.filter(item=item, reviewer=judge, meaning=Skip.Meaning.HAD_A_HAND).exists()


def left_to_others(*, queue: int, judge: User) -> int:
    """How many open pairs of a queue are not this person's to judge."""
    return Skip.objects.filter(
        item__queue=queue, item__state=QueueItem.State.OPEN, reviewer=judge, meaning=Skip.Meaning.HAD_A_HAND
    ).count()
