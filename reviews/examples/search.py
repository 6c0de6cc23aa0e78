"""Finding documents and feedback examples for lists: filters of known cost over any number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from django.contrib.postgres.search import SearchQuery
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Left

from models_app.texts.normalise import row_number
from reviews.examples.statements import distinct_values
from reviews.models import FeedbackExample, SourceDocument, Split, Summary
from reviews.models.documents import SEARCHED
from reviews.queues.blindness import Reader, readable_examples

LEAD_CHARACTERS = 220
#: The list of feedback examples goes no further: each decision counts them anew.
COUNTED = 10_000
_MOST_NUMBER = 2**63 - 1
Row = TypeVar("Row", bound=models.Model)


class Counted(Generic[Row]):
    """Rows of a list for a paginator, whose number is known already; `more` where it was not counted further.

    A slice first finds its ids alone: what is shown of a row is not computed for the thousands that are skipped.
    """

    def __init__(self, rows: QuerySet[Row], shown: QuerySet[Row], total: int, *, more: bool = False) -> None:
        self.rows, self.shown, self.total, self.more = rows, shown, total, more

    def count(self) -> int:
        return self.total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Row]:
        return iter(self.shown)

    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    def __getitem__(self, key: slice | int) -> list[Row] | Row:
        if isinstance(key, int):
            return self[key : key + 1][0]
        ids = list(self.rows.values_list("pk", flat=True)[key])
        found: Mapping[Any, Row] = {row.pk: row for row in self.shown.filter(pk__in=ids).order_by()}
        return [found[pk] for pk in ids if pk in found]


def number_of(raw: str) -> int | None:
    """A row's number as typed or from an address; None for anything else."""
    number = row_number(raw) or 0
    return number if 0 < number <= _MOST_NUMBER else None


# ---------------------------------------------------------------- documents


@dataclass(frozen=True)
class DocumentFilter:
    """What a person looks for. Values that mean nothing are as good as none."""

    text: str = ""
    split: str = ""
    domain: str = ""
    origin: str = ""
    batch: int | None = None
    reference: str = ""  # "yes", "no"
    drafted: str = ""  # "yes", "no"

    @classmethod
    def of(cls, values: Mapping[str, str]) -> DocumentFilter:
        """From a query string."""
        yes_no = ("yes", "no")
        return cls(
            text=values.get("q", "").replace("\0", "").strip()[:200],
            split=_one_of(values.get("split", ""), Split.values),
            domain=values.get("domain", "").replace("\0", "")[:40],
            origin=values.get("origin", "").replace("\0", "")[:120],
            batch=number_of(values.get("batch", "")),
            reference=_one_of(values.get("reference", ""), yes_no),
            drafted=_one_of(values.get("drafted", ""), yes_no),
        )

    @property
    def narrows(self) -> bool:
        return self != DocumentFilter()

    def rows(self) -> QuerySet[SourceDocument]:
        """Newest first."""
        rows = SourceDocument.objects.order_by("-pk")
        if self.split:
            rows = rows.filter(split=self.split)
        if self.domain:
            rows = rows.filter(domain=self.domain)
        if self.origin:
            rows = rows.filter(origin=self.origin)
        if self.batch is not None:
            rows = rows.filter(batch=self.batch)
        if self.reference:
            rows = rows.exclude(reference="") if self.reference == "yes" else rows.filter(reference="")
        if self.drafted:
            drafts = Exists(Summary.objects.filter(document=OuterRef("pk")))
            rows = rows.filter(drafts if self.drafted == "yes" else ~drafts)
        return _matching(rows, self.text) if self.text else rows


def _one_of(value: str, known: Sequence[str]) -> str:
    return value if value in known else ""


def _matching(rows: QuerySet[SourceDocument], text: str) -> QuerySet[SourceDocument]:
    """By the words of title and beginning (each may be cut short), by number, or by the id of the file it came in."""
    found = Q(external_id=text)
    number = number_of(text)
    if number is not None:
        found |= Q(pk=number)
    words = [word for word in text.split()[:20] if any(character.isalnum() for character in word)]
    if words:
        # quoted, so that the database takes "3.2" or "O'Brien" apart as it did in the index
        quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
        query = SearchQuery(" & ".join(f"'{word}':*" for word in quoted), search_type="raw", config="simple")
        rows = rows.alias(searched=SEARCHED)
        found |= Q(searched=query)
    return rows.filter(found)


@dataclass(frozen=True)
class DocumentList:
    rows: Counted[SourceDocument]
    splits: dict[str, int]  # under the same filter but for the split
    everything: int
    domains: list[str]
    origins: list[str]


def find_documents(wanted: DocumentFilter) -> DocumentList:
    """3 queries, and 2 more for each slice."""
    rows = wanted.rows()
    splits = dict.fromkeys(Split.values, 0)
    any_split = DocumentFilter(**{**wanted.__dict__, "split": ""}).rows().order_by()
    splits |= dict(any_split.values_list("split").annotate(n=Count("pk")))
    everything = sum(splits.values())
    total = splits[wanted.split] if wanted.split else everything
    shown = SourceDocument.objects.annotate(lead=Left("text", LEAD_CHARACTERS)).defer("text", "reference")
    shown = shown.annotate(has_reference=~Q(reference=""))
    return DocumentList(
        rows=Counted(rows, shown, total),
        splits=splits,
        everything=everything,
        domains=distinct_values(SourceDocument, "domain"),
        origins=distinct_values(SourceDocument, "origin"),
    )


def draft_counts(documents: Sequence[SourceDocument]) -> dict[int, int]:
    """Summaries of each; documents without one are left out. 1 query."""
    rows = Summary.objects.filter(document__in=documents).order_by().values_list("document")
    return dict(rows.annotate(n=Count("pk")))


# ---------------------------------------------------------------- feedback examples


@dataclass(frozen=True)
class ExampleFilter:
    state: str = "proposed"
    kind: str = ""
    origin: str = ""
    domain: str = ""
    document: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> ExampleFilter:
        """From a query string; `state=all` is every state, none is what waits for a decision."""
        state = values.get("state", "proposed")
        return cls(
            state="" if state == "all" else _one_of(state, FeedbackExample.State.values) or "proposed",
            kind=_one_of(values.get("kind", ""), FeedbackExample.Kind.values),
            origin=_one_of(values.get("origin", ""), FeedbackExample.Origin.values),
            domain=values.get("domain", "").replace("\0", "")[:40],
            document=number_of(values.get("document", "")),
        )

    def rows(self, reader: Reader) -> QuerySet[FeedbackExample]:
        """What waits longest first, decided ones latest first; none that the reader is still to judge blind."""
        rows = FeedbackExample.objects.order_by("pk" if self.state == "proposed" else "-pk")
        rows = readable_examples(rows, reader)
        if self.state:
            rows = rows.filter(state=self.state)
        if self.kind:
            rows = rows.filter(kind=self.kind)
        if self.origin:
            rows = rows.filter(origin=self.origin)
        if self.domain:
            rows = rows.filter(document__domain=self.domain)
        if self.document is not None:
            rows = rows.filter(document=self.document)
        return rows


@dataclass(frozen=True)
class ExampleList:
    rows: Counted[FeedbackExample]
    states: dict[str, int]  # under the same filter but for the state; up to COUNTED each
    everything: int
    domains: list[str]


def example_rows() -> QuerySet[FeedbackExample]:
    """With everything that a card shows."""
    return (
        FeedbackExample.objects.select_related(
            "document",
            "summary",
            "review__reviewer",
            "review__item",
            "adjudication",
            "decided_by",
            "created_by",
        )
        .annotate(lead=Left("document__text", LEAD_CHARACTERS))
        .defer("document__text", "document__reference")
    )


def example_states(wanted: ExampleFilter, reader: Reader) -> tuple[dict[str, int], int]:
    """How many there are in each state under the filter, and in all; up to COUNTED each. A query for each state."""
    any_state = ExampleFilter(**{**wanted.__dict__, "state": ""}).rows(reader).order_by()
    states = {
        state: any_state.filter(state=state)[:COUNTED].count() for state in FeedbackExample.State.values
    }
    return states, min(sum(states.values()), COUNTED)


def find_examples(wanted: ExampleFilter, reader: Reader) -> ExampleList:
    """5 queries, and 2 more for each slice."""
    states, everything = example_states(wanted, reader)
    total = states[wanted.state] if wanted.state else everything
    return ExampleList(
        rows=Counted(wanted.rows(reader)[:COUNTED], example_rows(), total, more=total >= COUNTED),
        states=states,
        everything=everything,
        domains=distinct_values(SourceDocument, "domain"),
    )
