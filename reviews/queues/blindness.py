"""Who sees what others answered, and which model wrote what, while an item is still being judged.

The one rule, for every page, export and notification: in a queue that is blind to peers, people who may review
see nobody else's answers to an item until it is done. The only way around it is to leave the item to others for good
(`reviews.desk.claims.step_aside`, kept as `Skip.saw_others`); people who have answered it already wait until it is
done, since answers can be corrected. People without the right to review are never asked, so they see all that their
pages show. Likewise the model, in a queue that is blind to the model.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef, Q, QuerySet

from models_app.foundation.roles import allowed
from reviews.models import FeedbackExample, Preference, PromptSuggestion, QueueItem, Review, Skip, Summary

Reader = User | AnonymousUser


def judged(reader: Reader) -> QuerySet[QueueItem]:
    """Items of blind queues whose answers this reader may not see yet."""
    return _unfinished(reader).filter(queue__blind_to_peers=True)


def _unfinished(reader: Reader) -> QuerySet[QueueItem]:
    if not allowed(reader, "review"):
        return QueueItem.objects.none()
    left = Skip.objects.filter(Q(saw_others=True) | Q(meaning=Skip.Meaning.HAD_A_HAND), reviewer=reader.pk)
    mine = Review.objects.filter(reviewer=reader.pk, item=OuterRef("pk"))
    # a disputed item has all its answers: nobody is asked any more, and only its reviewers may still change theirs
    to_resolve = Q(state=QueueItem.State.DISPUTED) & ~Exists(mine)
    return (
        QueueItem.objects.exclude(state=QueueItem.State.DONE)
        .exclude(to_resolve)
        .filter(~Exists(left.filter(item=OuterRef("pk"))))
    )


def sees_answers(*, item: QueueItem, reader: Reader) -> bool:
    """Whether others' answers to this item may be shown. At most 2 queries (the item's queue has to be there)."""
    if not item.queue.blind_to_peers or item.state == QueueItem.State.DONE:
        return True
    return not judged(reader).filter(pk=item.pk).exists()


def readable_reviews(rows: QuerySet[Review], reader: Reader) -> QuerySet[Review]:
    """Without those of others that this reader may not see yet."""
    return rows.filter(_own_or_shown(reader))


def readable_choices(rows: QuerySet[Preference], reader: Reader) -> QuerySet[Preference]:
    """Likewise of choices between two summaries."""
    return rows.filter(_own_or_shown(reader))


def _own_or_shown(reader: Reader) -> Q:
    return Q(reviewer=reader.pk) | Q(~Exists(judged(reader).filter(pk=OuterRef("item"))))


def readable_examples(rows: QuerySet[FeedbackExample], reader: Reader) -> QuerySet[FeedbackExample]:
    """Without what comes of reviews that this reader may not see yet."""
    hidden = Review.objects.filter(item__in=judged(reader)).exclude(reviewer=reader.pk)
    return rows.filter(~Exists(hidden.filter(pk=OuterRef("review"))))


def readable_suggestions(rows: QuerySet[PromptSuggestion], reader: Reader) -> QuerySet[PromptSuggestion]:
    """Without what others suggested at the desk on an article that this reader may still judge: it tells what they
    think of the draft."""
    items = judged(reader).filter(summary__document=OuterRef("document"))
    mine = Q(suggested_by=reader.pk)
    return rows.filter(mine | ~Exists(items))


def nameless(reader: Reader) -> QuerySet[QueueItem]:
    """Items that the reader may still judge without knowing which model wrote what."""
    return _unfinished(reader).filter(queue__blind_to_model=True)


def hidden_models(summaries: QuerySet[Summary], reader: Reader) -> set[int]:
    """Which of these summaries the reader may still judge without knowing the model."""
    return {
        pk
        for pair in nameless(reader)
        .filter(Q(summary__in=summaries) | Q(other__in=summaries))
        .values_list("summary", "other")
        for pk in pair
        if pk is not None
    }
