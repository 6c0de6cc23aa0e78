"""What imports of documents and of ratings share: a batch is handed in, looked at, then imported once, or forgotten.

Files are read by jobs alone, each in a process of its own that may not take more memory than the settings say: what a
file does to whoever reads it, it does to nobody else. A batch's report has "sample" once it was looked at and "read"
once it is in; until then `reviews.ingest.uploads` keeps its file. One that cannot be read goes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone

from models_app.foundation import audit, jobs, memory
from models_app.foundation.errors import Refused, TooLarge
from models_app.models import Job
from reviews.ingest import uploads
from reviews.models import ImportBatch, RatingImport

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEADLINE_SECONDS = 6 * 3600
LOOK_SECONDS = 900
Status = Literal["looking", "ready", "importing", "imported", "failed", "cancelled"]
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


def status_of(batch: ImportBatch | RatingImport) -> Status:
    """Where it stands; of a row of `newest_first` or a whole one."""
    if is_imported(batch):
        return "imported"
    job = batch.job
    if job is None or (job.state == Job.State.SUCCEEDED and job.payload.get("look")):
        return "ready"
    if job.is_active:
        return "looking" if job.payload.get("look") else "importing"
    return "cancelled" if job.state == Job.State.CANCELLED else "failed"


# ---------------------------------------------------------------- a look first


def hand_in(
    table: type[Batch],
    *,
    name: str,
    options: DataclassInstance,
    actor: Any | None,
    kind: str,
    path: Path | None = None,
) -> Batch:
    """Keep a batch, with its file if it has one, and let the queue look at it by a job of this kind."""
    with transaction.atomic():
        upload = "" if path is None else uploads.hold(path)
        batch = table.objects.create(
            name=name[:200], upload=upload, options=asdict(options), imported_by=actor
        )
        batch.job = jobs.enqueue(
            kind=kind,
            actor=actor,
            subject=f"{batch._meta.model_name}:{batch.pk}",
            payload={"batch": batch.pk, "look": True},
            max_attempts=2,
            deadline_seconds=LOOK_SECONDS,
        )
        batch.save(update_fields=["job"])
    return batch


@contextmanager
def within_memory(batch: ImportBatch | RatingImport) -> Iterator[None]:
    """For a process that reads the batch's file. Raises TooLarge where that takes more memory than it may."""
    most: int = settings.GALLEY_IMPORT_MEMORY_MB
    try:
        with memory.at_most(most):
            yield
    except memory.OutOfMemory as error:
        message = (
            f"{batch.name} takes more than {most:,} MB of memory to read (GALLEY_IMPORT_MEMORY_MB). "
            "Its rows may be far larger than articles are; split it, or leave out what is no text."
        )
        raise TooLarge(message, fields={"file": message}) from error


def looked(batch: Batch, *, job: Job, sample: dict[str, Any]) -> None:
    """Keep what was seen, unless another job has the batch now."""
    rows = type(batch).objects.filter(pk=batch.pk, job=job).exclude(report__has_key="read")
    rows.update(report={"sample": sample})


def look_ended(table: type[ImportBatch] | type[RatingImport], job: Job) -> None:
    """A file that could not be looked at is kept no longer, only why. May be called more than once."""
    if job.state == Job.State.SUCCEEDED:
        return
    rows = table.objects.filter(job=job).exclude(upload="").exclude(report__has_any_keys=["sample", "read"])
    batch = rows.select_for_update().first()
    if batch is not None:
        path = Path(settings.GALLEY_HOME) / batch.upload
        rows.filter(pk=batch.pk).update(upload="", report={"refused": job.reason}, finished_at=timezone.now())
        transaction.on_commit(lambda: uploads.drop(path, waits=table))


# ---------------------------------------------------------------- importing


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
        if status_of(locked) == "looking":
            raise Refused(f"{locked.name} is still being looked at.")
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


def ended(table: type[ImportBatch] | type[RatingImport], job: Job) -> None:
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
