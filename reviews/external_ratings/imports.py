"""Files of ratings that people gave elsewhere: looked at first, then brought in all or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, TooLarge
from models_app.foundation.roles import require
from models_app.models import Job
from reviews.external_ratings import rows
from reviews.external_ratings.rows import PairRow, RatedRow, Rules, Unreadable
from reviews.external_ratings.storing import Report, take_in
from reviews.ingest import batches, uploads
from reviews.ingest import records as reading
from reviews.ingest.sources.files import open_file, recognised
from reviews.ingest.sources.source import Progress, Source
from reviews.models import (
    Criterion,
    RatingImport,
    RubricVersion,
)

SAMPLE_ROWS = 3
MOST_SHOWN = 1_000_000  # characters of what is kept to be shown
DEEPEST_SHOWN = 5
PLACE = "rating-uploads"
_DISCARD = "ratings.import.discard"
_NAME = re.compile(r"[\w.@+-]{1,150}")


class Cut(NamedTuple):
    """How many characters of a text are shown, and how many parts of what has several."""

    text: int
    keys: int
    items: int


#: The first that is short enough is taken. The last one is: at most 10^5 texts of 20 characters a record.
CUTS = (Cut(2000, 50, 20), Cut(200, 50, 5), Cut(20, 10, 2))


@dataclass(frozen=True)
class Options:
    """`queue` names the queue that holds them, the file's name unless given; `rubric` is a version's number, the newest
    unless given. With `propose`, edits become feedback examples to be decided on."""

    kind: str = "reviews"
    format: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 5.0)
    rounding: bool = False
    raters: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    queue: str = ""
    rubric: int | None = None
    origin: str = ""
    licence: str = ""
    propose: bool = True

    @classmethod
    def of(cls, batch: RatingImport) -> Options:
        values = dict(batch.options)
        return cls(**{**values, "scale": tuple(values.get("scale", (1.0, 5.0)))})

    @property
    def rules(self) -> Rules:
        return Rules(self.kind, self.mapping, self.scale, self.rounding, self.raters, self.choices)


def _may(actor: Any | None) -> None:
    require(actor, "import_documents")
    require(actor, "manage_queues")


# ---------------------------------------------------------------- a look first


def hand_in(*, path: Path, options: Options, actor: Any | None) -> RatingImport:
    """Keep an uploaded file (uploads.keep, place PLACE) and let the queue look at it. One that its first bytes show to
    be something else is removed, and InvalidInput says so."""
    _may(actor)
    drop_left_behind()
    try:
        recognised(path, format=options.format or None)
    except (InvalidInput, TooLarge):
        uploads.drop(path, waits=RatingImport)
        raise
    return batches.hand_in(
        RatingImport, name=path.name, path=path, options=options, actor=actor, kind="import_ratings"
    )


def look_at(*, batch: RatingImport, job: Job) -> dict[str, Any]:
    """The job's part of handing in. Raises InvalidInput and TooLarge."""
    with batches.within_memory(batch):
        sample = look(open_file(uploads.path_of(batch), format=Options.of(batch).format or None))
    batches.looked(batch, job=job, sample=sample)
    return {"columns": len(sample["columns"])}


def look(source: Source) -> dict[str, Any]:
    """Columns, the paths that a mapping could name, and the first records, shortened."""
    records = [values for _, values in reading.first(source, SAMPLE_ROWS) if not isinstance(values, str)]
    shown = next(
        shown
        for cut in CUTS
        if len(json.dumps(shown := [_shortened(record, cut) for record in records])) <= MOST_SHOWN
        or cut == CUTS[-1]
    )
    return {
        "format": source.format,
        "columns": list(source.columns),
        "paths": rows.paths_in(records),
        "records": shown,
    }


def _shortened(value: Any, cut: Cut, depth: int = 1) -> Any:
    """What a page shows of a record and tries mappings on: its first parts."""
    if depth > DEEPEST_SHOWN and isinstance(value, dict | list):
        return None
    if isinstance(value, dict):
        parts = islice(value.items(), cut.keys)
        return {str(key)[: cut.text]: _shortened(one, cut, depth + 1) for key, one in parts}
    if isinstance(value, list):
        return [_shortened(one, cut, depth + 1) for one in value[: cut.items]]
    if isinstance(value, str):
        return value[: cut.text]
    return value if value is None or isinstance(value, bool | int | float) else str(value)[: cut.text]


@dataclass(frozen=True)
class Looked:
    """One of the first rows as it would come in, or what is wrong with it."""

    number: int
    row: RatedRow | PairRow | None
    problem: str = ""


def looked(*, sample: Mapping[str, Any], options: Options, most: int = 6) -> list[Looked]:
    """Raises InvalidInput where the mapping does not fit."""
    _check(options, sample["columns"])
    found: list[Looked] = []
    for number, record in enumerate(sample["records"], 1):
        for values in rows.expanded(record, options.mapping):
            if len(found) == most:
                return found
            try:
                found.append(Looked(number, rows.row_of(number, values, options.rules)))
            except Unreadable as error:
                found.append(Looked(number, None, str(error)))
    return found


def rubric_of(options: Options) -> RubricVersion:
    rubrics = RubricVersion.objects.order_by("-number")
    found = rubrics.filter(number=options.rubric).first() if options.rubric else rubrics.first()
    if found is None:
        raise InvalidInput("There is no such version of the questions.", fields={"rubric": "There is none."})
    return found


def criteria_of(options: Options) -> list[str]:
    return list(
        Criterion.objects.filter(rubric=rubric_of(options)).order_by("position").values_list("key", flat=True)
    )


def _check(options: Options, columns: Sequence[str]) -> None:
    wrong = rows.mistakes(options.rules, columns, criteria_of(options))
    for name in options.raters.values():
        if not _NAME.fullmatch(name):
            wrong["raters"] = f"{name[:40]!r} is no name for an account: letters, digits, @ . + - _"
    if wrong:
        raise InvalidInput(" ".join(f"{name}: {words}" for name, words in wrong.items()), fields=wrong)


# ---------------------------------------------------------------- in the queue, or at once


def start(*, batch: RatingImport, options: Options, actor: Any | None) -> Job:
    """Let the queue import it. Asked twice, it is imported once. Raises Refused where it is in, InvalidInput."""
    _may(actor)
    return batches.start(
        batch=batch,
        options=options,
        actor=actor,
        kind="import_ratings",
        action="ratings.import.start",
        check=lambda locked: _readable(locked, options),
    )


def _readable(batch: RatingImport, options: Options) -> None:
    uploads.path_of(batch)
    _check(options, batch.report["sample"]["columns"])


def newest_first() -> QuerySet[RatingImport]:
    return batches.newest_first(RatingImport, repeated="repeated")


def carry_out(*, batch: RatingImport, progress: Progress | None = None) -> Report | None:
    """In one transaction, its report included; None where that was done before."""

    def work(locked: RatingImport) -> Report:
        source = open_file(uploads.path_of(locked), format=Options.of(locked).format or None)
        return _import(locked, source, progress)

    with batches.within_memory(batch):
        return batches.carry_out(batch, work)


def import_at_once(
    *, source: Source, options: Options, actor: Any | None, progress: Progress | None = None
) -> tuple[RatingImport, Report]:
    """For a command that waits."""
    _may(actor)
    with transaction.atomic():
        batch = RatingImport.objects.create(
            name=source.name[:200], options=asdict(options), imported_by=actor
        )
        report = _import(batch, source, progress)
    return batch, report


def discard(*, batch: RatingImport, actor: Any | None) -> None:
    """Forget a file that nothing came of."""
    _may(actor)
    batches.discard(batch=batch, actor=actor, action=_DISCARD)


def drop_left_behind() -> int:
    """The queue does so every hour, and whoever hands in a file. Returns how many."""
    return batches.drop_left_behind(RatingImport, place=PLACE, action=_DISCARD)


def _import(batch: RatingImport, source: Source, progress: Progress | None) -> Report:
    options = Options.of(batch)
    _check(options, source.columns)
    report = take_in(
        batch=batch, source=source, options=options, rubric=rubric_of(options), progress=progress
    )
    batch.report, batch.finished_at = report.to_dict(), timezone.now()
    batch.save(update_fields=["report", "finished_at"])
    kept = {key: value for key, value in report.to_dict().items() if key != "refused"}
    audit.record(actor=batch.imported_by, action="ratings.import", subject=batch, data=kept)
    return report
