"""Feedback examples: what reviews, clients and references teach, and what of it goes into training data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, Q, QuerySet
from django.utils import timezone

from models_app.datasets.freezing import SnapshotRow, freeze
from models_app.foundation import audit, locks
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.foundation.rows import Insertion
from models_app.models import DatasetSnapshot, SnapshotExample
from models_app.texts.near_duplicates import Index, shingles
from models_app.texts.normalise import normalise, one_line
from reviews.ingest import quoting, twins
from reviews.models import (
    Adjudication,
    FeedbackExample,
    NearDuplicate,
    QueueItem,
    Review,
    SourceDocument,
    Split,
    Summary,
)

TEST_SPLIT = (
    "Test document: it judges models, so nothing is learnt from it. "
    "Once its item is settled, the correction can be a reference in a test set."
)
CORRECTED_SINCE = "The reviewer corrected this review since; the newer text is decided on its own."
DISPUTED = "Its reviewers differ: it waits until somebody has settled what holds."
LEAST_WORDS = 5
LEFT_OUT_NAMED = 100
_LOOKED_AT = 500
_REFERENCES_LOCK = 0x5EF5
_PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+|(?<!\d)(?:\d[ -]?){13,16}(?!\d)")


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


def _objection(document: SourceDocument, target: str) -> str:
    """Why Galley itself declines an example, or nothing."""
    return TEST_SPLIT if document.split == Split.TEST else unfit(target)


def unfit(target: str) -> str:
    """Why a text is neither learnt from nor measured against, or nothing."""
    if len(target.split()) < LEAST_WORDS:
        return f"Too short to learn from: fewer than {LEAST_WORDS} words."
    if _PERSONAL.search(target):
        return "Contains what looks like an e-mail address or a card number."
    return ""


def _proposal(document: SourceDocument, target: str, **fields: Any) -> FeedbackExample:
    objection = _objection(document, target)
    return FeedbackExample(
        document=document,
        target=target,
        state="declined" if objection else "proposed",
        reason=objection,
        decided_at=timezone.now() if objection else None,
        **fields,
    )


def _propose(document: SourceDocument, target: str, **fields: Any) -> FeedbackExample:
    example = _proposal(document, target, **fields)
    example.save()
    return example


_EXAMPLES = Insertion(FeedbackExample)


def propose_from_review(*, review: Review, first: bool = False) -> list[FeedbackExample]:
    """A submitted review's examples: the corrected text, or the text as it was where it was found good; and the
    correction as preferred to the draft. A corrected review replaces what is not yet decided, and takes back what was
    approved with another text: it has to be decided anew. Nothing is learnt from gold items and calibration
    rounds; what was settled for an item stands above its reviews. `first`: nothing was proposed from it before."""
    if review.item.reason == QueueItem.Reason.GOLD or review.item.queue.calibration:
        return []
    document, draft = review.summary.document, review.summary.text.strip()
    target = review.edited_text.strip()
    edited = target != draft
    examples = []
    with transaction.atomic(savepoint=False):
        mine = FeedbackExample.objects.filter(review=review)
        # an item that is open has not been settled
        settled = review.item.state != QueueItem.State.OPEN
        if settled and Adjudication.objects.filter(item=review.item_id).exists():
            return []
        decided: set[str] = set()
        if not first and mine.exists():
            mine.filter(Q(state__in=["proposed", "held"]) | Q(state="declined", decided_by=None)).delete()
            for outdated in mine.filter(state="approved").exclude(target=target):
                _decide(outdated, "declined", review.reviewer, CORRECTED_SINCE)
            decided = set(mine.filter(target=target).values_list("kind", flat=True))
        common = {
            "review": review,
            "summary": review.summary,
            "origin": "review",
            "created_by": review.reviewer,
        }
        if (edited or review.verdict == Review.Verdict.GOOD) and "demonstration" not in decided:
            examples.append(_proposal(document, target, kind="demonstration", **common))
        if edited and "preference" not in decided:
            examples.append(_proposal(document, target, kind="preference", rejected=draft, **common))
        _EXAMPLES.add(*examples)
    return examples


def propose_from_adjudication(*, adjudication: Adjudication) -> list[FeedbackExample]:
    """What was settled for a disputed item, in place of what its reviews would teach."""
    summary = adjudication.item.summary
    target, draft = adjudication.edited_text.strip(), summary.text.strip()
    common: dict[str, Any] = {
        "adjudication": adjudication, "summary": summary, "origin": "adjudication",
        "created_by": adjudication.adjudicator,
    }  # fmt: skip
    examples = []
    with transaction.atomic():
        if target != draft or adjudication.verdict == Review.Verdict.GOOD:
            examples.append(_propose(summary.document, target, kind="demonstration", **common))
        if target != draft:
            examples.append(_propose(summary.document, target, kind="preference", rejected=draft, **common))
    return examples


def propose_from_client(*, summary: Summary, corrected: str, by: User | None) -> FeedbackExample | None:
    """A correction that came through the API, as a demonstration to be decided on. None where it was proposed before,
    or changes nothing. `by` is the person of the token: what it sends, they wrote."""
    target = normalise(corrected)
    if not target or target == normalise(summary.text):
        return None
    with transaction.atomic():
        # two deliveries of one feedback must not propose it twice
        Summary.objects.select_for_update(no_key=True).get(pk=summary.pk)
        if FeedbackExample.objects.filter(summary=summary, origin="client", target=target).exists():
            return None
        return _propose(
            summary.document, target, kind="demonstration", origin="client", summary=summary, created_by=by
        )


def propose_from_references(
    *, documents: Iterable[SourceDocument], actor: Any | None
) -> list[FeedbackExample]:
    """Reference summaries as demonstrations, for documents of training and validation that have one. What was
    proposed before with the same text, whatever became of it, is not proposed again."""
    require(actor, "import_documents")
    wanted = [
        document for document in documents if document.split != Split.TEST and document.reference.strip()
    ]
    with transaction.atomic():
        locks.alone(_REFERENCES_LOCK)  # two at once must not propose the same twice
        known = set(
            FeedbackExample.objects.filter(document__in=wanted, origin="reference").values_list(
                "document", "target"
            )
        )
        examples = [
            _proposal(document, target, kind="demonstration", origin="reference", created_by=actor)
            for document in wanted
            if (document.pk, target := document.reference.strip()) not in known
        ]
        FeedbackExample.objects.bulk_create(examples, batch_size=1000)
        if examples:
            audit.record(
                actor=actor,
                action="feedback.propose_references",
                subject="feedback",
                data={"count": len(examples)},
            )
    return examples


def approve_example(*, example: FeedbackExample, actor: Any | None, reason: str = "") -> FeedbackExample:
    """Let it into future snapshots. Test documents and second demonstrations of one document are refused."""
    require(actor, "decide_feedback")
    if example.document.split == Split.TEST:
        raise Refused(TEST_SPLIT, code="test_split")
    return _decide(example, "approved", actor, reason)


def decline_example(*, example: FeedbackExample, actor: Any | None, reason: str) -> FeedbackExample:
    """Keep it out of future snapshots; the reason is shown to whoever wrote it."""
    require(actor, "decide_feedback")
    reason = one_line(reason)
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "The reviewer is shown it."})
    return _decide(example, "declined", actor, reason)


def _decide(example: FeedbackExample, state: str, actor: Any | None, reason: str) -> FeedbackExample:
    before = example.state
    if before == state:
        return example
    if before == FeedbackExample.State.HELD:
        raise Refused(DISPUTED, code="disputed")
    try:
        with transaction.atomic():
            changed = FeedbackExample.objects.filter(pk=example.pk, state=before).update(
                state=state, reason=reason[:300], decided_by=actor, decided_at=timezone.now()
            )
            if not changed:
                raise StaleState(f"Example {example.pk} has been decided meanwhile.")
            audit.record(
                actor=actor, action=f"feedback.{state}", subject=f"feedbackexample:{example.pk}",
                from_state=before, to_state=state, reason=reason,
            )  # fmt: skip
    except IntegrityError as error:
        raise Refused(_why_not_two(error)) from error
    example.refresh_from_db()
    return example


def _why_not_two(error: IntegrityError) -> str:
    if broke(error, "example_once_per_review"):
        return "The reviewer has corrected this review since. Decide on the newer text instead."
    return (
        "This document has an approved demonstration already. Decline that one first if this is the better."
    )


def approve_examples(*, examples: Sequence[FeedbackExample], actor: Any | None) -> tuple[int, list[str]]:
    """Approve many; returns how many and, for the others, why not."""
    require(actor, "decide_feedback")
    return _each(examples, lambda example: approve_example(example=example, actor=actor))


def decline_examples(
    *, examples: Sequence[FeedbackExample], actor: Any | None, reason: str
) -> tuple[int, list[str]]:
    """Decline many for one reason; returns how many and, for the others, why not."""
    require(actor, "decide_feedback")
    return _each(examples, lambda example: decline_example(example=example, actor=actor, reason=reason))


def _each(
    examples: Sequence[FeedbackExample], decide: Callable[[FeedbackExample], Any]
) -> tuple[int, list[str]]:
    decided, refusals = 0, []
    for example in examples:
        try:
            decide(example)
            decided += 1
        except Refused as refusal:
            refusals.append(f"Example {example.pk}: {refusal.message}")
    return decided, refusals


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
    curators = {user for example in examples for user in _hands_in(example) if user}
    curators.update(_whose_reviews_were_settled(examples))
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


def _hands_in(example: FeedbackExample) -> list[int | None]:
    """Who wrote, proposed or decided on it; and who brought the document where its reference is what is learnt."""
    brought = example.document.created_by_id if example.origin == "reference" else None
    return [example.created_by_id, example.decided_by_id, brought]


def _whose_reviews_were_settled(examples: Sequence[FeedbackExample]) -> set[int]:
    """What an adjudicator settles on is mostly one of the reviewers' texts."""
    settled = [example.adjudication_id for example in examples if example.adjudication_id]
    reviews = Review.objects.filter(item__adjudication__in=settled, state=Review.State.SUBMITTED)
    return set(reviews.order_by().values_list("reviewer", flat=True))


def _snapshot_rows(examples: Sequence[FeedbackExample]) -> list[SnapshotRow]:
    pairs = FeedbackExample.objects.filter(kind="preference").exclude(state="declined")
    reviews = [example.review_id for example in examples if example.review_id]
    settled = [example.adjudication_id for example in examples if example.adjudication_id]
    losers: dict[tuple[str, int | None], str] = {
        **{
            ("review", pk): text
            for pk, text in pairs.filter(review__in=reviews).values_list("review", "rejected")
        },
        **{
            ("adjudication", pk): text
            for pk, text in pairs.filter(adjudication__in=settled).values_list("adjudication", "rejected")
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
