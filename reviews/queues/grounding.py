"""Linking queued summaries to their sources, in the queue: what `texts.grounding` finds, kept as `Grounding` rows.

One job at a time sweeps what lacks a row, the newest items first, so code that adds items to a queue just asks for the
sweep. Asked while one runs, that one finds the new items too, or its successor does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.jobs import JobCancelled
from models_app.models import Job
from reviews.models import Grounding, QueueItem, ReviewQueue, Summary
from reviews.texts.grounding import METHOD, Source, as_data, ground

KIND = "ground_summaries"
BATCH = 200
#: Where so many items in a row have theirs, the older ones have, too.
ENOUGH = 5 * BATCH
DEADLINE_SECONDS = 6 * 3600


def start_linking(*, whole: bool = False, actor: Any | None = None, deliver: bool = True) -> Job:
    """Let the queue link what was put in last; `whole`: look through every open item, as after an upgrade."""
    return jobs.enqueue(
        kind=KIND,
        actor=actor,
        payload={"whole": whole},
        unique_key=f"{KIND}:{'whole' if whole else 'newest'}",
        deadline_seconds=DEADLINE_SECONDS,
        deliver=deliver,
    )


def link_queued(
    *,
    whole: bool = False,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> int:
    """Link the summaries of open items that are not yet, batch by batch; each batch is kept when it is done.

    Returns how many. Twice at once does no harm: both write the same.
    """
    done = in_a_row = 0
    for items, missing in _batches():
        if should_stop is not None and should_stop():
            raise JobCancelled
        done += link(summaries=missing)
        in_a_row = 0 if missing else in_a_row + items
        if progress is not None:
            progress(done, 0)
        if not whole and in_a_row >= ENOUGH:
            break
    return done


def link(*, summaries: Sequence[int]) -> int:
    """Compute and keep the grounding of these summaries, also of those that have one."""
    rows = Summary.objects.filter(pk__in=summaries).select_related("document").order_by("document", "pk")
    found: list[Grounding] = []
    source: Source | None = None
    now = timezone.now()
    for summary in rows.only("text", "document__text"):
        if source is None or source.text != summary.document.text:
            source = Source(summary.document.text)
        data = as_data(ground(source, summary.text))
        found.append(Grounding(summary=summary, method=METHOD, data=data, computed_at=now))
    Grounding.objects.bulk_create(
        found,
        update_conflicts=True,
        unique_fields=["summary"],
        update_fields=["method", "data", "computed_at"],
    )
    return len(found)


def _batches() -> Iterator[tuple[int, list[int]]]:
    """Of open items, newest first: how many were looked at, and the summaries of theirs to be linked."""
    items = (
        QueueItem.objects.filter(Q(state=QueueItem.State.OPEN) | Q(state=QueueItem.State.DISPUTED))
        .exclude(queue__kind=ReviewQueue.Kind.PAIRWISE)
        .annotate(linked=Exists(Grounding.objects.filter(summary=OuterRef("summary"), method=METHOD)))
        .order_by("-pk")
        .values_list("pk", "summary", "linked")
    )
    last: int | None = None
    while True:
        batch = list((items if last is None else items.filter(pk__lt=last))[:BATCH])
        if not batch:
            return
        last = batch[-1][0]
        yield len(batch), sorted({summary for _, summary, linked in batch if not linked})


def linking_ended(job: Job) -> None:
    """What was put in while the sweep was ending gets one of its own."""
    if job.state != Job.State.SUCCEEDED:
        return
    newest = next(_batches(), None)
    if newest is not None and newest[1]:
        start_linking()
