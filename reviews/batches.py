"""What imports of documents and of ratings share: a batch is handed in, then imported once, or forgotten.

A batch's report has "read" once it is in; until then `reviews.uploads` keeps its file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import transaction
from django.db.models import BigIntegerField, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone

from models_app.foundation import audit, jobs
from models_app.foundation.errors import Refused
from models_app.models import Job
from reviews import uploads
from reviews.models import ImportBatch, RatingImport

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEADLINE_SECONDS = 6 * 3600
Batch = TypeVar("Batch", ImportBatch, RatingImport)
Report = TypeVar("Report")


def is_imported(batch: ImportBatch | RatingImport) -> bool:
    """Of a row of `newest_first` or a whole one."""
    facts = batch.__dict__
    return facts["rows_read"] is not None if "rows_read" in facts else "read" in batch.report


def newest_first(table: type[Batch], *, repeated: str) -> QuerySet[Batch]:
    """With the report's figures instead of the report, which may be long; `repeated` is one's name in there."""
    figures = {"read": "read", "imported": "imported", "repeated": repeated, "refused": "refused_count"}
    counts = {f"rows_{name}": Cast(KT(f"report__{key}"), BigIntegerField()) for name, key in figures.items()}
    found = table.objects.select_related("job", "imported_by").defer("report")
    return found.annotate(**counts).order_by("-pk")


def start(
    *,
    batch: Batch,
    options: DataclassInstance,
    actor: Any | None,
    kind: str,
    action: str,
    check: Callable[[Batch], object],
) -> Job:
    """Let the queue import it by a job of this kind. Asked twice, it is imported once. Raises Refused where it is in,
    and what `check` raises."""
    with transaction.atomic():
        locked = type(batch).objects.select_for_update().get(pk=batch.pk)
        if is_imported(locked):
            raise Refused(f"{locked.name} has been imported already.")
        check(locked)
        job = jobs.enqueue(
            kind=kind,
            actor=actor,
            subject=f"{locked._meta.model_name}:{locked.pk}",
            payload={"batch": locked.pk},
            unique_key=f"{kind}:{locked.pk}",
            deadline_seconds=DEADLINE_SECONDS,
        )
        if job.pk != locked.job_id:
            locked.job, locked.options, locked.finished_at = job, asdict(options), None
            locked.save(update_fields=["job", "options", "finished_at"])
            audit.record(actor=actor, action=action, subject=locked, data={"name": locked.name})
    batch.refresh_from_db()
    return job


def carry_out(batch: Batch, work: Callable[[Batch], Report]) -> Report | None:
    """`work` in one transaction; None where that was done before (a job that came twice)."""
    with transaction.atomic():
        locked = type(batch).objects.select_for_update().get(pk=batch.pk)
        report = None if is_imported(locked) else work(locked)
        if locked.upload:  # its process may have died between the import and this
            transaction.on_commit(lambda: uploads.drop_of(locked))
    batch.refresh_from_db()
    return report


def ended(table: type[Batch], job: Job) -> None:
    """Its job has. May be called more than once."""
    batch = table.objects.filter(pk=job.payload.get("batch")).first()
    if batch is not None and not is_imported(batch):
        table.objects.filter(pk=batch.pk).update(finished_at=timezone.now())


def discard(*, batch: ImportBatch | RatingImport, actor: Any | None, action: str) -> None:
    """Forget it, and its file. Raises Refused where something came of it or is coming."""
    with transaction.atomic():
        rows = type(batch).objects.select_for_update(of=("self",)).select_related("job")
        locked = rows.get(pk=batch.pk)
        if is_imported(locked):
            raise Refused(f"{locked.name} has been imported; what came of it stays.")
        if locked.job is not None and locked.job.is_active:
            raise Refused(f"{locked.name} is being imported. Cancel that first.")
        audit.record(actor=actor, action=action, subject=locked, data={"name": locked.name})
        locked.delete()
        if locked.upload:
            transaction.on_commit(lambda: uploads.drop_of(locked))


def drop_left_behind(table: type[Batch], *, place: str, action: str) -> int:
    """Forget batches that nobody imported in time, and files that none waits for. Returns how many batches."""
    count = 0
    for batch in uploads.left_behind(table):
        with suppress(Refused, table.DoesNotExist):  # just started by somebody, or forgotten
            discard(batch=batch, actor=None, action=action)
            count += 1
    uploads.drop_strays(table, place=place)
    return count
