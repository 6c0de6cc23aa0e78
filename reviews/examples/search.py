"""Finding feedback examples for lists: filters of known cost over any number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import QuerySet
from django.db.models.functions import Left

from reviews.ingest.search import LEAD_CHARACTERS, one_of
from reviews.lists.counted import Counted, number_of
from reviews.lists.statements import distinct_values
from reviews.models import FeedbackExample, SourceDocument
from reviews.queues.blindness import Reader, readable_examples

#: The list of feedback examples goes no further: each decision counts them again.
COUNTED = 10_000

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
            state="" if state == "all" else one_of(state, FeedbackExample.State.values) or "proposed",
            kind=one_of(values.get("kind", ""), FeedbackExample.Kind.values),
            origin=one_of(values.get("origin", ""), FeedbackExample.Origin.values),
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
