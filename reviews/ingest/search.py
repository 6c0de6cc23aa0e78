"""Finding documents for lists: filters of known cost over any number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from django.contrib.postgres.search import SearchQuery
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Left

from reviews.lists.counted import Counted, number_of
from reviews.lists.statements import distinct_values
from reviews.models import SourceDocument, Split, Summary
from reviews.models.documents import SEARCHED

LEAD_CHARACTERS = 220

# ---------------------------------------------------------------- documents


@dataclass(frozen=True)
class DocumentFilter:
    """What a person looks for. Values that mean nothing are as good as none."""

    LONGEST_TEXT: ClassVar = 200
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
            text=values.get("q", "").replace("\0", "").strip()[: cls.LONGEST_TEXT],
            split=one_of(values.get("split", ""), Split.values),
            domain=values.get("domain", "").replace("\0", "")[:40],
            origin=values.get("origin", "").replace("\0", "")[:120],
            batch=number_of(values.get("batch", "")),
            reference=one_of(values.get("reference", ""), yes_no),
            drafted=one_of(values.get("drafted", ""), yes_no),
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
        return matching(rows, self.text) if self.text else rows


def one_of(value: str, known: Sequence[str]) -> str:
    return value if value in known else ""


def matching(rows: QuerySet[SourceDocument], text: str) -> QuerySet[SourceDocument]:
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
