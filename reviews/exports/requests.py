"""Exports: asked for on a page or by the API, written in the queue, fetched for a while, then removed.

A file lies in `<GALLEY_HOME>/exports/<id>/<name>`. It is written beside its place, as `.<name>.partial`, and renamed
once it is whole; whatever ends a job half-way, the partial file goes with its `ended` or with the next attempt.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput, NotFound, Refused, Unavailable
from models_app.models import Job
from reviews.exports import files
from reviews.exports.columns import columns_of
from reviews.exports.files import Card
from reviews.exports.request import KINDS, Request, check
from reviews.exports.rows import Progress, open_rows
from reviews.models import Export, ReviewQueue, SourceDocument

DEADLINE_SECONDS = 6 * 3600
MOST_AT_ONCE = 3
LICENCES_NAMED = 20


# ---------------------------------------------------------------- asking


def request_export(*, request: Request, actor: User) -> Export:
    """Let the queue write it. Asked twice while it is being written, there is one. Raises InvalidInput, NotAllowed,
    Refused where the asker has too many under way."""
    request = check(request, actor)
    remove_expired()
    options = request.to_dict()
    key = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    with transaction.atomic():
        # of two presses at once, the second waits here and finds the first
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        unique_key = f"export:{actor.pk}:{key}"
        active = Export.objects.filter(requested_by=actor, job__state__in=Job.ACTIVE)
        same = active.filter(job__unique_key=unique_key).first()
        if same is not None:
            return same
        if active.count() >= MOST_AT_ONCE:
            raise Refused(f"{MOST_AT_ONCE} exports of yours are being written. Wait for one, or cancel it.")
        export = Export.objects.create(
            kind=request.kind,
            format=request.format,
            options=options,
            queue=ReviewQueue.objects.filter(slug=request.queue).first() if request.queue else None,
            requested_by=actor,
        )
        export.job = jobs.enqueue(
            kind="export",
            actor=actor,
            subject=f"export:{export.pk}",
            payload={"export": export.pk},
            unique_key=unique_key,
            deadline_seconds=DEADLINE_SECONDS,
        )
        export.save(update_fields=["job"])
        audit.record(actor=actor, action="export.request", subject=export, data=options)
    return export


def exports_of(person: User) -> QuerySet[Export]:
    """One's own, the newest first: nobody else's files are anybody's business."""
    return Export.objects.filter(requested_by=person).select_related("job", "queue").order_by("-pk")


def own_export(*, pk: int, actor: User) -> Export:
    """Raises NotFound, for somebody else's as well."""
    export = exports_of(actor).filter(pk=pk).first()
    if export is None:
        raise NotFound(f"There is no export {pk} of yours.")
    return export


def status_of(export: Export) -> str:
    """waiting, writing, ready, removed, failed or cancelled."""
    if export.removed_at is not None:
        return "removed"
    if export.finished_at is not None:
        return "removed" if is_expired(export) else "ready"
    job = export.job
    if job is None:
        return "failed"
    return {"queued": "waiting", "running": "writing", "cancelled": "cancelled"}.get(job.state, "failed")


def is_expired(export: Export) -> bool:
    return export.expires_at is not None and export.expires_at <= timezone.now()


# ---------------------------------------------------------------- writing, in the queue


def carry_out(*, export: Export, progress: Progress | None = None) -> dict[str, Any]:
    """Write the file, then say so in one transaction. A job that came twice finds it written."""
    export.refresh_from_db()
    if export.finished_at is not None:
        return {"rows": export.rows, "bytes": export.bytes}
    # what somebody may see is what they may see now
    request = check(Request.of(export.options), export.requested_by)
    name = files.file_name(
        f"galley-{request.kind}-{export.pk}", format=request.format, compressed=request.compressed
    )
    final = _directory(export) / name
    # of its own for each attempt: one that was given up must not put its half in the other's place
    partial = final.with_name(f".{name}.{uuid.uuid4().hex[:8]}.partial")
    columns, card = columns_of(request), card_of(request)
    _remove_files(export)
    try:
        with _room_on_disk():
            final.parent.parent.mkdir(parents=True, exist_ok=True)
            final.parent.mkdir(mode=0o700, exist_ok=True)
            with open_rows(request, export.requested_by, progress=progress) as rows:
                written = files.write_file(
                    rows,
                    partial,
                    format=request.format,
                    columns=columns,
                    card=card,
                    compressed=request.compressed,
                )
            if not written:
                raise Refused(nothing_to_export(request))
            digest, size = files.digest_of(partial), partial.stat().st_size
            _to_disk(partial)
            partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
        with suppress(OSError):  # the file is in it
            final.parent.rmdir()
    now = timezone.now()
    with transaction.atomic():
        changed = Export.objects.filter(pk=export.pk, finished_at=None).update(
            file=str(final.relative_to(settings.GALLEY_HOME)),
            rows=written,
            bytes=size,
            digest=digest,
            finished_at=now,
            expires_at=now + timedelta(days=settings.GALLEY_EXPORT_DAYS),
        )
        if changed:
            data = {"kind": request.kind, "rows": written, "bytes": size, "sha256": digest}
            audit.record(actor=export.requested_by, action="export.write", subject=export, data=data)
    export.refresh_from_db()
    return {"rows": written, "bytes": size}


def nothing_to_export(request: Request) -> str:
    what = {"sft": "approved demonstration", "chat": "approved demonstration", "dpo": "preference"}
    word = what.get(request.kind, {"spans": "marked error"}.get(request.kind, request.kind.removesuffix("s")))
    if request.snapshot is not None:
        row = "preference" if request.kind == "dpo" else "row"
        return f"Snapshot {request.snapshot} has no {row} of this split."
    return f"There is no {word} to export for this choice of queue, days and people."


def ended(*, job: Job) -> None:
    """The job has ended: a file that is not whole goes. May be called more than once."""
    export = Export.objects.filter(pk=job.payload.get("export"), finished_at=None).first()
    if export is not None and job.state != Job.State.SUCCEEDED:
        transaction.on_commit(lambda: _remove_files(export))


def cancel(*, export: Export, actor: User) -> None:
    if export.requested_by_id != actor.pk or export.job is None:
        raise NotFound(f"There is no export {export.pk} of yours that could be cancelled.")
    jobs.request_cancel(job=export.job, actor=actor)


def card_of(request: Request) -> Card:
    """What a folder says about itself."""
    at = timezone.localtime()
    chosen = [
        f"snapshot {request.snapshot}"
        if request.snapshot is not None
        else f"queue `{request.queue}`"
        if request.queue
        else "all queues",
        f"from {request.since}" if request.since else "",
        f"until {request.until}" if request.until else "",
        "the asker's own only" if request.mine and not request.is_training else "",
    ]
    paragraphs = [
        f"{KINDS[request.kind].capitalize()}. Exported from Galley on {at:%d %B %Y}: "
        + ", ".join(part for part in chosen if part)
        + ".",
    ]
    if request.is_training:
        paragraphs.append("Articles of the test split are not in it: they judge models.")
    else:
        paragraphs.append(
            "The split is the article's in Galley. Do not train on rows of `test`, nor on what was said about them."
        )
        if request.reviewers == "pseudonyms":
            paragraphs.append(
                "Reviewers have pseudonyms that are the same in every export of this installation. Comments are as "
                "they were written and may name people."
            )
    licences = (
        SourceDocument.objects.exclude(licence="")
        .order_by("licence")
        .values_list("licence", flat=True)
        .distinct()
    )
    return Card(f"Galley {request.kind}", paragraphs, list(licences[:LICENCES_NAMED]))


def _to_disk(path: Path) -> None:
    """The database may not promise a file that a power cut would take away."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _room_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Unavailable("There is no room on the disk for this file. Nothing of it was kept.") from error


# ---------------------------------------------------------------- writing, at once


def write_now(
    *, request: Request, file: IO[bytes], actor: Any | None, progress: Progress | None = None
) -> int:
    """JSON Lines or CSV into an open file, for a command that waits. Returns how many rows."""
    request = check(request, actor)
    if request.format == "datasets":
        raise InvalidInput("A folder needs a place to be written to.", fields={"output": "Name a directory."})
    columns = columns_of(request)
    with open_rows(request, actor, progress=progress) as rows:
        written = files.write_lines(
            rows, file, format=request.format, columns=columns, compressed=request.compressed
        )
    if written:
        _record_at_once(request, actor, written)
    return written


def write_folder_now(
    *, request: Request, folder: Path, actor: Any | None, progress: Progress | None = None
) -> int:
    """A folder for `datasets`, which appears whole or not at all."""
    request = check(request, actor)
    if folder.exists():
        raise Refused(f"{folder} exists already.")
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        columns, card = columns_of(request), card_of(request)
        with _room_on_disk(), open_rows(request, actor, progress=progress) as rows:
            written = files.write_folder(rows, beside, columns=columns, card=card)
        if written:
            beside.rename(folder)
            _record_at_once(request, actor, written)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return written


def _record_at_once(request: Request, actor: Any | None, written: int) -> None:
    with transaction.atomic():
        data = {**request.to_dict(), "rows": written}
        audit.record(actor=actor, action="export.write", subject="export:command", data=data)


# ---------------------------------------------------------------- fetching, removing


def open_file(*, export: Export, actor: User) -> IO[bytes]:
    """The file, for the person who asked for it and may still see its content. Raises NotFound, NotAllowed, Refused."""
    if export.requested_by_id != actor.pk:
        raise NotFound(f"There is no export {export.pk} of yours.")
    check(Request.of(export.options), actor)
    if status_of(export) == "removed":
        raise Refused("This file is not kept any more. Ask for it again.", code="expired")
    if export.finished_at is None:
        raise Refused("This file is not written yet.", code="not_ready")
    try:
        file = (Path(settings.GALLEY_HOME) / export.file).open("rb")
    except FileNotFoundError:
        raise Refused("This file is gone from the disk. Ask for it again.", code="expired") from None
    with transaction.atomic():
        audit.record(actor=actor, action="export.fetch", subject=export, data={"sha256": export.digest})
    return file


def remove(*, export: Export, actor: User) -> None:
    """Before its time, by the person who asked for it."""
    if export.requested_by_id != actor.pk:
        raise NotFound(f"There is no export {export.pk} of yours.")
    if status_of(export) in ("waiting", "writing"):
        raise Refused("It is being written. Cancel it first.")
    _remove(export, actor)


def remove_expired() -> int:
    """Files whose time is over. The queue does so every hour, and each request for a new file. Returns how many."""
    count = 0
    for export in Export.objects.filter(
        removed_at=None, finished_at__isnull=False, expires_at__lte=timezone.now()
    ):
        count += _remove(export, None)
    return count


def _remove(export: Export, actor: User | None) -> bool:
    with transaction.atomic():
        changed = Export.objects.filter(pk=export.pk, removed_at=None).update(removed_at=timezone.now())
        if changed:
            audit.record(actor=actor, action="export.remove", subject=export)
            transaction.on_commit(lambda: _remove_files(export))
    return bool(changed)


def _directory(export: Export) -> Path:
    return Path(settings.GALLEY_HOME) / "exports" / str(export.pk)


def _remove_files(export: Export) -> None:
    shutil.rmtree(_directory(export), ignore_errors=True)
