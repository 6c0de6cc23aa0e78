"""The life of a file or data set that is imported: uploaded, looked at, mapped, imported, reported on; or it fails, is
cancelled and tried again; or it is forgotten.

`ImportKind` says all of it once; documents and ratings are its two kinds, which say what their rows are. Where an
import stands is told by its row (`reviews.models.Import`), and which moves there are by the methods here.

Files are read by jobs alone, each in a process of its own that may not take more memory than the settings say: what a
file does to its reader, it does to nobody else. One that cannot be read goes at once; the others stay in
`reviews.ingest.uploads` until they are in, or their time is over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit, jobs, memory
from models_app.foundation.errors import InvalidInput, Refused, TooLarge
from models_app.foundation.roles import require
from models_app.models import Job
from models_app.texts.needs import Between
from reviews.ingest import uploads
from reviews.ingest.reports import RowsReport
from reviews.ingest.sources.files import open_file, recognised
from reviews.ingest.sources.source import Progress, Source
from reviews.models import Import, SourceDocument

DEADLINE_SECONDS = 6 * 3600
LOOK_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What to read and what to say about it; `mapping` says which column a field is in."""

    format: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    origin: Annotated[str, Between(0, SourceDocument.LONGEST_LABEL_CHARACTERS)] = ""
    licence: Annotated[str, Between(0, SourceDocument.LONGEST_LABEL_CHARACTERS)] = ""


Row = TypeVar("Row", bound=Import)
Options = TypeVar("Options", bound=FileOptions)
Report = TypeVar("Report", bound=RowsReport)


class ImportKind(ABC, Generic[Row, Options, Report]):
    """What is imported into which table, by whom; what its rows are is for the methods at the end to say."""

    table: type[Row]
    job: ClassVar[str]
    #: Where its files wait, in GALLEY_HOME.
    place: ClassVar[str]
    #: What a person must be allowed to do.
    needs: ClassVar[tuple[str, ...]]
    #: What its audit events begin with.
    action: ClassVar[str]

    def allow(self, actor: Any | None) -> None:
        for capability in self.needs:
            require(actor, capability)

    # ------------------------------------------------------------ submitted

    def submit_file(self, *, path: Path, options: Options, actor: Any | None) -> Row:
        """Keep an uploaded file (see `uploads.keep`) and let the queue look at it. One that its first bytes show to be
        something else is removed, and InvalidInput says so."""
        self.allow(actor)
        self.forget_left_behind()
        try:
            recognised(path, format=options.format or None)
        except (InvalidInput, TooLarge):
            uploads.drop(path, waits=self.table)
            raise
        return self.submit(name=path.name, path=path, options=options, actor=actor)

    def submit(self, *, name: str, options: Options, actor: Any | None, path: Path | None = None) -> Row:
        """Keep an import, with its file if it has one, and let the queue look at it."""
        self.allow(actor)
        with transaction.atomic():
            row = self._new(name, options, actor, upload="" if path is None else uploads.hold(path))
            row.job = jobs.enqueue(
                kind=self.job,
                actor=actor,
                subject=f"{row._meta.model_name}:{row.pk}",
                payload={"batch": row.pk, "look": True},
                max_attempts=2,
                deadline_seconds=LOOK_SECONDS,
            )
            row.save(update_fields=["job"])
        return row

    def _new(self, name: str, options: Options, actor: Any | None, *, upload: str = "") -> Row:
        return self.table.objects.create(
            name=name[:200], upload=upload, options=asdict(options), imported_by=actor
        )

    # ------------------------------------------------------------ looked at

    def look_at(self, *, row: Row, job: Job) -> dict[str, Any]:
        """Keep what can be seen of it, unless another job has it now. Raises InvalidInput and TooLarge."""
        with within_memory(row):
            sample = self.look(self.open(row))
        rows = self.table.objects.filter(pk=row.pk, job=job)
        rows.not_imported().update(report={"sample": sample})
        return {"columns": len(sample["columns"])}

    # ------------------------------------------------------------ mapped, and imported

    def start(self, *, row: Row, options: Options, actor: Any | None) -> Job:
        """Let the queue import it. Asked twice, it is imported once. Raises Refused where it is in or cannot be read
        any more, InvalidInput where the options do not fit it."""
        self.allow(actor)
        with transaction.atomic():
            locked = self._locked(row)
            if locked.is_imported:
                raise Refused(f"{locked.name} has been imported already.")
            if locked.status == Import.Status.LOOKING:
                raise Refused(f"{locked.name} is still being looked at.")
            self.check_readable(locked, options)
            if locked.sample:
                self.check(options, locked.sample["columns"])
            job = jobs.enqueue(
                kind=self.job,
                actor=actor,
                subject=f"{locked._meta.model_name}:{locked.pk}",
                payload={"batch": locked.pk},
                unique_key=f"{self.job}:{locked.pk}",
                deadline_seconds=DEADLINE_SECONDS,
            )
            if job.pk != locked.job_id:
                locked.job, locked.options, locked.finished_at = job, asdict(options), None
                locked.save(update_fields=["job", "options", "finished_at"])
                audit.record(
                    actor=actor, action=f"{self.action}.start", subject=locked, data={"name": locked.name}
                )
        row.refresh_from_db()
        return job

    def carry_out(self, *, row: Row, progress: Progress | None = None) -> Report | None:
        """In one transaction, its report included; None where that was done before (a job that came twice)."""
        with within_memory(row), transaction.atomic():
            locked = self._locked(row)
            report = None if locked.is_imported else self._take_in(locked, self.open(locked), progress)
            if locked.upload:  # its process may have died between the import and this
                transaction.on_commit(lambda: uploads.drop_of(locked))
        row.refresh_from_db()
        return report

    def import_at_once(
        self, *, source: Source, options: Options, actor: Any | None, progress: Progress | None = None
    ) -> tuple[Row, Report]:
        """For a command that waits: the import and its rows in one transaction."""
        self.allow(actor)
        with transaction.atomic():
            row = self._new(source.name, options, actor)
            report = self._take_in(row, source, progress)
        return row, report

    def _take_in(self, row: Row, source: Source, progress: Progress | None) -> Report:
        options = self.options_of(row)
        self.check(options, source.columns)
        report = self.store(row=row, source=source, options=options, progress=progress)
        if not report.read:
            raise InvalidInput(f"{source.name} has no rows.", fields={"file": "It has no rows."})
        if progress is not None:
            progress(*source.position())
        row.report, row.finished_at = report.to_dict(), timezone.now()
        row.save(update_fields=["report", "finished_at"])
        return report

    # ------------------------------------------------------------ ended, or forgotten

    def job_ended(self, job: Job) -> None:
        """May be called more than once. A file that could not be looked at is kept no longer, only why."""
        if not job.payload.get("look"):
            rows = self.table.objects.filter(pk=job.payload.get("batch"))
            rows.not_imported().update(finished_at=timezone.now())
        elif job.state != Job.State.SUCCEEDED:
            rows = self.table.objects.filter(job=job).exclude(upload="").not_looked_at()
            row = rows.select_for_update().first()
            if row is not None:
                path = Path(settings.GALLEY_HOME) / row.upload
                rows.filter(pk=row.pk).update(
                    upload="", report={"refused": job.reason}, finished_at=timezone.now()
                )
                transaction.on_commit(lambda: uploads.drop(path, waits=self.table))

    def discard(self, *, row: Row, actor: Any | None) -> None:
        """Forget it, and its file. Raises Refused where rows of it are in, or are coming."""
        self.allow(actor)
        with transaction.atomic():
            locked = self._locked(row)
            if locked.is_imported:
                raise Refused(f"{locked.name} has been imported; its result stays.")
            if locked.status in Import.RUNNING:
                raise Refused(f"{locked.name} is being imported. Cancel that first.")
            audit.record(
                actor=actor, action=f"{self.action}.discard", subject=locked, data={"name": locked.name}
            )
            locked.delete()
            if locked.upload:
                transaction.on_commit(lambda: uploads.drop_of(locked))

    def forget_left_behind(self) -> int:
        """Forget what nobody imported in time, and files that no import waits for. Returns how many imports."""
        count = 0
        for row in self.table.objects.left_since(uploads.time_is_over()):
            with suppress(Refused, self.table.DoesNotExist):  # just started, or forgotten
                self.discard(row=row, actor=None)
                count += 1
        uploads.drop_strays(self.table, place=self.place)
        return count

    def _locked(self, row: Row) -> Row:
        return self.table.objects.select_for_update(of=("self",)).select_related("job").get(pk=row.pk)

    # ------------------------------------------------------------ what a kind says of its rows

    def open(self, row: Row) -> Source:
        return open_file(uploads.path_of(row), format=self.options_of(row).format or None)

    def check_readable(self, row: Row, options: Options) -> None:
        """Raises Refused where it cannot be read any more."""
        uploads.path_of(row)

    @abstractmethod
    def options_of(self, row: Row) -> Options: ...

    @abstractmethod
    def look(self, source: Source) -> dict[str, Any]:
        """What is kept to be shown and mapped without opening the source again; "columns" are among it."""

    @abstractmethod
    def check(self, options: Options, columns: Sequence[str]) -> None:
        """Raises InvalidInput where the options mean nothing for a source with these columns."""

    @abstractmethod
    def store(self, *, row: Row, source: Source, options: Options, progress: Progress | None) -> Report:
        """Bring its rows in, within the caller's transaction."""


@contextmanager
def within_memory(row: Import) -> Iterator[None]:
    """For a process that reads its file. Raises TooLarge where that takes more memory than it may."""
    most: int = settings.GALLEY_IMPORT_MEMORY_MB
    try:
        with memory.at_most(most):
            yield
    except memory.OutOfMemory as error:
        message = (
            f"{row.name} takes more than {most:,} MB of memory to read (GALLEY_IMPORT_MEMORY_MB). "
            "Its rows may be far larger than articles are; split it, or leave out what is no text."
        )
        raise TooLarge(message, fields={"file": message}) from error
