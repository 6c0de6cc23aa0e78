"""The texts that a release learnt from, compared with a test set: found once, kept, and read where it is asked for.

Learnt from are all rows of the snapshots of its whole lineage, with the drafts that lost, and the words of its prompt
and of the prompts it was trained with: an example in a prompt is learnt from as well. What is found is kept under the
digests of all these texts as they are in the database, so a text that somebody rewrote is looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from models_app.datasets.freezing import digest_of_rows
from models_app.evaluation.sets import digest_of_documents
from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.identity import canonical_digest
from models_app.models import (
    DatasetSnapshot,
    EvaluationExample,
    EvaluationSet,
    LeakageCheck,
    LeakageFinding,
    ModelVersion,
    PromptVersion,
    Release,
    SnapshotExample,
)
from models_app.texts.common_passages import common_passages, excerpt
from models_app.texts.overlaps import BLOCKS, HeldOut, HeldOutText, Learnt, LearntText, Overlap, Overlaps
from models_app.training import lineage as lineages

METHOD = "shares of 3-word shingles, 1"
#: Every document that has a finding keeps its strongest; of all others so many are kept.
MOST_FURTHER = 10_000

_ROWS_AT_ONCE = 256
_WRITTEN_AT_ONCE = 500
# An example in a prompt is found by windows of the prompt: a copy of 60 words of an article holds one whole.
_WINDOW, _STEP = 40, 20

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Lineage:
    """What a release learnt from."""

    snapshots: Sequence[DatasetSnapshot]
    prompts: Sequence[PromptVersion]
    origins: Sequence[ModelVersion]  # that no training here made: nobody can read what they learnt from

    @property
    def rows(self) -> int:
        return sum(snapshot.train_rows + snapshot.validation_rows for snapshot in self.snapshots)

    @property
    def snapshot_keys(self) -> list[int]:
        return sorted(snapshot.pk for snapshot in self.snapshots)

    @property
    def prompt_keys(self) -> list[int]:
        return sorted(prompt.pk for prompt in self.prompts)

    def digest(self) -> str:
        """Over its texts as they are."""
        return canonical_digest(
            [
                sorted(digest_of_rows(snapshot) for snapshot in self.snapshots),
                sorted(prompt_text(prompt) for prompt in self.prompts),
            ]
        )


def learnt_from(release: Release, *, lineage: lineages.Lineage | None = None) -> Lineage:
    """The latest first. `lineage`: of its model, where it is read already."""
    versions = (lineage or lineages.made_from(release.model_version_id)).versions
    trainings = [version.training_run for version in versions if version.training_run is not None]
    snapshots = {run.snapshot_id: run.snapshot for run in trainings}
    prompts = dict.fromkeys([release.prompt_version_id, *(run.prompt_version_id for run in trainings)])
    rows = PromptVersion.objects.select_related("prompt").in_bulk(list(prompts))
    return Lineage(
        list(snapshots.values()),
        [rows[pk] for pk in prompts],
        [version for version in versions if version.training_run is None and version.artefact],
    )


def prompt_text(prompt: PromptVersion) -> str:
    return f"{prompt.system}\n\n{prompt.template}"


# ---------------------------------------------------------------- the check


def check(
    *, release: Release, evaluation_set: EvaluationSet, progress: Progress = lambda words: None
) -> LeakageCheck:
    """What there is in common: the one that was found before, where no text has changed since."""
    lineage = learnt_from(release)
    progress("reading digests")
    digests = {
        "training_digest": lineage.digest(),
        "test_digest": digest_of_documents(evaluation_set),
        "method": METHOD,
    }
    return LeakageCheck.objects.filter(**digests).first() or _look(lineage, evaluation_set, digests, progress)


def kept_check(*, release: Release, evaluation_set: EvaluationSet) -> LeakageCheck | None:
    """The newest of the release's snapshots, prompts and test set, without reading a text: for pages. 6 queries."""
    return _kept(learnt_from(release), evaluation_set)


def _kept(lineage: Lineage, evaluation_set: EvaluationSet) -> LeakageCheck | None:
    return LeakageCheck.objects.filter(
        evaluation_set=evaluation_set,
        snapshots=lineage.snapshot_keys,
        prompt_versions=lineage.prompt_keys,
    ).first()


def known_leaks(
    *, release: Release, evaluation_set: EvaluationSet, lineage: lineages.Lineage | None = None
) -> int:
    """How many test documents are known to be in what it learnt from, without reading a text: by their hashes, and by
    the check that there is. 8 queries; 3 less where the model's `lineage` is read already."""
    learnt = learnt_from(release, lineage=lineage)
    known = {one.document for one in _same_documents(learnt.snapshots, evaluation_set)}
    found = _kept(learnt, evaluation_set)
    if found is not None:
        known.update(found.findings.filter(share__gte=BLOCKS).values_list("example", flat=True))
    return len(known)


def _look(
    lineage: Lineage, evaluation_set: EvaluationSet, digests: Mapping[str, str], progress: Progress
) -> LeakageCheck:
    began = time.monotonic()
    progress("reading test documents")
    documents, texts = _held_out(evaluation_set)
    overlaps = Overlaps(texts)
    overlaps.add(list(_prompt_texts(lineage.prompts)))
    done = 0
    for rows in _blocks(lineage.snapshots):
        progress(f"{done:,} of {lineage.rows:,} rows")
        overlaps.add(list(_row_texts(rows)))
        done += len(rows)
    progress("writing down")
    found = [*_same_documents(lineage.snapshots, evaluation_set), *overlaps.found()]
    found = _named(sorted(found, key=lambda one: (-one.share, one.document)))
    fields = {
        **digests,
        "evaluation_set": evaluation_set,
        "snapshots": lineage.snapshot_keys,
        "prompt_versions": lineage.prompt_keys,
        "training_rows": done,
        "texts": overlaps.learnt,
        "documents": len(documents),
        "too_short": overlaps.too_short,
        "flagged": len({one.document for one in found}),
        "digest": canonical_digest([digests, [_facts(one) for one in found]]),
    }
    return _keep(fields, found, began)


def _keep(fields: Mapping[str, object], found: Sequence[Overlap], began: float) -> LeakageCheck:
    try:
        with transaction.atomic():
            made = LeakageCheck.objects.create(**fields, seconds=round(time.monotonic() - began, 3))
            for first in range(0, len(found), _WRITTEN_AT_ONCE):
                LeakageFinding.objects.bulk_create(
                    _findings(made, first, found[first : first + _WRITTEN_AT_ONCE])
                )
            audit.record(
                actor=None, action="leakage.check", subject=made,
                data={"test_set": made.evaluation_set_id, "rows": made.training_rows, "documents": made.flagged},
            )  # fmt: skip
    except IntegrityError as error:
        if not broke(error, "leakage_check_once"):
            raise
        return LeakageCheck.objects.get(  # another job has just looked at the same
            training_digest=fields["training_digest"], test_digest=fields["test_digest"], method=METHOD
        )
    return made


def _named(found: Sequence[Overlap]) -> list[Overlap]:
    seen: set[int] = set()
    first: list[Overlap] = []
    further: list[Overlap] = []
    for one in found:
        (further if one.document in seen else first).append(one)
        seen.add(one.document)
    kept = [*first, *further[:MOST_FURTHER]]
    return sorted(kept, key=lambda one: (-one.share, one.document, one.held_out, one.learnt, one.owner))


def _facts(one: Overlap) -> list[object]:
    return [one.document, one.held_out, one.reference, one.learnt, one.owner, one.share]


# ---------------------------------------------------------------- the texts


def _held_out(evaluation_set: EvaluationSet) -> tuple[list[int], list[HeldOutText]]:
    """Documents, and their articles and references."""
    rows = EvaluationExample.objects.filter(evaluation_set=evaluation_set).order_by("position")
    documents: list[int] = []
    texts: list[HeldOutText] = []
    for example in rows.only("source", "reference", "all_references").iterator(chunk_size=1000):
        documents.append(example.pk)
        texts.append(HeldOutText(example.pk, HeldOut.ARTICLE, example.source))
        texts += [
            HeldOutText(example.pk, HeldOut.REFERENCE, text, place)
            for place, text in enumerate(example.texts)
        ]
    return documents, texts


def _blocks(snapshots: Iterable[DatasetSnapshot]) -> Iterator[list[tuple[int, str, str, str]]]:
    for snapshot in snapshots:
        rows = SnapshotExample.objects.filter(snapshot=snapshot).order_by("position")
        block: list[tuple[int, str, str, str]] = []
        for row in rows.values_list("pk", "source", "target", "rejected").iterator(chunk_size=_ROWS_AT_ONCE):
            block.append(row)
            if len(block) == _ROWS_AT_ONCE:
                yield block
                block = []
        if block:
            yield block


def _row_texts(rows: Iterable[tuple[int, str, str, str]]) -> Iterator[LearntText]:
    for pk, source, target, rejected in rows:
        yield LearntText(pk, Learnt.ARTICLE, source)
        yield LearntText(pk, Learnt.SUMMARY, target)
        if rejected:
            yield LearntText(pk, Learnt.DRAFT, rejected)


def _prompt_texts(prompts: Iterable[PromptVersion]) -> Iterator[LearntText]:
    for prompt in prompts:
        text = prompt_text(prompt)
        yield LearntText(prompt.pk, Learnt.PROMPT, text)
        words = text.split()
        for first in range(0, max(1, len(words) - _WINDOW + _STEP), _STEP):
            yield LearntText(prompt.pk, Learnt.PASSAGE, " ".join(words[first : first + _WINDOW]))


def _same_documents(snapshots: Sequence[DatasetSnapshot], evaluation_set: EvaluationSet) -> Iterator[Overlap]:
    """Documents of the test set that are rows of a snapshot by their hash, whatever their texts are by now."""
    rows = SnapshotExample.objects.filter(snapshot__in=snapshots)
    tested = EvaluationExample.objects.filter(
        evaluation_set=evaluation_set, document_hash__in=rows.values("document_hash")
    )
    by_hash = dict(tested.values_list("document_hash", "pk"))
    found = rows.filter(document_hash__in=by_hash).order_by("-snapshot", "pk")
    first: dict[str, int] = {}
    for digest, pk in found.values_list("document_hash", "pk"):
        first.setdefault(digest, pk)
    for digest, pk in first.items():
        yield Overlap(by_hash[digest], HeldOut.ARTICLE, pk, Learnt.DOCUMENT, 1.0, 0, 0, 0)


# ---------------------------------------------------------------- writing down


def _findings(made: LeakageCheck, first: int, found: Sequence[Overlap]) -> list[LeakageFinding]:
    examples = EvaluationExample.objects.in_bulk({one.document for one in found})
    prompts = PromptVersion.objects.in_bulk({one.owner for one in found if one.learnt.is_prompt})
    rows = SnapshotExample.objects.in_bulk({one.owner for one in found if not one.learnt.is_prompt})
    written = []
    for place, one in enumerate(found):
        row, prompt = (None, prompts[one.owner]) if one.learnt.is_prompt else (rows[one.owner], None)
        finding = LeakageFinding(
            check_run=made, position=first + place, example=examples[one.document], held_out=one.held_out.value,
            reference=one.reference, learnt=one.learnt.value, row=row, prompt_version=prompt, share=one.share,
            words=one.words,
        )  # fmt: skip
        held_out, learnt = texts_of(finding)
        mine, theirs = common_passages(held_out, learnt)
        finding.held_out_excerpt, finding.learnt_excerpt = excerpt(held_out, mine), excerpt(learnt, theirs)
        written.append(finding)
    return written


def texts_of(finding: LeakageFinding) -> tuple[str, str]:
    """The test document's text and the learnt one, as they are."""
    example = finding.example
    if finding.held_out == LeakageFinding.HeldOut.ARTICLE:
        held_out = example.source
    else:
        held_out = example.texts[finding.reference] if finding.reference < len(example.texts) else ""
    if finding.prompt_version is not None:
        return held_out, prompt_text(finding.prompt_version)
    assert finding.row is not None  # one of the two, by a constraint
    of_row = {Learnt.SUMMARY: finding.row.target, Learnt.DRAFT: finding.row.rejected}
    return held_out, of_row.get(Learnt(finding.learnt), finding.row.source)
