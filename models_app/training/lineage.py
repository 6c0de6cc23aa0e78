"""What a model version was made from: its parents, and the versions that its weights were recognised as."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from models_app.models import ModelVersion, WeightMatch


@dataclass(frozen=True)
class Lineage:
    """A model version and all that it was made from: their parents, and those they were recognised as by their
    weights. The nearest first."""

    versions: Sequence[ModelVersion]
    origins: Mapping[int, Sequence[int]]

    def until(self, stop: Collection[int]) -> list[ModelVersion]:
        """Those that are reached without passing one of `stop`."""
        rows = {version.pk: version for version in self.versions}
        return [rows[pk] for pk in _walk(self.versions[0].pk, self.origins, stop)]


def made_from(version: int) -> Lineage:
    """3 queries."""
    origins: dict[int, list[int]] = defaultdict(list)
    for pk, parent in ModelVersion.objects.exclude(parent=None).values_list("pk", "parent_id"):
        origins[pk].append(parent)
    for pk, of in WeightMatch.objects.order_by("pk").values_list("version", "of"):
        origins[pk].append(of)
    found = _walk(version, origins)
    rows = ModelVersion.objects.select_related("training_run__snapshot").in_bulk(found)
    return Lineage([rows[pk] for pk in found], origins)


def _walk(start: int, origins: Mapping[int, Sequence[int]], stop: Collection[int] = ()) -> list[int]:
    found: dict[int, None] = {}
    waiting = deque([start])
    while waiting:
        pk = waiting.popleft()
        if pk not in found and pk not in stop:
            found[pk] = None
            waiting.extend(origins.get(pk, ()))
    return list(found)
