"""The pairwise desk: two summaries of one article side by side, and which one is better.

Nothing that is sent says which text is which or who wrote it; left and right is all that a page and its forms know.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_GET

from models_app.foundation.errors import GalleyError, StaleState
from models_app.texts.differences import Part, word_difference
from models_app.web.pages import user_of
from reviews.desk import claims
from reviews.desk.answers import AlreadySubmitted, StaleDraft
from reviews.desk.choices import Judgement, begin, seen
from reviews.desk.claims import Lease
from reviews.desk.keys import Desk
from reviews.desk.preferring import choices_of, done_today, pairs_for
from reviews.models import Preference, QueueItem, ReviewQueue, Skip
from reviews.queues import judges, statements
from reviews.web.desk.key_sheet import key_sheet
from reviews.web.desk.lease import claimed
from reviews.web.desk.onwards import PAIRWISE, undo_offered
from reviews.web.desk.placed_text import paragraphs
from reviews.web.desk.requests import desk_view
from reviews.web.pairwise.judgements import choice_value, in_words

#: Value of the form, action of its key, words, side.
POINTS = (
    ("left 3", "left_much", "much better", "left"),
    ("left 2", "left_clearly", "clearly", "left"),
    ("left 1", "left_slightly", "slightly", "left"),
    ("tie", "tie", "no difference", ""),
    ("right 1", "right_slightly", "slightly", "right"),
    ("right 2", "right_clearly", "clearly", "right"),
    ("right 3", "right_much", "much better", "right"),
)


@desk_view(require_GET)
def index(request: HttpRequest) -> HttpResponse:
    reviewer = user_of(request)
    context = {
        "rows": pairs_for(reviewer),
        "choices": [(row, in_words(seen(row))) for row in choices_of(reviewer)],
        "may_make": reviewer.has_perm("models_app.manage_queues"),
    }
    return render(request, "reviews/desk/pairwise_index.html", context)


@desk_view(require_GET)
def next_pair(request: HttpRequest, slug: str) -> HttpResponse:
    queue = get_object_or_404(ReviewQueue, slug=slug, kind=ReviewQueue.Kind.PAIRWISE)
    lease = claimed(request, queue, ReviewQueue.Kind.PAIRWISE)
    if lease is None:
        return _nothing_left(request, queue)
    return page(request, pair_of(lease.assignment.item_id), lease)


def _nothing_left(request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    reviewer = user_of(request)
    context = {
        "queue": queue,
        "done": done_today(reviewer).get(queue.pk, 0),
        "own": judges.left_to_others(queue=queue.pk, judge=reviewer),
        "others": [row for row in pairs_for(reviewer) if row.waiting and row.queue.pk != queue.pk],
        "undo": undo_offered(request, PAIRWISE),
        **key_sheet(reviewer, Desk.PAIRWISE),
    }
    return render(request, "reviews/desk/pairwise_empty.html", context)


@desk_view(require_GET)
def pair_page(request: HttpRequest, pk: int) -> HttpResponse:
    """This very pair: mine to choose, mine to correct, mine to submit late, or somebody else's."""
    item = pair_of(pk)
    lease = claims.hold(item=item, reviewer=user_of(request))
    if lease is None and begin(item=item, reviewer=user_of(request)) is None:
        left = claims.saw_others(item=item, reviewer=user_of(request))
        own = judges.had_a_hand(item=item, judge=user_of(request))
        context = {"item": item, "queue": item.queue, "left": left, "own": own}
        return render(request, "reviews/desk/pairwise_taken.html", context, status=409)
    return page(request, item, lease)


def pair_of(pk: int) -> QueueItem:
    return get_object_or_404(
        QueueItem.objects.select_related("queue", "summary__document", "other"),
        pk=pk,
        queue__kind=ReviewQueue.Kind.PAIRWISE,
    )


def page(
    request: HttpRequest,
    item: QueueItem,
    lease: Lease | None,
    *,
    typed: Judgement | None = None,
    error: GalleyError | None = None,
) -> HttpResponse:
    """With `typed` as the browser sent it and why it was refused, for browsers without script."""
    reviewer = user_of(request)
    mine = begin(item=item, reviewer=reviewer)
    if mine is None or item.other is None:
        raise StaleState("You do not have this pair checked out.", code="not_yours")
    shown = typed or seen(mine)
    texts = (item.other.text, item.summary.text)
    left, right = texts if mine.after_was_left else texts[::-1]
    parts = word_difference(left, right)
    done = done_today(reviewer).get(item.queue_id, 0)
    waiting = statements.items_waiting(reviewer=reviewer, queue=item.queue).get(item.queue_id, 0)
    document = item.summary.document
    keys = key_sheet(reviewer, Desk.PAIRWISE)
    context = {
        # plain values only: a template that had the rows could say too much
        "pair": {"id": item.pk, "left": _side(parts, "deleted"), "right": _side(parts, "inserted")},
        "queue": item.queue,
        "document": document,
        "paragraphs": paragraphs(document.text),
        "lease": lease,
        "submitted": mine.state in Preference.ANSWERED,
        "submitted_at": mine.submitted_at,
        "revision": mine.revision,
        "points": [
            (value, action, keys["keys"][action], words, side) for value, action, words, side in POINTS
        ],
        "choice": choice_value(shown),
        "judgement": shown,
        "longest": {
            "reason": Preference.LONGEST_REASON_CHARACTERS,
            "skip": Skip.LONGEST_REASON_CHARACTERS,
        },
        "error": error,
        "errors": error.fields if error else {},
        "conflict": isinstance(error, StaleDraft | AlreadySubmitted),
        "already": isinstance(error, AlreadySubmitted),
        "done": done,
        "whole": done + waiting,
        "more": waiting >= statements.COUNTED,
        "undo": undo_offered(request, PAIRWISE),
        **keys,
    }
    return render(request, "reviews/desk/pairwise.html", context, status=error.status if error else 200)


def _side(parts: list[Part], own: str) -> list[tuple[str, bool]]:
    """One side's text in pieces, each with whether the other side lacks it."""
    return [(part.text, part.kind == own) for part in parts if part.kind in ("same", own)]


urlpatterns = [
    path("", index, name="pairwise"),
    path("item/<int:pk>/", pair_page, name="pairwise_item"),
    path("<slug:slug>/", next_pair, name="pairwise_next"),
]
