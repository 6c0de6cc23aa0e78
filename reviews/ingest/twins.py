"""Documents with nearly the same text: found, written down, and kept in one split.

What *nearly the same* means, `models_app.texts.near_duplicates` says. A document's sketch lies in `SketchHash`, so that
each document that comes is compared with the few that could be like it, however many there are. All pairs that are
found are kept (`NearDuplicate`). Two imports that run at the same moment do not see each other's documents, and rows
put in by SQL are compared with nothing: so freezing and trying a prompt look again, on the texts
(`near_tests`, `near_learnt`), and documents without a sketch get one first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from django.db import transaction

from models_app.foundation import jobs
from models_app.foundation.errors import Unavailable
from models_app.foundation.jobs import JobCancelled
from models_app.models import Job
from models_app.texts.near_duplicates import Hashes, Index, candidates, likeness, shingles, stacked
from reviews.ingest import statements
from reviews.ingest.sketches import Sketches, kept_sketch, signed, sketch_of
from reviews.models import NearDuplicate, SourceDocument, Split

COMPARE = "compare_documents"
COMPARING = (
    "Documents that no import brought are being compared with all others just now. Try again in a minute."
)
_AT_ONCE = 500
#: Of a reference so many hashes are kept, the lowest. What has 65 % of it has none of them in two of 10,000 cases.
_OF_A_REFERENCE = 8


@dataclass(frozen=True)
class Twin:
    """A document there is, nearly the same as another one."""

    document: int
    split: str
    share: float

    @property
    def judges(self) -> bool:
        return self.split == Split.TEST


# ---------------------------------------------------------------- finding


def near(
    documents: Sequence[SourceDocument],
    texts: Sequence[Hashes] | None = None,
    sketches: Sketches | None = None,
) -> list[list[Twin]]:
    """For each document, sketched, those that are nearly the same, the likest first. `texts`: their shingles, where
    somebody has them; `sketches`: of whom. 3 queries."""
    sketches = sketches or Sketches()
    mine = [sketch_of(document) for document in documents]
    met = sketches.meet(mine)
    met = met.only(met.owners != np.array([document.pk or 0 for document in documents])[met.texts])
    owners, places = np.unique(met.owners, return_inverse=True)
    known = sketches.of(owners.tolist())
    met = met.only(candidates(met.shared, stacked(mine)[met.texts], known[places]))
    others = read_texts(set(met.owners.tolist()))
    counted: dict[int, Hashes] = {}
    found: list[list[Twin]] = [[] for _ in documents]
    for place, owner in zip(met.texts.tolist(), met.owners.tolist(), strict=True):
        if place not in counted:
            counted[place] = texts[place] if texts is not None else next(shingles([documents[place].text]))
        if (like := likeness(counted[place], others[owner][1])).near:
            found[place].append(Twin(owner, others[owner][0], like.share))
    return [sorted(twins, key=lambda twin: (-twin.share, twin.document)) for twins in found]


def read_texts(documents: Collection[int]) -> dict[int, tuple[str, Hashes]]:
    """Split and shingles of each."""
    if not documents:
        return {}
    rows = list(SourceDocument.objects.filter(pk__in=documents).order_by().values_list("pk", "split", "text"))
    return {
        pk: (split, hashes)
        for (pk, split, _), hashes in zip(rows, shingles(text for _, _, text in rows), strict=True)
    }


# ---------------------------------------------------------------- one split for all that are alike


@dataclass(frozen=True)
class Pair:
    one: SourceDocument
    other: int
    share: float


def join(
    documents: Sequence[SourceDocument], texts: Sequence[Hashes], sketches: Sketches | None = None
) -> list[Pair]:
    """Give documents that come in together, each with a split by hash, the splits of their twins, and say in each
    which one it joined. Returns all pairs of near duplicates that they are part of. `sketches`: of those there were
    before.

    Whatever hangs together, by pairs or by a group key, comes into one split: test, where one of its twins or groups
    there were before is in test; else that of the likest twin there was, else of its group, else of the one with the
    lowest content hash, so that the order of a file's rows decides nothing.
    """
    order = sorted(range(len(documents)), key=lambda place: documents[place].content_hash)
    documents, texts = [documents[place] for place in order], [texts[place] for place in order]
    before = near(documents, texts, sketches)
    inside = _inside(texts)
    in_groups = _splits_of_groups(documents)
    for family in _families(documents, inside):
        _settle(family, documents, before, inside, in_groups)
    return [*_pairs(documents, before), *_inner_pairs(documents, inside)]


def join_alone(document: SourceDocument) -> Twin | None:
    """Give a document that is not saved the split it would come into; which twin it would join."""
    text = next(shingles([document.text]))
    document.sketch = kept_sketch(text)
    join([document], [text])
    if document.twin_id is None:
        return None
    return Twin(document.twin_id, document.split, document.twin_share or 0)


def _pairs(documents: Sequence[SourceDocument], found: Sequence[Sequence[Twin]]) -> Iterable[Pair]:
    for document, twins in zip(documents, found, strict=True):
        for twin in twins:
            yield Pair(document, twin.document, twin.share)


def _inner_pairs(
    documents: Sequence[SourceDocument], inside: Mapping[int, Mapping[int, float]]
) -> Iterable[Pair]:
    for place, row in inside.items():
        for other, share in row.items():
            if other < place:
                yield Pair(documents[place], documents[other].pk, share)


def _inside(texts: Sequence[Hashes]) -> dict[int, dict[int, float]]:
    """Of each text, by its place, those of the others that are near, with their share."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for place, other, like in Index(texts).pairs():
        found[place][other] = found[other][place] = like.share
    return found


def _splits_of_groups(documents: Sequence[SourceDocument]) -> dict[str, str]:
    """Where documents of these groups are already. A group lies in one split, unless one of it was a twin of a test
    document when the others were there: then those that follow are kept from training."""
    keys = {document.group_key for document in documents} - {""}
    if not keys:
        return {}
    rows = SourceDocument.objects.filter(group_key__in=keys).order_by("pk").values_list("group_key", "split")
    splits: dict[str, str] = {}
    for key, split in rows:
        if split == Split.TEST or key not in splits:
            splits[key] = split
    return splits


def _families(
    documents: Sequence[SourceDocument], inside: Mapping[int, Mapping[int, float]]
) -> Iterable[list[int]]:
    """Places of documents that hang together, the lowest first."""
    of_group: dict[str, list[int]] = defaultdict(list)
    for place, document in enumerate(documents):
        if document.group_key:
            of_group[document.group_key].append(place)
    seen: set[int] = set()
    for start in range(len(documents)):
        if start in seen:
            continue
        seen.add(start)
        family, waiting = [], [start]
        while waiting:
            place = waiting.pop()
            family.append(place)
            for other in (*inside.get(place, ()), *of_group.get(documents[place].group_key, ())):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        yield sorted(family)


def _settle(
    family: Sequence[int],
    documents: Sequence[SourceDocument],
    before: Sequence[Sequence[Twin]],
    inside: Mapping[int, Mapping[int, float]],
    in_groups: Mapping[str, str],
) -> None:
    there = sorted(
        (twin for place in family for twin in before[place]),
        key=lambda twin: (not twin.judges, -twin.share, twin.document),
    )
    groups = {in_groups[key] for place in family if (key := documents[place].group_key) in in_groups}
    if Split.TEST in groups:
        split = Split.TEST.value
    elif there:
        split = there[0].split
    elif groups:
        split = min(groups)
    else:
        split = documents[family[0]].split
    for place in family:
        documents[place].split = split
    # Each says the likest of those it joined: one there was before, or the one in the file that leads towards it.
    joined = {place for place in family if any(twin.split == split for twin in before[place])}
    for place in joined:
        twin = next(twin for twin in before[place] if twin.split == split)
        documents[place].twin_id, documents[place].twin_share = twin.document, twin.share
    waiting = sorted(joined) or [family[0]]
    reached = set(waiting)
    while waiting:
        place = waiting.pop(0)
        for other, share in sorted(inside.get(place, {}).items(), key=lambda row: (-row[1], row[0])):
            if other not in reached:
                reached.add(other)
                documents[other].twin_id, documents[other].twin_share = documents[place].pk, share
                waiting.append(other)


# ---------------------------------------------------------------- writing down


def keep(
    documents: Sequence[SourceDocument], texts: Sequence[Hashes], pairs: Iterable[Pair], sketches: Sketches
) -> None:
    """What documents that have just been saved are found by, and their pairs. Their sketches lie in `sketches` until
    the caller, who made it, writes it."""
    tests = (document for document in documents if document.split == Split.TEST)
    keep_references([(document.pk, document.reference) for document in tests if document.reference])
    _keep_pairs(pairs)
    sketches.add(documents, texts)


def keep_references(references: Sequence[tuple[int, str]]) -> None:
    """What texts are found by that quote these references, each of a test document. For those of a test set, when it is
    frozen; those that documents come with are kept with them."""
    hashes: list[int] = []
    documents: list[int] = []
    texts = shingles(text for _, text in references)
    for (document, _), text in zip(references, texts, strict=True):
        hashes += signed(text[:_OF_A_REFERENCE])
        documents += repeat(document, min(len(text), _OF_A_REFERENCE))
    statements.add_reference_hashes(hashes, documents)


def _keep_pairs(pairs: Iterable[Pair]) -> None:
    shares = {
        tuple(sorted((pair.one.pk, pair.other))): pair.share for pair in pairs if pair.one.pk != pair.other
    }
    NearDuplicate.objects.bulk_create(
        [NearDuplicate(earlier_id=a, later_id=b, share=share) for (a, b), share in sorted(shares.items())],
        ignore_conflicts=True,
        batch_size=1000,
    )


def _without_sketch() -> bool:
    return SourceDocument.objects.filter(sketch=None).exists()


def sketch_missing(
    *,
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> int:
    """Compare all documents that came in otherwise than by an import (or before there were sketches). For jobs and
    commands: it takes as long as they are many. Returns how many."""
    done = 0
    while some := _sketch_some():
        done += some
        if progress is not None:
            progress(done)
        if should_stop is not None and should_stop():
            raise JobCancelled
    return done


def sketch_few() -> None:
    """The same while somebody waits: a few at once; more are left to the queue, and until it is done nothing is
    said about any text. Raises Unavailable."""
    if _sketch_some() == _AT_ONCE and _without_sketch():
        start_comparing()
        raise Unavailable(COMPARING, retry_after=60, code="comparing")


def start_comparing() -> Job | None:
    """Let the queue compare what has not been compared; None where there is nothing. The queue asks every hour."""
    if not _without_sketch():
        return None
    return jobs.enqueue(kind=COMPARE, actor=None, unique_key=COMPARE, deadline_seconds=6 * 3600)


def _sketch_some() -> int:
    with transaction.atomic():
        missing = SourceDocument.objects.filter(sketch=None).order_by("pk")
        documents = list(missing.select_for_update(no_key=True)[:_AT_ONCE])
        if not documents:
            return 0
        texts, sketches = list(shingles(document.text for document in documents)), Sketches()
        for document, text in zip(documents, texts, strict=True):
            document.sketch = kept_sketch(text)
        pairs = [
            *_pairs(documents, near(documents, texts, sketches)),
            *_inner_pairs(documents, _inside(texts)),
        ]
        keep(documents, texts, pairs, sketches)
        sketches.write()
        SourceDocument.objects.bulk_update(documents, ["sketch"])
    return len(documents)


# ---------------------------------------------------------------- before something is frozen


def near_tests(documents: Sequence[SourceDocument]) -> dict[int, Twin]:
    """Of documents that would be learnt from, or that a prompt would be tried on, those that are nearly the same as a
    test document, with the likest one. Looked for on the texts, whatever pairs are written down. Raises Unavailable."""
    return {document: twins[0] for document, twins in _near_now(documents, Sketches([False])).items()}


def near_learnt(documents: Sequence[SourceDocument]) -> dict[int, list[Twin]]:
    """Of test documents, those that are nearly the same as documents that may train, with all of these. Raises
    Unavailable."""
    return _near_now(documents, Sketches([True]))


def _near_now(documents: Sequence[SourceDocument], sketches: Sketches) -> dict[int, list[Twin]]:
    sketch_few()
    found: dict[int, list[Twin]] = {}
    for first in range(0, len(documents), _AT_ONCE):
        chosen = list(documents[first : first + _AT_ONCE])
        for document in chosen:
            if document.sketch is None:  # loaded before it had one
                document.sketch = kept_sketch(next(shingles([document.text])))
        twins = near(chosen, sketches=sketches)
        _keep_pairs(_pairs(chosen, twins))
        found |= {document.pk: row for document, row in zip(chosen, twins, strict=True) if row}
    return found


# ---------------------------------------------------------------- told


def told(document: SourceDocument, limit: int = 10) -> list[Twin]:
    """Which documents are known to be nearly the same, the likest first. 2 queries."""
    rows = [
        *document.later_twins.values_list("later", "later__split", "share").order_by("-share")[:limit],
        *document.earlier_twins.values_list("earlier", "earlier__split", "share").order_by("-share")[:limit],
    ]
    return sorted((Twin(*row) for row in rows), key=lambda twin: (-twin.share, twin.document))[:limit]


def percent(share: float) -> int:
    """Never more than it is: 99.9 % of the words are not all of them."""
    return int(100 * share)
