"""Rows of ratings, edits and pairwise choices that people gave elsewhere, as reviews and preferences.

Each rater becomes an account that cannot sign in, each file's ratings lie in a queue that is closed to the desk, and
every row is marked with the import it came from: none of it counts as anybody's work here. The same file twice changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.text import slugify

from models_app.foundation import audit, locks
from models_app.foundation.errors import InvalidInput
from models_app.texts.comment_classes import classify_comment
from models_app.texts.normalise import normalise, one_line
from models_app.texts.sentiment import sentiment
from reviews.examples.proposals import propose_from_review
from reviews.external_ratings import rows as rating_rows
from reviews.external_ratings.options import Options
from reviews.external_ratings.rows import PairRow, RatedRow, Unreadable
from reviews.ingest.documents import DocumentRow, ImportReport, import_rows
from reviews.ingest.reports import RowsReport
from reviews.ingest.sources.source import Progress, Source
from reviews.models import (
    Assignment,
    Criterion,
    Preference,
    QueueItem,
    Rater,
    RatingImport,
    Review,
    ReviewQueue,
    ReviewRating,
    ReviewRevision,
    RubricVersion,
    Summary,
)

CHUNK = 500
_LOCK = 0x5A7E
_NOT_IN_NAMES = re.compile(r"[^\w.@+-]+")


@dataclass
class Report(RowsReport):
    """`repeated` counts rows that were there already, `rounded` numbers between two points."""

    repeated: int = 0
    rounded: int = 0
    documents: int = 0
    summaries: int = 0
    proposed: int = 0
    raters: list[str] = field(default_factory=list)
    queue: str = ""

    def counts(self) -> dict[str, Any]:
        names = ("repeated", "rounded", "documents", "summaries", "proposed", "raters", "queue")
        return {**super().counts(), **{name: getattr(self, name) for name in names}}


def take_in(
    *,
    batch: RatingImport,
    source: Source,
    options: Options,
    rubric: RubricVersion,
    progress: Progress | None,
) -> Report:
    """In the caller's transaction. Raises InvalidInput where the file's queue cannot take its rows."""
    locks.alone(_LOCK)  # two at once would give an item two reviews of one rater
    report = Report()
    documents = _documents(batch, source, options, report)
    run = _Run(batch, options, rubric, report)
    rows = _rows(source, options, documents, report, progress)
    while chunk := list(islice(rows, CHUNK)):
        run.take(chunk)
    report.refused.sort()  # by row: some are found out later than others
    report.raters = sorted(run.raters)
    report.queue = run.queue.name
    return report


def _documents(
    batch: RatingImport, source: Source, options: Options, report: Report
) -> dict[int, int | tuple[str, str]]:
    """By record with a row that can be read: the article, new or there already, or (field, reason) why there is none.
    Of a record whose rows are all refused the article stays out, too."""
    found: dict[int, int | tuple[str, str]] = {}
    taken = ImportReport(outcomes=[])

    def articles() -> Iterator[DocumentRow]:
        for number, record in source.records(None):
            if isinstance(record, str):
                found[number] = ("row", record)
                continue
            try:
                values = rating_rows.document_values(record, options.mapping)
            except Unreadable as error:
                found[number] = (error.name, error.reason)
                continue
            if _has_a_row(number, record, options):
                yield DocumentRow(number=number, fields={}, **values)

    import_rows(
        rows=articles(),
        origin=options.origin or source.name,
        licence=options.licence,
        actor=batch.imported_by,
        report=taken,
    )
    for outcome in taken.outcomes or ():
        found[outcome.row] = outcome.document or (outcome.field, outcome.reason)
    report.documents = taken.imported
    return found


def _has_a_row(number: int, record: Mapping[str, Any], options: Options) -> bool:
    for values in rating_rows.expanded(record, options.mapping):
        try:
            rating_rows.row_of(number, values, options.rules)
        except Unreadable:
            continue
        return True
    return False


def _rows(
    source: Source,
    options: Options,
    documents: Mapping[int, int | tuple[str, str]],
    report: Report,
    progress: Progress | None,
) -> Iterator[tuple[int, RatedRow | PairRow]]:
    for number, record in source.records(None):
        if progress is not None and number % 50 == 0:
            progress(*source.position())
        document = documents.get(number)
        if isinstance(document, tuple):
            report.read += 1
            report.refuse(number, *document)
            continue
        assert not isinstance(record, str)  # it would have no document
        for values in rating_rows.expanded(record, options.mapping):
            report.read += 1
            try:
                row = rating_rows.row_of(number, values, options.rules)
            except Unreadable as error:
                report.refuse(number, error.name, error.reason)
                continue
            assert document is not None  # there is one where a row can be read
            yield document, row


class _Run:
    """One import: its queue, its raters, and what it does with a few hundred rows at a time."""

    def __init__(self, batch: RatingImport, options: Options, rubric: RubricVersion, report: Report) -> None:
        self.batch, self.options, self.rubric, self.report = batch, options, rubric, report
        self.now = timezone.now()
        self.criteria = {
            criterion.key: criterion for criterion in Criterion.objects.filter(rubric=self.rubric)
        }
        self.queue = self._queue()
        self.raters: dict[str, User] = {}

    def _queue(self) -> ReviewQueue:
        kind = "rate and edit" if self.options.kind == "reviews" else "pairwise"
        name = one_line(self.options.queue or f"Imported: {self.batch.name}")[:100]
        queue = ReviewQueue.objects.filter(name=name).first()
        if queue is None:
            stem = slugify(name)[:50] or "imported"
            slugs = set(ReviewQueue.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
            slug = next(one for one in (stem, *(f"{stem}-{n}" for n in range(2, 10_000))) if one not in slugs)
            queue = ReviewQueue.objects.create(
                name=name, slug=slug, kind=kind, rubric=self.rubric, active=False,
                description="Ratings that were given elsewhere.",
            )  # fmt: skip
            audit.record(
                actor=self.batch.imported_by, action="queue.create", subject=queue, data={"name": name}
            )
        elif queue.active or queue.kind != kind or queue.rubric_id != self.rubric.pk:
            why = "it is open to the desk" if queue.active else "it holds another kind, or other questions"
            message = f"The queue {name!r} cannot take imported ratings: {why}. Choose another name."
            raise InvalidInput(message, fields={"queue": message})
        return queue

    def _rater(self, name: str) -> User:
        """Raises Unreadable for a name that belongs to somebody who works here."""
        if name not in self.raters:
            username = _NOT_IN_NAMES.sub("-", name)[:150]
            user = User.objects.filter(username__iexact=username).select_related("rater").first()
            if user is None:
                user = User(username=username, is_active=False)
                user.set_unusable_password()
                user.save()
                Rater.objects.create(user=user)
                audit.record(actor=self.batch.imported_by, action="rater.create", subject=user)
            elif not hasattr(user, "rater"):
                raise Unreadable("rater", f"{username!r} has an account here; give the rater another name.")
            elif user.username != username:
                raise Unreadable(
                    "rater",
                    f"{username!r} and {user.username!r} differ in upper and lower case alone; if they are one rater, "
                    "write the name as it was, and if not, give one of them another name.",
                )
            self.raters[name] = user
        return self.raters[name]

    def take(self, chunk: Iterable[tuple[int, RatedRow | PairRow]]) -> None:
        known = []
        for document, row in chunk:
            try:
                known.append((document, row, self._rater(row.rater)))
            except Unreadable as error:
                self.report.refuse(row.number, error.name, error.reason)
        wanted = [key for document, row, _ in known for key in _summaries_of(document, row)]
        summaries = self._summaries(wanted)
        pairs = [
            tuple(summaries[key].pk for key in _summaries_of(document, row)) for document, row, _ in known
        ]
        items = self._items(pairs)
        todo = [(row, rater, items[pair]) for (_, row, rater), pair in zip(known, pairs, strict=True)]
        if self.options.kind == "reviews":
            self._reviews(todo, {summary.pk: summary for summary in summaries.values()})
        else:
            self._preferences(todo)

    def _summaries(self, wanted: Sequence[tuple[int, str, str]]) -> dict[tuple[int, str, str], Summary]:
        """By (document, system, text). Two systems may have written the same."""
        documents = {document for document, _, _ in wanted}
        there = Summary.objects.filter(document__in=documents, source=Summary.Source.IMPORT).order_by("pk")
        found = {(one.document_id, one.system, one.text): one for one in there}
        fresh = [
            Summary(
                document_id=document, system=system, text=text, source=Summary.Source.IMPORT,
                words=len(text.split()), created_at=self.now,
            )
            for document, system, text in dict.fromkeys(wanted)
            if (document, system, text) not in found
        ]  # fmt: skip
        for one in Summary.objects.bulk_create(fresh):
            found[one.document_id, one.system, one.text] = one
        self.report.summaries += len(fresh)
        return found

    def _items(self, pairs: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], QueueItem]:
        there = QueueItem.objects.filter(queue=self.queue, summary__in={pair[0] for pair in pairs})
        found = {tuple(pk for pk in (one.summary_id, one.other_id) if pk): one for one in there}
        fresh = [
            QueueItem(
                queue=self.queue, summary_id=pair[0], other_id=pair[1] if len(pair) > 1 else None,
                reason=QueueItem.Reason.IMPORTED, state=QueueItem.State.DONE, created_at=self.now,
            )
            for pair in dict.fromkeys(pairs)
            if pair not in found
        ]  # fmt: skip
        for one in QueueItem.objects.bulk_create(fresh):
            found[tuple(pk for pk in (one.summary_id, one.other_id) if pk)] = one
        return found

    def _new(
        self,
        todo: Sequence[tuple[Any, User, QueueItem]],
        there: Mapping[tuple[int, int], Any],
        same: Callable[[Any, Any], bool],
    ) -> dict[tuple[int, int], tuple[Any, User, QueueItem]]:
        """Those that nobody gave before; the others are repeated, or refused where they say something else."""
        fresh: dict[tuple[int, int], tuple[Any, User, QueueItem]] = {}
        for row, rater, item in todo:
            key = (item.pk, rater.pk)
            before = there.get(key)
            first = fresh.get(key)
            if before is None and first is None:
                fresh[key] = (row, rater, item)
            elif (before is not None and same(before, row)) or (
                first is not None and _said(first[0]) == _said(row)
            ):
                self.report.repeated += 1
            else:
                self.report.refuse(
                    row.number, "rater", f"{rater.username} has judged this already, otherwise."
                )
        self._assignments(list(fresh))
        self.report.imported += len(fresh)
        return fresh

    def _assignments(self, taken: Sequence[tuple[int, int]]) -> None:
        places: dict[int, int] = {}
        for item in Assignment.objects.filter(item__in={item for item, _ in taken}).values_list(
            "item", flat=True
        ):
            places[item] = places.get(item, 0) + 1
        assignments = []
        for item, rater in taken:
            place = places.get(item, 0)
            places[item] = place + 1
            assignments.append(
                Assignment(item_id=item, queue=self.queue, position=place, state="done", reviewer_id=rater)
            )
        Assignment.objects.bulk_create(assignments)
        for wanted in set(places.values()):
            full = [item for item, count in places.items() if count == wanted]
            QueueItem.objects.filter(pk__in=full).update(wanted_reviews=min(wanted, 20))

    def _reviews(self, todo: Sequence[tuple[Any, User, QueueItem]], summaries: Mapping[int, Summary]) -> None:
        there = {
            (one.item_id, one.reviewer_id): one
            for one in Review.objects.filter(item__in={item.pk for _, _, item in todo})
        }
        fresh = self._new(todo, there, lambda before, row: _answers_of(before) == _said(row))
        made = Review.objects.bulk_create(self._review(*one) for one in fresh.values())
        ReviewRating.objects.bulk_create(
            ReviewRating(review=review, criterion=self.criteria[key], value=value)
            for review in made
            for key, value in review.ratings.items()
        )
        ReviewRevision.objects.bulk_create(
            ReviewRevision(review=review, number=1, data=_revision(review), at=self.now) for review in made
        )
        self.report.rounded += sum(row.rounded for row, _, _ in fresh.values())
        for review in made:
            summary = summaries[review.summary_id]
            if self.options.propose and review.edited_text.strip() != summary.text.strip():
                review.summary = summary
                self.report.proposed += len(propose_from_review(review=review))

    def _review(self, row: RatedRow, rater: User, item: QueueItem) -> Review:
        at: datetime = row.at or self.now
        tone = sentiment(row.comment) if row.comment else None
        return Review(
            item=item, summary_id=item.summary_id, reviewer=rater, rubric=self.rubric, state=Review.State.SUBMITTED,
            stars=row.stars, verdict=row.verdict, ratings=row.ratings, overall_from_ratings=row.overall_from_ratings,
            edited_text=normalise(row.edited_text) if row.edited_text != row.summary else normalise(row.summary),
            comment=normalise(row.comment), sentiment=tone.label if tone else "",
            sentiment_score=tone.score if tone else None,
            category=classify_comment(row.comment) if row.comment else "", revision=1, imported_from=self.batch,
            created_at=at, updated_at=at, submitted_at=at,
        )  # fmt: skip

    def _preferences(self, todo: Sequence[tuple[Any, User, QueueItem]]) -> None:
        there = {
            (one.item_id, one.reviewer_id): one
            for one in Preference.objects.filter(item__in={item.pk for _, _, item in todo})
        }
        fresh = self._new(todo, there, lambda before, row: _answers_of(before) == _said(row))
        Preference.objects.bulk_create(
            Preference(
                item=item, reviewer=rater, state=Preference.State.SUBMITTED, choice=row.choice, strength=row.strength,
                reason=normalise(row.comment), revision=1, imported_from=self.batch, created_at=row.at or self.now,
                updated_at=row.at or self.now, submitted_at=row.at or self.now,
            )
            for row, rater, item in fresh.values()
        )  # fmt: skip


def _summaries_of(document: int, row: RatedRow | PairRow) -> list[tuple[int, str, str]]:
    if isinstance(row, PairRow):
        return [
            (document, row.before_system[:120], normalise(row.before)),
            (document, row.after_system[:120], normalise(row.after)),
        ]
    return [(document, row.system[:120], normalise(row.summary))]


def _said(row: RatedRow | PairRow) -> tuple[Any, ...]:
    """What makes two rows the same answer."""
    if isinstance(row, PairRow):
        return row.choice, row.strength, normalise(row.comment)
    return row.stars, row.verdict, row.ratings, normalise(row.edited_text), normalise(row.comment)


def _answers_of(kept: Review | Preference) -> tuple[Any, ...]:
    if isinstance(kept, Preference):
        return kept.choice, kept.strength, kept.reason
    return kept.stars, kept.verdict, kept.ratings, kept.edited_text, kept.comment


def _revision(review: Review) -> dict[str, Any]:
    names = ("stars", "verdict", "ratings", "overall_from_ratings", "edited_text", "comment")
    return {**{name: getattr(review, name) for name in names}, "imported_from": review.imported_from_id}
