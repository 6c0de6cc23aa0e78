"""Letting a release write summaries for documents, batch by batch; each batch is kept as soon as it is written."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from models_app.engines import open_engine
from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput, NotFound, Refused
from models_app.foundation.jobs import JobCancelled
from models_app.foundation.roles import require
from models_app.models import Job, Release
from models_app.models.releases import live_release
from reviews.models import QueueItem, ReviewQueue, SourceDocument, Summary
from reviews.queues.grounding import link
from reviews.queues.items import Entry, put_many

if TYPE_CHECKING:
    from models_app.ml.engines import Generation

BATCH = 8
MOST_DOCUMENTS = 20_000
DEADLINE_SECONDS = 12 * 3600


def usual_writer() -> Release:
    """The live release, which writes drafts unless somebody says otherwise. Raises Refused where nothing is live."""
    live = live_release()
    if live is None:
        raise Refused("No release is live that could write drafts. Deploy one first.")
    return live


def start_drafting(
    *, documents: Sequence[int], release: Release, queue: str = "", actor: Any | None, deliver: bool = True
) -> Job:
    """Let the queue draft summaries for these documents; they land in the review queue named by slug, if any. Asked
    twice for the same, one job does it."""
    require(actor, "import_documents")
    wanted = sorted(set(documents))
    if not wanted:
        raise InvalidInput("No documents were chosen.", fields={"documents": "Choose at least one."})
    if len(wanted) > MOST_DOCUMENTS:
        message = f"{len(wanted):,} documents are too many for one job; at most {MOST_DOCUMENTS:,}. Narrow the choice."
        raise InvalidInput(message, fields={"documents": message})
    if queue and not ReviewQueue.objects.filter(slug=queue, active=True).exists():
        message = f"There is no review queue {queue!r} that is open."
        raise InvalidInput(message, fields={"queue": message})
    chosen = hashlib.sha256(json.dumps([wanted, queue]).encode()).hexdigest()[:16]
    with transaction.atomic():
        job = jobs.enqueue(
            kind="generate_summaries",
            actor=actor,
            subject=f"release:{release.pk}",
            payload={"documents": wanted, "release": release.pk, "queue": queue},
            unique_key=f"draft:{release.pk}:{chosen}",
            deadline_seconds=DEADLINE_SECONDS,
            deliver=deliver,
        )
        audit.record(
            actor=actor,
            action="summaries.start",
            subject=release,
            data={"documents": len(wanted), "queue": queue, "job": job.pk},
        )
    return job


def draft_summaries(
    *,
    documents: Sequence[SourceDocument],
    release: Release,
    queue_slug: str = "new-drafts",
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> int:
    """Write what is missing with the release's engine in this process. Returns how many were written.

    Documents that have a summary of this release are not written again, only put in the queue, so that a job cut off
    half-way goes on.
    """
    written = {
        summary.document_id: summary
        for summary in Summary.objects.filter(release=release, source="batch", document__in=documents)
    }
    if queue_slug:
        _queue(list(written.values()), queue_slug)
    missing = [document for document in documents if document.pk not in written]
    if not missing:
        return 0
    with open_engine(release, threads=settings.GALLEY_SLOT_THREADS) as engine:
        for start in range(0, len(missing), BATCH):
            if should_stop is not None and should_stop():
                raise JobCancelled
            batch = missing[start : start + BATCH]
            began = time.monotonic()
            outputs = engine.write([(document.text, document.title, document.domain) for document in batch])
            latency = (time.monotonic() - began) * 1000 / len(batch)
            with transaction.atomic():
                kept = [
                    _keep(document, release, output, latency)
                    for document, output in zip(batch, outputs, strict=True)
                ]
                if queue_slug:
                    link(summaries=[summary.pk for summary in kept])  # there when the first reviewer comes
                    _queue(kept, queue_slug)
            if progress is not None:
                progress(start + len(batch), len(missing))
    return len(missing)


def _queue(summaries: Sequence[Summary], slug: str) -> None:
    """Those that the queue takes; the others are passed over."""
    queue = ReviewQueue.objects.filter(slug=slug).first()
    if queue is None:
        raise NotFound(f"There is no review queue {slug!r}.")
    entries = [Entry(summary.pk) for summary in summaries]
    put_many(queue=queue, entries=entries, reason=QueueItem.Reason.NEW, actor=None)


def _keep(document: SourceDocument, release: Release, output: Generation, latency_ms: float) -> Summary:
    """Another job may have written the same meanwhile; the first one stands."""
    summary, _ = Summary.objects.get_or_create(
        document=document,
        release=release,
        source=Summary.Source.BATCH,
        defaults={
            "model_version": release.model_version,
            "prompt_version": release.prompt_version,
            "decoding": release.decoding,
            "text": output.text,
            "words": len(output.text.split()),
            "latency_ms": latency_ms,
            "truncated": output.truncated,
            "total_tokens": output.total_text_tokens,
            "kept_tokens": output.kept_text_tokens,
            "finish": output.finish,
            "confidence": output.confidence,
        },
    )
    return summary
