"""Approved feedback examples become the frozen rows of a snapshot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, Q, QuerySet

from models_app.datasets.freezing import SnapshotRow, freeze
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.models import DatasetSnapshot, SnapshotExample
from models_app.texts.near_duplicates import Index, shingles
from models_app.texts.normalise import one_line
from reviews.ingest import quoting, twins
from reviews.models import (
    FeedbackExample,
    NearDuplicate,
    Review,
    SourceDocument,
    Split,
)

LEFT_OUT_NAMED = 100
_LOOKED_AT = 500


@dataclass(frozen=True)
class Selection:
    """Which approved examples a snapshot takes; empty means all."""

    domains: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()
    batch: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "domains": sorted(self.domains),
            "origins": sorted(self.origins),
            "documents": sorted(self.documents),
            "batch": self.batch,
        }


def approved_demonstrations(selection: Selection) -> QuerySet[FeedbackExample]:
    rows = FeedbackExample.objects.filter(kind="demonstration", state="approved").exclude(
        document__split=Split.TEST
    )
    if selection.domains:
        rows = rows.filter(document__domain__in=selection.domains)
    if selection.origins:
        rows = rows.filter(origin__in=selection.origins)
    if selection.documents:
        rows = rows.filter(document__in=selection.documents)
    if selection.batch is not None:
        rows = rows.filter(document__batch=selection.batch)
    return rows.select_related("document").order_by("pk")


@dataclass(frozen=True)
class LeftOut:
    """An example that no snapshot takes: what it would teach is in a test document."""

    example: int
    document: int
    test_document: int
    share: float
    what: str  # "article" or "reference": what of the test document

    def __str__(self) -> str:
        percent = twins.percent(self.share)
        if self.what == "reference":
            return (
                f"Example {self.example}: {percent} % of its text is the reference summary of test document "
                f"{self.test_document}."
            )
        return (
            f"Example {self.example}: document {self.document} is nearly the same as test document "
            f"{self.test_document} ({percent} %)."
        )


@dataclass(frozen=True)
class FreezePreview:
    """What a snapshot of a selection would hold, and what it lacks for a training run."""

    train: int
    validation: int
    domains: list[tuple[str, int, int]]  # (domain, training rows, validation rows), the largest first
    least: int
    left_out: int = 0  # near duplicates of test documents, as far as they are known

    @property
    def rows(self) -> int:
        return self.train + self.validation

    @property
    def train_missing(self) -> int:
        return max(0, self.least - self.train)

    @property
    def validation_missing(self) -> int:
        return max(0, 1 - self.validation)

    @property
    def enough(self) -> bool:
        return not self.train_missing and not self.validation_missing


def preview_snapshot(selection: Selection) -> FreezePreview:
    """2 queries."""
    examples = approved_demonstrations(selection)
    near = NearDuplicate.objects.with_a_test_document("document")
    counts = (
        examples.filter(~Exists(near))
        .order_by()
        .values_list("document__domain")
        .annotate(
            train=Count("pk", filter=Q(document__split=Split.TRAIN)),
            validation=Count("pk", filter=Q(document__split=Split.VALIDATION)),
        )
    )
    domains = sorted(counts, key=lambda row: (-row[1] - row[2], row[0]))
    return FreezePreview(
        train=sum(train for _, train, _ in domains),
        validation=sum(validation for _, _, validation in domains),
        domains=domains,
        least=settings.GALLEY_MIN_TRAINING_EXAMPLES,
        left_out=examples.filter(Exists(near)).count(),
    )


def leaking(examples: Sequence[FeedbackExample]) -> list[LeftOut]:
    """Which of these would teach what test documents hold: their article is nearly the same, or their text is nearly
    a reference of one. Looked for on the texts."""
    documents = {example.document_id: example.document for example in examples}
    near = twins.near_tests(list(documents.values()))
    found = [
        LeftOut(example.pk, example.document_id, twin.document, twin.share, "article")
        for example in examples
        if (twin := near.get(example.document_id)) is not None
    ]
    others = [example for example in examples if example.document_id not in near]
    references = list(quoting.references())
    index = Index(list(shingles(text for _, text in references)))
    targets = index.all_near(list(shingles(example.target for example in others)))
    for example, near_ones in zip(others, targets, strict=True):
        for place, like in near_ones[:1]:
            found.append(
                LeftOut(example.pk, example.document_id, references[place][0], like.share, "reference")
            )
    return sorted(found, key=lambda left: left.example)


def freeze_snapshot(
    *, name: str, selection: Selection = Selection(), note: str = "", actor: Any | None
) -> DatasetSnapshot:
    """Freeze the approved demonstrations that the selection names, with the drafts that lost against them. The same
    rows give the snapshot there is. Examples near to test documents are left out; the snapshot names them."""
    require(actor, "freeze_snapshot")
    if not name.strip():
        raise InvalidInput("Name the snapshot.", fields={"name": "Write a name."})
    examples = list(approved_demonstrations(selection))
    left_out = leaking(examples)
    if left_out:
        leaks = {left.example for left in left_out}
        examples = [example for example in examples if example.pk not in leaks]
        if not examples:
            raise Refused(
                f"Nothing is left to freeze: all {len(left_out):,} examples are near to test documents, which judge "
                f"models. {left_out[0]}",
                code="near_test",
            )
    curators = {user for example in examples for user in _submits(example) if user}
    curators.update(_whose_reviews_were_resolved(examples))
    return freeze(
        rows=_snapshot_rows(examples),
        name=one_line(name)[:120],
        selection={
            **selection.to_dict(),
            "left_out": {
                "near_test_documents": len(left_out),
                "examples": [str(left) for left in left_out[:LEFT_OUT_NAMED]],
            },
        },
        curators=sorted(curators),
        actor=actor,
        note=one_line(note)[:300],
    )


def _submits(example: FeedbackExample) -> list[int | None]:
    """Who wrote, proposed or decided on it; and who brought the document where its reference is what is learnt."""
    brought = example.document.created_by_id if example.origin == "reference" else None
    return [example.created_by_id, example.decided_by_id, brought]


def _whose_reviews_were_resolved(examples: Sequence[FeedbackExample]) -> set[int]:
    """An adjudicator's final text is mostly one of the reviewers'."""
    final = [example.adjudication_id for example in examples if example.adjudication_id]
    reviews = Review.objects.filter(item__adjudication__in=final, state=Review.State.SUBMITTED)
    return set(reviews.order_by().values_list("reviewer", flat=True))


def _snapshot_rows(examples: Sequence[FeedbackExample]) -> list[SnapshotRow]:
    pairs = FeedbackExample.objects.filter(kind="preference").exclude(state="declined")
    reviews = [example.review_id for example in examples if example.review_id]
    final = [example.adjudication_id for example in examples if example.adjudication_id]
    losers: dict[tuple[str, int | None], str] = {
        **{
            ("review", pk): text
            for pk, text in pairs.filter(review__in=reviews).values_list("review", "rejected")
        },
        **{
            ("adjudication", pk): text
            for pk, text in pairs.filter(adjudication__in=final).values_list("adjudication", "rejected")
        },
    }
    return [
        SnapshotRow(
            split=example.document.split,
            document_hash=example.document.content_hash,
            origin=f"feedback:{example.pk}",
            source=example.document.text,
            target=example.target,
            title=example.document.title,
            domain=example.document.domain,
            rejected=losers.get(("adjudication", example.adjudication_id), "")
            or losers.get(("review", example.review_id), ""),
        )
        for example in examples
    ]


def unlearnt(
    documents: Sequence[SourceDocument], limit: int | None
) -> tuple[list[SourceDocument], list[str]]:
    """The first documents that no snapshot holds a near duplicate of, and for each that was passed over, why."""
    chosen: list[SourceDocument] = []
    left_out: list[str] = []
    for first in range(0, len(documents), _LOOKED_AT):
        some = documents[first : first + _LOOKED_AT]
        near = twins.near_learnt(some)
        learnt = _learnt_from({twin.document for row in near.values() for twin in row})
        for document in some:
            if limit is not None and len(chosen) == limit:
                return chosen, left_out
            twin = next((twin for twin in near.get(document.pk, ()) if twin.document in learnt), None)
            if twin is None:
                chosen.append(document)
            else:
                left_out.append(
                    f"Document {document.pk} is nearly the same as document {twin.document} "
                    f"({twins.percent(twin.share)} %), which snapshot {learnt[twin.document]} learns from."
                )
    return chosen, left_out


def _learnt_from(documents: Collection[int]) -> dict[int, int]:
    """Of these documents those that are in a snapshot, with its number."""
    hashes = dict(SourceDocument.objects.filter(pk__in=documents).values_list("content_hash", "pk"))
    rows = SnapshotExample.objects.filter(document_hash__in=hashes).order_by("-snapshot")
    return {hashes[digest]: snapshot for digest, snapshot in rows.values_list("document_hash", "snapshot")}
