"""Letting a release write summaries for documents, batch by batch; each batch is kept as soon as it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput
from models_app.foundation.jobs import JobCancelled
from models_app.foundation.roles import require
from models_app.models import Job, Release
from models_app.serving.engines import open_engine
from reviews.models import QueueItem, SourceDocument, Summary
from reviews.queueing import put_in_queue

BATCH = 8


def start_drafting(
    *, documents: Sequence[int], release: Release, queue: str = "", actor: Any | None, deliver: bool = True
) -> Job:
    """Let the queue draft summaries for these documents; they land in the review queue named by slug, if any."""
    require(actor, "import_documents")
    if not documents:
        raise InvalidInput("No documents were chosen.", fields={"documents": "Choose at least one."})
    with transaction.atomic():
        job = jobs.enqueue(
            kind="generate_summaries",
            actor=actor,
            subject=f"release:{release.pk}",
            payload={"documents": list(documents), "release": release.pk, "queue": queue},
            deadline_seconds=12 * 3600,
            deliver=deliver,
        )
        audit.record(
            actor=actor,
            action="summaries.start",
            subject=release,
            data={"documents": len(documents), "queue": queue},
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

    Documents that have a summary of this release are passed over, so that a job cut off half-way goes on.
    """
    done = set(
        Summary.objects.filter(release=release, source="batch", document__in=documents).values_list(
            "document", flat=True
        )
    )
    missing = [document for document in documents if document.pk not in done]
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
                for document, output in zip(batch, outputs, strict=True):
                    summary = Summary.objects.create(
                        document=document,
                        release=release,
                        model_version=release.model_version,
                        prompt_version=release.prompt_version,
                        decoding=release.decoding,
                        text=output.text,
                        words=len(output.text.split()),
                        latency_ms=latency,
                        truncated=output.truncated,
                        total_tokens=output.total_text_tokens,
                        kept_tokens=output.kept_text_tokens,
                        finish=output.finish,
                    )
                    if queue_slug:
                        put_in_queue(
                            summary=summary, queue_slug=queue_slug, reason=QueueItem.Reason.NEW, actor=None
                        )
            if progress is not None:
                progress(start + len(batch), len(missing))
    return len(missing)
