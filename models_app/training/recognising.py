"""Which registered model version weights were made from, whatever the file they came in.

`choose` is the rule, over plain values. What follows from it: a version that is recognised gets the other one as its
parent, and with it the training runs, data and people of its lineage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from models_app.foundation import locks
from models_app.ml.fingerprints import Laid, TensorPrint, closeness
from models_app.models import ModelVersion, WeightMatch, WeightTensor

#: From this share of the weights on, something is made from a version. Unrelated weights are at 0; with the neurons of
#: every block permuted and noise on top, which hides those tensors, SmolLM2 is at 0.41; its embedding alone is 0.21.
RECOGNISED = 0.2
#: What lies nearer to a child than this share of the way from its parent has something of the child.
OF_THE_WAY = 0.9
# Any number that nothing else locks: of two registrations at once each would overlook the other.
LOCK = 20_28


@dataclass(frozen=True)
class Known:
    """A registered version beside the weights in question. `step` is its own closeness to its parent, None for one
    without."""

    pk: int
    closeness: float
    parent: int | None = None
    step: float | None = None


def choose(known: Sequence[Known]) -> Known | None:
    """The version that weights were made from: the nearest; of equally near ones the latest; but a descendant of it
    where they have something of what that one learned, such as a mixture of both."""
    near = [version for version in known if version.closeness >= RECOGNISED]
    if not near:
        return None
    nearest = max(near, key=lambda version: (round(version.closeness, 6), version.pk))
    parents = {version.pk: version.parent for version in near}
    learned = [
        version
        for version in near
        if _is_of_what_it_learned(version) and nearest.pk in _above(version.pk, parents)
    ]
    return max(learned, key=lambda version: version.closeness, default=nearest)


def _is_of_what_it_learned(version: Known) -> bool:
    step = version.step
    return step is not None and step < 1 and (1 - version.closeness) / (1 - step) < OF_THE_WAY


def _above(pk: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    seen: set[int] = set()
    while (parent := parents.get(pk)) is not None and parent not in seen:
        seen.add(parent)
        yield parent
        pk = parent


def one_at_a_time() -> None:
    """Until the transaction ends, nobody else recognises or registers."""
    locks.alone(LOCK)


class Registered:
    """All versions as they are when it is made: their parents, and the prints of those that have them. How close two
    are is computed once. 2 queries in all."""

    def __init__(self) -> None:
        rows = ModelVersion.objects.values_list("pk", "parent_id", "training_run_id")
        self.parents: dict[int, int | None] = {}
        self._trained_here: set[int] = set()
        for pk, parent, run in rows:
            self.parents[pk] = parent
            if run is not None:
                self._trained_here.add(pk)
        self._prints = {pk: Laid(prints) for pk, prints in _prints()}
        self._closeness: dict[tuple[int, int], float] = {}

    def recognise(self, prints: Sequence[TensorPrint]) -> Known | None:
        """What weights were made from that are not registered yet."""
        weights = Laid(prints)
        return choose([self._known(pk, closeness(weights, other)) for pk, other in self._prints.items()])

    def recognise_registered(self, pk: int, *, leave_out: Collection[int] = ()) -> Known | None:
        """What a version was made from; never what is made from it."""
        left_out = {pk, *self.descendants(pk), *leave_out}
        return choose(
            [self._known(other, self._close(pk, other)) for other in self._prints if other not in left_out]
        )

    def made_from(self, pk: int) -> list[tuple[int, Known]]:
        """(version, what it was made from) of those that were made from this one and are not among its ancestors, such
        as a checkpoint of its training that was registered before."""
        found = []
        for other in sorted(self._prints.keys() - {pk, *self.ancestors(pk)}):
            if not self._could_be_made_from(pk, other):
                continue
            known = self.recognise_registered(other)
            if known is not None and known.pk == pk:
                found.append((other, known))
        return found

    def late(self, pk: int) -> list[tuple[int, Known]]:
        """(version, what it was made from), for a version whose prints come long after it was registered: what has been
        made from it since, and itself. Where both are possible, what was trained here was made from what its training
        says, and of two others the later from the earlier."""
        later = {other for other in self.parents if other > pk} - self._trained_here
        trained = pk in self._trained_here
        found = [
            (other, known)
            for other, known in self.made_from(pk)
            if other not in self._trained_here and (trained or other in later)
        ]
        if not trained:
            since = {below for other, _ in found for below in (other, *self.descendants(other))}
            known = self.recognise_registered(pk, leave_out=later | since)
            if known is not None and known.pk not in self.ancestors(pk):
                found.append((pk, known))
        return found

    def _could_be_made_from(self, pk: int, other: int) -> bool:
        """By two looks, where `recognise_registered` takes one at every version: not where its parent is nearer, unless
        it has something of what this one learned."""
        known, parent = self._known(pk, self._close(pk, other)), self.parents[other]
        if known.closeness < RECOGNISED:
            return False
        if parent is None or parent not in self._prints or _is_of_what_it_learned(known):
            return True
        return round(known.closeness, 6) >= round(self._close(other, parent), 6)

    def ancestors(self, pk: int) -> list[int]:
        return list(_above(pk, self.parents))

    def descendants(self, pk: int) -> list[int]:
        return [other for other in self.parents if pk in _above(other, self.parents)]

    def _known(self, pk: int, share: float) -> Known:
        parent = self.parents[pk]
        if parent is None or parent not in self._prints or share < RECOGNISED:
            return Known(pk, share, parent)
        return Known(pk, share, parent, self._close(pk, parent))

    def _close(self, one: int, other: int) -> float:
        pair = (min(one, other), max(one, other))
        if pair not in self._closeness:
            self._closeness[pair] = closeness(self._prints[pair[0]], self._prints[pair[1]])
        return self._closeness[pair]


def _prints() -> Iterator[tuple[int, list[TensorPrint]]]:
    rows = WeightTensor.objects.order_by("version", "position")
    columns = rows.values_list("version", "size", "digest", "sketch", "telling")
    for pk, tensors in groupby(columns.iterator(), key=itemgetter(0)):
        yield (
            pk,
            [
                TensorPrint(size, digest, np.frombuffer(bytes(sketch), dtype="<f4"), telling)
                for _, size, digest, sketch, telling in tensors
            ],
        )


def keep(version: ModelVersion, prints: Sequence[TensorPrint]) -> None:
    WeightTensor.objects.bulk_create(
        WeightTensor(
            version=version,
            position=position,
            size=tensor.size,
            digest=tensor.digest,
            sketch=tensor.sketch.astype("<f4").tobytes(),
            telling=tensor.telling,
        )
        for position, tensor in enumerate(prints)
    )


def note_match(version: int, known: Known) -> None:
    WeightMatch.objects.create(version_id=version, of_id=known.pk, closeness=known.closeness)
