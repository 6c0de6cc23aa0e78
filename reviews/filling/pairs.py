"""Pairs for the pairwise desk: what two releases wrote for the same document, from a comparison or from their drafts.

Which documents are taken is a matter of the seed alone, and a larger sample of the same seed holds the smaller one.
Where both texts of a document of the sample are the same, nobody is asked: of a test document that is kept as a tie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from models_app.evaluation.people import note_identical
from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.models import Comparison, ExampleScore, Release
from reviews.models import QueueItem, ReviewQueue, RubricVersion, SourceDocument, Split, Summary
from reviews.queues.assignments import fit_assignments, share_queue
from reviews.queues.judges import not_asked, reviewers_but, skip_for_good
from reviews.queues.settings import QueueSettings, create_queue

MOST_PAIRS = 5000
DEFAULT_SLUG = "before-and-after"
_BATCH = 500


@dataclass(frozen=True)
class Pairing:
    """What became of the documents that both releases wrote a summary for."""

    documents: int
    put_in: int
    identical: int = 0  # of the sample: both wrote the same
    there_already: int = 0
    unknown: int = 0  # of the sample: their document is not among the documents here

    def sentence(self) -> str:
        parts = [f"{self.put_in:,} pair{'s' * (self.put_in != 1)} put in."]
        if self.identical:
            parts.append(
                f"For {self.identical:,} of the sample both texts are the same: nobody is asked, and of test documents "
                "they count as ties."
            )
        if self.there_already:
            parts.append(f"{self.there_already:,} in this queue already.")
        if self.unknown:
            parts.append(f"{self.unknown:,} left out: their document is not here.")
        return " ".join(parts)


@dataclass(frozen=True)
class _Pair:
    document_hash: str
    before: str
    after: str


def pairwise_queue(*, actor: Any | None) -> ReviewQueue:
    """The queue for pairs where nobody names another; made if it does not exist."""
    require(actor, "manage_queues")
    with transaction.atomic():
        found = ReviewQueue.objects.filter(slug=DEFAULT_SLUG).first() or create_queue(
            settings=QueueSettings(
                name="Before and after",
                description="Two summaries of one article side by side: which one is better?",
                kind=ReviewQueue.Kind.PAIRWISE,
                order=ReviewQueue.Order.OLDEST,
                rubric=RubricVersion.objects.latest("number").number,
            ),
            slug=DEFAULT_SLUG,
            actor=actor,
        )
    _check_queue(found)
    return found


def pair_comparison(
    *, comparison: Comparison, queue: ReviewQueue, limit: int, seed: int = 7, actor: Any | None
) -> Pairing:
    """Pairs of a comparison's own outputs: before is the baseline, after the candidate."""
    require(actor, "manage_queues")
    _check(queue, limit)
    before, after = comparison.baseline, comparison.candidate
    left_out = not_asked(after.release)
    if not reviewers_but(left_out).exists():
        raise Refused(
            f"Nobody who reviews here may judge release {after.release_id}: all of them had a hand in making, "
            "submitting or evaluating it, or have an account that somebody with one opened meanwhile. Reviewers who "
            "only corrected what it learnt from may. Give somebody else the right to review.",
            code="no_judges",
        )
    return _put_in(
        _outputs(comparison), before.release, after.release, left_out, queue, limit, seed, actor,
        f"comparison {comparison.pk}",
    )  # fmt: skip


def pair_releases(
    *, before: Release, after: Release, queue: ReviewQueue, limit: int, seed: int = 7, actor: Any | None
) -> Pairing:
    """Pairs of the drafts that two releases wrote for the same documents."""
    require(actor, "manage_queues")
    _check(queue, limit)
    if before.pk == after.pk:
        raise InvalidInput(
            "Before and after are the same release.", fields={"after": "Choose another release."}
        )
    old = Summary.objects.filter(release=before, source=Summary.Source.BATCH)
    new = dict(
        Summary.objects.filter(release=after, source=Summary.Source.BATCH).values_list("document", "text")
    )
    pairs = [
        _Pair(digest, text, new[document])
        for document, digest, text in old.values_list("document", "document__content_hash", "text")
        if document in new
    ]
    return _put_in(pairs, before, after, not_asked(after), queue, limit, seed, actor, "drafts")


def available(*, comparison: Comparison) -> tuple[int, int]:
    """Documents of a comparison, and those of them on which the two differ."""
    pairs = _outputs(comparison)
    return len(pairs), sum(not _same(pair) for pair in pairs)


def _outputs(comparison: Comparison) -> list[_Pair]:
    old = dict(ExampleScore.objects.filter(run=comparison.baseline).values_list("example", "output"))
    scores = ExampleScore.objects.filter(run=comparison.candidate)
    return [
        _Pair(digest, old[example], text)
        for example, digest, text in scores.values_list("example", "example__document_hash", "output")
        if example in old
    ]


def _check(queue: ReviewQueue, limit: int) -> None:
    _check_queue(queue)
    if not 1 <= limit <= MOST_PAIRS:
        raise InvalidInput(
            f"From 1 to {MOST_PAIRS:,} documents.", fields={"limit": f"From 1 to {MOST_PAIRS:,}."}
        )


def _check_queue(queue: ReviewQueue) -> None:
    if queue.kind != ReviewQueue.Kind.PAIRWISE:
        raise InvalidInput(
            "This queue is for single summaries.", fields={"queue": f"“{queue.name}” takes no pairs."}
        )
    if not queue.active:
        raise InvalidInput("This queue is closed.", fields={"queue": f"“{queue.name}” is closed."})


def _same(pair: _Pair) -> bool:
    return pair.before.split() == pair.after.split()


def _put_in(
    pairs: Sequence[_Pair],
    before: Release,
    after: Release,
    left_out: Collection[int],
    queue: ReviewQueue,
    limit: int,
    seed: int,
    actor: Any | None,
    origin: str,
) -> Pairing:
    """`left_out` judge none of these pairs."""
    if not pairs:
        raise Refused("There is no document that both releases wrote a summary for.")
    if all(_same(pair) for pair in pairs):
        raise Refused("Both wrote the same summary for every document: there is nothing to choose between.")
    sample = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair.document_hash}".encode()).digest())
    put_in = there = unknown = identical = 0
    with transaction.atomic():
        share_queue(queue.pk)
        # of two who press the button at once, the second finds what the first put in
        ReviewQueue.objects.select_for_update(no_key=True).get(pk=queue.pk)
        for start in range(0, min(limit, len(sample)), _BATCH):
            batch = sample[start : min(limit, start + _BATCH)]
            same = [pair for pair in batch if _same(pair)]
            differing = [pair for pair in batch if not _same(pair)]
            made, known = _keep(differing, before, after, queue)
            put_in += made
            there += known - made
            unknown += len(differing) - known
            identical += len(same)
            _keep_ties(same, before, after, origin)
        _keep_from(left_out, queue, after)
        report = Pairing(len(pairs), put_in, identical, there, unknown)
        audit.record(
            actor=actor,
            action="pairs.queue",
            subject=queue,
            data={
                **asdict(report), "before": before.pk, "after": after.pk, "from": origin, "seed": seed, "limit": limit
            },
        )  # fmt: skip
    return report


def _keep(batch: Sequence[_Pair], before: Release, after: Release, queue: ReviewQueue) -> tuple[int, int]:
    """How many pairs were put in, and for how many the document is here."""
    documents = dict(
        SourceDocument.objects.filter(content_hash__in=[pair.document_hash for pair in batch]).values_list(
            "content_hash", "pk"
        )
    )
    known = [pair for pair in batch if pair.document_hash in documents]
    old = _summaries({documents[pair.document_hash]: pair.before for pair in known}, before)
    new = _summaries({documents[pair.document_hash]: pair.after for pair in known}, after)
    asked = [(old[document], new[document]) for document in (documents[pair.document_hash] for pair in known)]
    there = set(
        QueueItem.objects.filter(queue=queue, summary__in=old.values(), other__isnull=False).values_list(
            "summary", "other"
        )
    )
    items = QueueItem.objects.bulk_create(
        QueueItem(queue=queue, summary_id=summary, other_id=other, reason=QueueItem.Reason.COMPARISON)
        for summary, other in asked
        if (summary, other) not in there
    )
    if items:
        fit_assignments(queue=queue, items=[item.pk for item in items])
    return len(items), len(known)


def _keep_ties(same: Sequence[_Pair], before: Release, after: Release, origin: str) -> None:
    tested = SourceDocument.objects.filter(
        content_hash__in=[pair.document_hash for pair in same], split=Split.TEST
    )
    note_identical(
        candidate=after,
        baseline=before,
        document_hashes=tested.order_by("content_hash").values_list("content_hash", flat=True),
        origin=origin,
    )


def _keep_from(people: Collection[int], queue: ReviewQueue, after: Release) -> None:
    """So that what waits for them is told right from the beginning."""
    items = QueueItem.objects.filter(queue=queue, other__release=after)
    for person in User.objects.filter(pk__in=people, is_active=True):
        skip_for_good(items=items, judge=person)


def _summaries(texts: dict[int, str], release: Release) -> dict[int, int]:
    """The release's summary of each document with exactly this text, by document; what is not there is kept."""
    found = {
        summary.document_id: summary.pk
        for summary in Summary.objects.filter(release=release, document__in=texts).order_by("-pk")
        if summary.text == texts[summary.document_id]
    }
    made = Summary.objects.bulk_create(
        Summary(
            document_id=document,
            release=release,
            model_version_id=release.model_version_id,
            prompt_version_id=release.prompt_version_id,
            decoding=release.decoding,
            text=text,
            words=len(text.split()),
            source=Summary.Source.EVALUATION,
        )
        for document, text in texts.items()
        if document not in found
    )
    return found | {summary.document_id: summary.pk for summary in made}
