"""Handlers of this side's jobs: each parses its payload and calls a use case."""

from __future__ import annotations

import threading
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from django.contrib.auth.models import User
from django.db import connections

from models_app.foundation.errors import NotFound
from models_app.foundation.jobs import JobContext
from models_app.models import ClientFeedback, Job, Release
from reviews.exports import requests
from reviews.external_ratings.imports import RATINGS
from reviews.filling import client_feedback, drafts, rule_runs
from reviews.ingest import twins
from reviews.ingest.imports import DOCUMENTS
from reviews.ingest.life import ImportKind
from reviews.models import Export, PromptTrial, ReviewQueue, SourceDocument
from reviews.prompts import trials
from reviews.quality import adjudication, agreement_report
from reviews.queues import grounding, settings

TELL_SECONDS = 1.05  # JobContext writes at most once a second


class _Telling:
    """Says how far one long transaction is, from a thread with a connection of its own: inside the transaction nobody
    would see it, and its lock on the job's row would keep the worker from renewing the lease."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._place = (0, 0)
        self._stop: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="telling", daemon=True)

    def __call__(self, done: int, total: int) -> None:
        """Raises what the other thread was told: that the job is cancelled, or belongs to another process now."""
        self._place = (done, total)
        if self._stop is not None:
            raise self._stop

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _tell(self) -> None:
        try:
            while not self._over.wait(TELL_SECONDS):
                self._context.step(*self._place)
        except Exception as error:  # raised again where the work is done
            self._stop = error
        finally:
            connections.close_all()


def import_documents(context: JobContext) -> dict[str, Any]:
    return _import(DOCUMENTS, context, "importing documents")


def import_ended(job: Job) -> None:
    DOCUMENTS.job_ended(job)


def import_ratings(context: JobContext) -> dict[str, Any]:
    return _import(RATINGS, context, "importing ratings")


def ratings_ended(job: Job) -> None:
    RATINGS.job_ended(job)


def _import(kind: ImportKind[Any, Any, Any], context: JobContext, phase: str) -> dict[str, Any]:
    """{"batch": id, "look": bool}: look at its columns and first rows, or import it whole."""
    row = kind.table.objects.filter(pk=context.payload["batch"]).first()
    if row is None:
        raise NotFound(f"There is no import {context.payload['batch']}; it may have been discarded.")
    kind.table.objects.filter(pk=row.pk).exclude(job=context.job).update(job=context.job)
    if context.payload.get("look"):
        context.phase("looking at the first rows")
        return kind.look_at(row=row, job=context.job)
    context.phase(phase)
    twins.sketch_missing(progress=context.step, should_stop=context.should_stop)
    with _Telling(context) as tell:
        kind.carry_out(row=row, progress=tell)
    row.refresh_from_db()
    return {key: row.report[key] for key in ("read", "imported", kind.table.REPEATED, "refused_count")}


def forget_files_left_behind() -> int:
    """Returns how many imports were forgotten with their files."""
    return DOCUMENTS.forget_left_behind() + RATINGS.forget_left_behind()


def export(context: JobContext) -> dict[str, Any]:
    """{"export": id}: write its file."""
    asked = Export.objects.filter(pk=context.payload["export"]).first()
    if asked is None:
        raise NotFound(f"There is no export {context.payload['export']}.")
    context.phase("writing the file")
    with _Telling(context) as tell:
        return requests.carry_out(export=asked, progress=tell)


def export_ended(job: Job) -> None:
    requests.ended(job=job)


def review_requests(context: JobContext) -> dict[str, Any]:
    """{"feedback": id}: a client's feedback that asks for a look."""
    feedback = ClientFeedback.objects.select_related("request").filter(pk=context.payload["feedback"]).first()
    if feedback is None:
        raise NotFound(f"There is no client feedback {context.payload['feedback']}.")
    outcome = client_feedback.bring_back(feedback=feedback).to_dict()
    grounding.start_linking()
    return outcome


def ground_summaries(context: JobContext) -> dict[str, Any]:
    """{"whole": bool}: link queued summaries to their sources."""
    context.phase("linking summaries to their sources")
    linked = grounding.link_queued(
        whole=bool(context.payload.get("whole")), progress=context.step, should_stop=context.should_stop
    )
    return {"linked": linked}


def grounding_ended(job: Job) -> None:
    grounding.linking_ended(job)


def compare_documents(context: JobContext) -> dict[str, Any]:
    """Look for near duplicates of documents that came in otherwise than by an import."""
    context.phase("comparing documents")
    return {"compared": twins.sketch_missing(progress=context.step, should_stop=context.should_stop)}


def try_prompt(context: JobContext) -> dict[str, Any]:
    """{"trial": id}: a prompt tried on articles by the live model; goes on where it was cut off."""
    trial = (
        PromptTrial.objects.select_related("based_on__prompt", "release")
        .filter(pk=context.payload["trial"])
        .first()
    )
    if trial is None:
        raise NotFound(f"There is no prompt trial {context.payload['trial']}.")
    context.phase("writing summaries", total=trial.results.count())
    return {"articles": trials.carry_out(trial=trial, progress=context.step, should_stop=context.should_stop)}


def trial_ended(job: Job) -> None:
    trials.ended(job=job)


def generate_summaries(context: JobContext) -> dict[str, Any]:
    """{"documents": [ids], "release": id, "queue": slug or ""}: drafts in batches; goes on where it was cut off."""
    payload = context.payload
    release = (
        Release.objects.select_related("model_version", "prompt_version__prompt")
        .filter(pk=payload["release"])
        .first()
    )
    if release is None:
        raise NotFound(f"There is no release {payload['release']}.")
    documents = list(SourceDocument.objects.filter(pk__in=payload["documents"]).order_by("pk"))
    context.phase("drafting summaries", total=len(documents))
    drafted = drafts.draft_summaries(
        documents=documents,
        release=release,
        queue_slug=payload.get("queue", ""),
        progress=context.step,
        should_stop=context.should_stop,
    )
    if payload.get("queue"):
        grounding.start_linking()
    return {"drafted": drafted, "asked": len(payload["documents"])}


def fill_queues(context: JobContext) -> dict[str, Any]:
    """Let the rules of all queues look at what came since they last did; begins again where it was cut off."""
    context.phase("filling queues by their rules")
    return {"put_in": rule_runs.fill_queues(progress=context.step, should_stop=context.should_stop)}


def look_for_disputes(context: JobContext) -> dict[str, Any]:
    """{"items": [ids]}: items that a change of their queue has closed."""
    items = context.payload["items"]
    context.phase("looking for reviewers who differ", total=len(items))
    return {
        "looked_at": adjudication.look_for_disputes(
            items=items, progress=context.step, should_stop=context.should_stop
        )
    }


def measure_agreement(context: JobContext) -> dict[str, Any]:
    """Agreement of reviewers over every window that its page offers."""
    context.phase("measuring agreement", total=len(agreement_report.WINDOWS))
    return agreement_report.measure_all(progress=context.step)


def change_queue(context: JobContext) -> dict[str, Any]:
    """{"queue": id, "settings": {…}, "actor": id}: a change that moves many items, for the person who asked for it."""
    payload = context.payload
    queue = ReviewQueue.objects.filter(pk=payload["queue"]).first()
    actor = User.objects.filter(pk=payload["actor"]).first()
    if queue is None or actor is None:
        raise NotFound("The queue, or the person who asked for the change, is gone.")
    context.phase("bringing assignments in step with the queue")
    with _Telling(context):
        moved = settings.change_queue(
            queue=queue, settings=settings.QueueSettings(**payload["settings"]), actor=actor
        )
    return {**asdict(moved), "closed": len(moved.closed)}
