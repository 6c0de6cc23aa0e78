"""Which registered model version weights were made from, whatever the file they came in.

`choose` is the rule, over plain values. What follows from it: a version that is recognised gets the other one as its
parent, and with it the training runs, data and people of its lineage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import QuerySet

from models_app.foundation import locks
from models_app.ml.fingerprints import TensorPrint, closeness
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
    parents = {version.pk: version.parent for version in known}
    learned = [
        version
        for version in near
        if version.step is not None
        and version.step < 1
        and nearest.pk in _above(version.pk, parents)
        and (1 - version.closeness) / (1 - version.step) < OF_THE_WAY
    ]
    return max(learned, key=lambda version: version.closeness, default=nearest)


def _above(pk: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    seen: set[int] = set()
    while (parent := parents.get(pk)) is not None and parent not in seen:
        seen.add(parent)
        yield parent
        pk = parent


def one_at_a_time() -> None:
    """Until the transaction ends, nobody else recognises or registers."""
    locks.alone(LOCK)


def recognise(prints: Sequence[TensorPrint], *, leave_out: Collection[int] = ()) -> Known | None:
    """Compares with every registered version but those in `leave_out`."""
    near = []
    for version in _with_prints().exclude(pk__in=leave_out):
        share = closeness(prints, prints_of(version.pk))
        if share >= RECOGNISED:
            near.append(Known(version.pk, share, version.parent_id, _step(version)))
    return choose(near)


def _with_prints() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.exclude(weights_digest="").order_by("pk")


def _step(version: ModelVersion) -> float | None:
    """How close it is to its parent; None where that is not known."""
    if version.parent_id is None:
        return None
    parent = prints_of(version.parent_id)
    return closeness(prints_of(version.pk), parent) if parent else None


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


def prints_of(version: int) -> list[TensorPrint]:
    rows = WeightTensor.objects.filter(version=version).order_by("position")
    return [
        TensorPrint(size, digest, np.frombuffer(bytes(sketch), dtype="<f4"), telling)
        for size, digest, sketch, telling in rows.values_list("size", "digest", "sketch", "telling")
    ]


def note_match(version: ModelVersion, known: Known) -> None:
    WeightMatch.objects.create(version=version, of_id=known.pk, closeness=known.closeness)


def recognise_earlier_ones(version: ModelVersion, prints: Sequence[TensorPrint]) -> list[WeightMatch]:
    """Versions registered before that were made from this one, such as a checkpoint of its training."""
    found = []
    own = {version.pk, *ancestors(version)}
    for earlier in _with_prints().exclude(pk__in=own):
        theirs = prints_of(earlier.pk)
        if closeness(theirs, prints) < RECOGNISED:
            continue
        made_from = recognise(theirs, leave_out={earlier.pk, *_descendants(earlier.pk)})
        if made_from is not None and made_from.pk == version.pk:
            found.append(
                WeightMatch.objects.create(version=earlier, of=version, closeness=made_from.closeness)
            )
    return found


def ancestors(version: ModelVersion) -> Iterator[int]:
    while version.parent is not None:
        version = version.parent
        yield version.pk


def _descendants(pk: int) -> set[int]:
    found: set[int] = set()
    level = {pk}
    while level:
        level = set(ModelVersion.objects.filter(parent__in=level).values_list("pk", flat=True)) - found
        found |= level
    return found
