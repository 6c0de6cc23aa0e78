"""What the human side knows for a model card: licences of articles, and what reviewers marked as errors.

It is asked by the dotted name in the settings, since this side of Galley never learns of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from models_app.models import SnapshotExample


@dataclass(frozen=True)
class KnownErrors:
    """What reviewers marked in a release's own summaries: how many reviews there are, and how many of these marked an
    error of each type."""

    reviews: int = 0
    by_type: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HumanSide:
    """`licences_of`: documents by the licence they came in with, "" where none was said, of those whose content hashes
    a query gives. `errors_of`: of a release, by its number."""

    licences_of: Callable[[QuerySet[SnapshotExample, str]], Mapping[str, int]]
    errors_of: Callable[[int], KnownErrors]


def human_side() -> HumanSide:
    known: HumanSide = import_string(settings.GALLEY_KNOWN_FOR_CARDS)
    return known
