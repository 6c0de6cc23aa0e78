"""Documents with nearly the same text: found, written down, and kept in one split.

What *nearly the same* means, `models_app.texts.near_duplicates` says. A document's sketch lies in `SketchHash`, so that
each document that comes is compared with the few that could be like it, however many there are. All pairs that are
found are kept (`NearDuplicate`). Two imports that run at the same moment do not see each other's documents, and rows
put in by SQL are compared with nothing: therefore whoever freezes or tries a prompt looks again, on the texts
(`near_tests`, `near_learnt`), and documents without a sketch get one first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from django.db import transaction

from models_app.foundation import jobs
from models_app.foundation.errors import Unavailable
from models_app.foundation.jobs import JobCancelled
from models_app.models import Job
from models_app.texts.near_duplicates import (
    MOST_OF_A_HASH,
    SHARED_HASHES,
    Hashes,
    candidates,
    likeness,
    looked_up,
    shingles,
    sketch,
)
from reviews import statements
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
    *,
    only_tests: bool = False,
    only_learnt: bool = False,
) -> list[list[Twin]]:
    """For each document, sketched, those that are nearly the same, the likest first. `texts`: their shingles, where
    somebody has them. 3 queries."""
    sketches = [sketch_of(document) for document in documents]
    wanted = [signed(looked_up(row)) for row in sketches]
    owners = _owners({value for row in wanted for value in row}, only_tests, only_learnt)
    shared = [_shared(row, owners) for row in wanted]
    known = _sketches({owner for row in shared for owner in row})
    likely = [
        [owner for owner, count in row.items() if owner in known and candidates(count, mine, known[owner])]
        for mine, row in zip(sketches, shared, strict=True)
    ]
    for document, row in zip(documents, likely, strict=True):
        if document.pk in row:
            row.remove(document.pk)
    others = read_texts({owner for row in likely for owner in row})
    found: list[list[Twin]] = []
    for place, row in enumerate(likely):
        if not row:
            found.append([])
            continue
        text = texts[place] if texts is not None else next(shingles([documents[place].text]))
        twins = [
            Twin(owner, others[owner][0], like.share)
            for owner in row
            if (like := likeness(text, others[owner][1])).near
        ]
        found.append(sorted(twins, key=lambda twin: (-twin.share, twin.document)))
    return found


def _shared(hashes: Sequence[int], owners: Mapping[int, list[int]]) -> dict[int, int]:
    """Who has enough of these hashes, with how many."""
    least = min(SHARED_HASHES, len(hashes))
    counts = Counter(owner for value in hashes if value in owners for owner in owners[value])
    return {owner: count for owner, count in counts.items() if count >= least}


def sketch_of(document: SourceDocument) -> Hashes:
    assert document.sketch is not None  # nosec B101 (its callers see to it)
    return np.frombuffer(document.sketch, dtype="<u8")


def _sketches(documents: Collection[int]) -> dict[int, Hashes]:
    rows = SourceDocument.objects.filter(pk__in=documents, sketch__isnull=False).order_by()
    return {pk: np.frombuffer(kept, dtype="<u8") for pk, kept in rows.values_list("pk", "sketch")}


def _owners(hashes: Collection[int], only_tests: bool, only_learnt: bool) -> Mapping[int, list[int]]:
    learnt = [
        value for value in (False, True) if not (only_tests and value) and not (only_learnt and not value)
    ]
    found: dict[int, list[int]] = defaultdict(list)
    for value, document in statements.owners(hashes, learnt=learnt):
        found[value].append(document)
    return found


def read_texts(documents: Collection[int]) -> dict[int, tuple[str, Hashes]]:
    """Split and shingles of each."""
    if not documents:
        return {}
    rows = list(SourceDocument.objects.filter(pk__in=documents).order_by().values_list("pk", "split", "text"))
    return {
        pk: (split, hashes)
        for (pk, split, _), hashes in zip(rows, shingles(text for _, _, text in rows), strict=True)
    }


def tests_with(text: Hashes) -> set[int]:
    """Test documents that are found by one of these hashes."""
    return {document for _, document in statements.owners(signed(text), learnt=[False])}


def signed(hashes: Hashes) -> list[int]:
    """As the database has them."""
    return hashes.view(np.int64).tolist()


# ---------------------------------------------------------------- one split for all that are alike


@dataclass(frozen=True)
class Pair:
    one: SourceDocument
    other: int
    share: float


def join(documents: Sequence[SourceDocument], texts: Sequence[Hashes]) -> list[Pair]:
    """Give documents that come in together, each with a split by hash, the splits of their twins, and say in each
    which one it joined. Returns all pairs of near duplicates that they are part of.

    Whatever hangs together, by pairs or by a group key, comes into one split: test, where one of its twins or groups
    there were before is in test; else that of the likest twin there was, else of its group, else of the one with the
    lowest content hash, so that the order of a file's rows decides nothing.
    """
    order = sorted(range(len(documents)), key=lambda place: documents[place].content_hash)
    documents, texts = [documents[place] for place in order], [texts[place] for place in order]
    before = near(documents, texts)
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
    owners: dict[int, list[int]] = defaultdict(list)
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for place, text in enumerate(texts):
        hashes = signed(looked_up(text))
        for other, shared in _shared(hashes, owners).items():
            if not candidates(shared, sketch(text), sketch(texts[other])):
                continue
            if (like := likeness(text, texts[other])).near:
                found[place][other] = found[other][place] = like.share
        for value in hashes:
            if len(owners[value]) < MOST_OF_A_HASH:
                owners[value].append(place)
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


def keep(documents: Sequence[SourceDocument], texts: Sequence[Hashes], pairs: Iterable[Pair]) -> None:
    """What documents that have just been saved are found by, and their pairs."""
    found_by = [looked_up(text) for text in texts]
    counts = [len(row) for row in found_by]
    if sum(counts):
        statements.copy_sketch_hashes(
            np.concatenate(found_by).view(np.int64),
            np.repeat([document.split != Split.TEST for document in documents], counts),
            np.repeat([document.pk for document in documents], counts),
        )
    tests = (document for document in documents if document.split == Split.TEST)
    keep_references([(document.pk, document.reference) for document in tests if document.reference])
    _keep_pairs(pairs)


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


def kept_sketch(text: Hashes) -> bytes:
    kept: bytes = sketch(text).astype("<u8").tobytes()
    return kept


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
    """The same for whoever is waited for: a few at once; more are left to the queue, and until it is done nothing is
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
        texts = list(shingles(document.text for document in documents))
        for document, text in zip(documents, texts, strict=True):
            document.sketch = kept_sketch(text)
        pairs = [
            *_pairs(documents, near(documents, texts)),
            *_inner_pairs(documents, _inside(texts)),
        ]
        keep(documents, texts, pairs)
        SourceDocument.objects.bulk_update(documents, ["sketch"])
    return len(documents)


# ---------------------------------------------------------------- before something is frozen


def near_tests(documents: Sequence[SourceDocument]) -> dict[int, Twin]:
    """Of documents that would be learnt from, or that a prompt would be tried on, those that are nearly the same as a
    test document, with the likest one. Looked for on the texts, whatever pairs are written down. Raises Unavailable."""
    return {document: twins[0] for document, twins in _near_now(documents, only_tests=True).items()}


def near_learnt(documents: Sequence[SourceDocument]) -> dict[int, list[Twin]]:
    """Of test documents, those that are nearly the same as documents that may train, with all of these. Raises
    Unavailable."""
    return _near_now(documents, only_learnt=True)


def _near_now(
    documents: Sequence[SourceDocument], *, only_tests: bool = False, only_learnt: bool = False
) -> dict[int, list[Twin]]:
    sketch_few()
    found: dict[int, list[Twin]] = {}
    for first in range(0, len(documents), _AT_ONCE):
        chosen = list(documents[first : first + _AT_ONCE])
        for document in chosen:
            if document.sketch is None:  # loaded before it had one
                document.sketch = kept_sketch(next(shingles([document.text])))
        twins = near(chosen, only_tests=only_tests, only_learnt=only_learnt)
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
