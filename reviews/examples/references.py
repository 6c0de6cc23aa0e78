"""Test documents and what summaries of them are measured against: imported references, and final corrections.

A correction of a test document teaches no model. Once its item is resolved, it can be a reference: when all its wanted
reviews are in and nobody disputes them, each reviewer's text, and after an adjudication the adjudicator's alone. It
began as some model's summary, so it favours that model; the test set and every comparison on it say so. What a
reviewer left as it was is the model's own text and no reference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Trim

from models_app.evaluation.rouge import Words
from models_app.evaluation.sets import EvaluationRow, Reference, freeze_evaluation_set
from models_app.foundation.errors import InvalidInput, Refused
from models_app.models import EvaluationExample, EvaluationSet
from reviews.examples.proposals import unfit
from reviews.examples.snapshots import LEFT_OUT_NAMED, unlearnt
from reviews.ingest import twins
from reviews.models import Adjudication, QueueItem, Review, SourceDocument, Split

Sources = Literal["imported", "corrections", "both"]
SOURCES: dict[Sources, str] = {
    "imported": "what came with the documents",
    "corrections": "final corrections of reviewers",
    "both": "both, where a document has both",
}
BY_REVIEWERS = "by its reviewers"
BY_ADJUDICATION = "by adjudication"


def freeze_test_set(
    *,
    actor: Any | None,
    name: str = "",
    batch: int | None = None,
    documents: Sequence[int] = (),
    limit: int | None = None,
    references: Sources = "imported",
    words: Words | None = None,
) -> EvaluationSet:
    """Freeze the test documents that have a reference of the wanted kind; the lowest content hashes where there is a
    limit. Those that are nearly the same as what some snapshot learns from are left out; the set names them. `words`:
    what ROUGE counts on them; without, what their references are written in. Raises Refused where none has a reference,
    and says what there is instead."""
    if references not in SOURCES:
        raise InvalidInput(
            "Which references?", fields={"references": f"One of {', '.join(SOURCES)}, not {references}."}
        )
    among = SourceDocument.objects.filter(split=Split.TEST)
    if batch is not None:
        among = among.filter(batch=batch)
    if documents:
        among = among.filter(pk__in=documents)
    rows = among.order_by("content_hash")
    if references == "imported":
        rows = rows.exclude(reference="")
    corrections = final_corrections() if references != "imported" else {}
    if references == "corrections":
        rows = rows.filter(pk__in=corrections)
    known = {
        document.pk: found
        for document in rows
        if (found := _references(document, corrections.get(document.pk, []), references))
    }
    if not known:
        raise Refused(_nothing_to_freeze(references, among, narrowed=batch is not None or bool(documents)))
    chosen, left_out = unlearnt([document for document in rows if document.pk in known], limit)
    if not chosen:
        raise Refused(
            f"Nothing is left to freeze: all {len(left_out):,} test documents are nearly the same as what a snapshot "
            f"learns from. {left_out[0]}",
            code="learnt",
        )
    with transaction.atomic():
        twins.keep_references(
            [
                (document.pk, reference.text)
                for document in chosen
                for reference in known[document.pk]
                if reference.is_correction
            ]
        )
        return freeze_evaluation_set(
            rows=[_row(document, known[document.pk]) for document in chosen],
            name=name or f"{len(chosen)} test documents",
            selection={
                "batch": batch, "limit": limit, "documents": len(documents),
                "references": "" if references == "imported" else SOURCES[references],
                "left_out": {"near_training_documents": len(left_out), "documents": left_out[:LEFT_OUT_NAMED]},
            },
            actor=actor,
        )  # fmt: skip


def _references(
    document: SourceDocument, corrections: Sequence[Reference], sources: Sources
) -> list[Reference]:
    known = list(corrections) if sources != "imported" else []
    if sources != "corrections" and document.reference.strip():
        imported = Reference(document.reference, (f"document:{document.pk}",))
        known = [imported, *(one for one in known if one.text != imported.text)]
    return known


def _row(document: SourceDocument, known: Sequence[Reference]) -> EvaluationRow:
    return EvaluationRow(
        document_hash=document.content_hash,
        origin=f"document:{document.pk}",
        source=document.text,
        reference=known[0].text,
        title=document.title,
        domain=document.domain,
        references=tuple(known),
        fields={
            **document.fields,
            "language": document.language,
            "origin": document.origin,
            "licence": document.licence,
            "group": document.group_key,
        },
    )


def _nothing_to_freeze(sources: Sources, among: QuerySet[SourceDocument], *, narrowed: bool) -> str:
    """What is missing among these test documents, and what there is instead."""
    none = "None of these test documents" if narrowed else "No test document"
    imported = among.exclude(reference="").count()
    corrected = among.filter(pk__in=final_corrections()).count()
    if sources == "imported" and corrected:
        there = f"{_count(corrected)} a final correction"
        return f"{none} came with a reference summary, but {there}: freeze those instead."
    if sources == "corrections" and imported:
        there = f"{_count(imported)} a reference summary"
        return f"{none} has a final correction yet, but {there}: freeze those instead."
    if sources == "imported":
        return f"{none} has a reference summary. Import some, then evaluate."
    missing = (
        "a final correction" if sources == "corrections" else "a reference summary or a final correction"
    )
    return (
        f"{none} has {missing} yet. Let reviewers correct summaries of test documents: a correction counts once its "
        "item has all the reviews it wants and nobody disputes them."
    )


def _count(number: int) -> str:
    return f"{number:,} {'has' if number == 1 else 'have'}"


def final_corrections(documents: Collection[int] | None = None) -> dict[int, list[Reference]]:
    """By test document: each final text that is not what the model wrote, the adjudicated ones first. An
    adjudicator's final text is mostly what a reviewer wrote, so the item's reviewers are its authors too. 3 queries."""
    found: dict[int, dict[str, Reference]] = {}
    adjudications = list(_adjudications(documents))
    reviewers = _reviewers(adjudications)
    for adjudication in adjudications:
        authors = sorted({adjudication.adjudicator_id, *reviewers[adjudication.item_id]})
        _note(
            found, adjudication, adjudication.edited_text,
            Reference(
                adjudication.edited_text.strip(), (f"adjudication:{adjudication.pk}",), BY_ADJUDICATION,
                len(adjudication.reviews) + 1, tuple(authors), adjudication.item.summary.release_id,
            ),
        )  # fmt: skip
    for review in _reviews(documents):
        _note(
            found, review, review.edited_text,
            Reference(
                review.edited_text.strip(), (f"review:{review.pk}",), BY_REVIEWERS, 1, (review.reviewer_id,),
                review.summary.release_id,
            ),
        )  # fmt: skip
    return {document: list(texts.values()) for document, texts in found.items()}


def count_corrections() -> tuple[int, int]:
    """(test documents with a final text that is not what the model wrote, such texts), those included that are no
    references because they are too short or hold an address (`unfit`). For a page: 2 queries that read no text."""
    changed = [
        rows.order_by()
        .annotate(text=Trim("edited_text"))
        .exclude(text=Trim("item__summary__text"))
        .values_list("item__summary__document", "text")
        for rows in (_adjudications(None), _reviews(None))
    ]
    documents = [rows.values_list("item__summary__document") for rows in changed]
    return documents[0].union(documents[1]).count(), changed[0].union(changed[1]).count()


def _note(
    found: dict[int, dict[str, Reference]], row: Adjudication | Review, text: str, reference: Reference
) -> None:
    summary = row.item.summary
    if text.strip() == summary.text.strip() or unfit(reference.text):
        return
    texts = found.setdefault(summary.document_id, {})
    same = texts.get(reference.text)
    if same is None:
        texts[reference.text] = reference
        return
    texts[reference.text] = replace(
        same,
        origins=(*same.origins, *reference.origins),
        people=len({*same.authors, *reference.authors}) if same.resolved == BY_REVIEWERS else same.people,
        authors=tuple(sorted({*same.authors, *reference.authors})),
    )


def _adjudications(documents: Collection[int] | None) -> QuerySet[Adjudication]:
    rows = Adjudication.objects.filter(item__in=_final_items(documents))
    return rows.select_related("item__summary").order_by("pk")


def _reviewers(adjudications: Sequence[Adjudication]) -> Mapping[int, set[int]]:
    """By item: who submitted an answer to it, those included whose answer did not count when it was resolved."""
    found: dict[int, set[int]] = defaultdict(set)
    submitted = Review.objects.filter(
        item__in=[adjudication.item_id for adjudication in adjudications],
        state__in=[Review.State.SUBMITTED, Review.State.RETURNED],
    )
    for item, reviewer in submitted.order_by().values_list("item", "reviewer"):
        found[item].add(reviewer)
    return found


def _reviews(documents: Collection[int] | None) -> QuerySet[Review]:
    """Of items without a dispute. Those sent back, and those given elsewhere, are not final here."""
    rows = Review.objects.filter(
        item__in=_final_items(documents).filter(adjudication=None),
        state=Review.State.SUBMITTED,
        imported_from=None,
    )
    return rows.select_related("item__summary", "summary").order_by("pk")


def _final_items(documents: Collection[int] | None) -> QuerySet[QueueItem]:
    items = QueueItem.objects.filter(
        state=QueueItem.State.DONE, other=None, queue__calibration=False, summary__document__split=Split.TEST
    ).exclude(reason=QueueItem.Reason.GOLD)
    return items if documents is None else items.filter(summary__document__in=documents)


def where_used(reviews: Collection[Review]) -> Mapping[int, list[int]]:
    """By review: the test sets in which its text is a reference, oldest first. 1 query."""
    wanted = {f"review:{review.pk}": review.pk for review in reviews}
    rows = EvaluationExample.objects.filter(
        document_hash__in={review.summary.document.content_hash for review in reviews}
    ).exclude(all_references=[])
    used: dict[int, list[int]] = {}
    for test_set, known in rows.order_by("evaluation_set").values_list("evaluation_set", "all_references"):
        for origin in {origin for reference in known for origin in reference["origins"]} & wanted.keys():
            used.setdefault(wanted[origin], []).append(test_set)
    return used
