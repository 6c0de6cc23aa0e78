"""Worst, typical and best documents, and how all differences spread: computed once, the same whoever draws."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models_app.evaluation.comparing import read_again
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.reading import Reading, read
from models_app.models import Comparison
from models_app.texts.bins import Bins, bins
from tests.releases.scene import Scene, scene

ROUGE = METRICS["rouge2"]


def reading(changes: list[float], *, seed: int = 7, metric: Any = ROUGE) -> Reading:
    return read(
        range(1, len(changes) + 1), [0.5] * len(changes), [0.5 + c for c in changes], metric=metric, seed=seed
    )


def test_the_worst_and_the_best_are_at_the_ends_and_the_typical_ones_between() -> None:
    found = reading([c / 100 for c in range(-30, 30)])
    assert [round(one.after - one.before) for one in found.of_kind("worst")] == [-30, -29, -28]
    assert [round(one.after - one.before) for one in found.of_kind("best")] == [29, 28, 27]
    typical = [round(one.after - one.before) for one in found.of_kind("typical")]
    assert len(typical) == 3
    assert all(-10 <= change < 10 for change in typical)


def test_of_a_metric_of_which_less_is_better_the_worst_rose() -> None:
    found = reading([c / 100 for c in range(-30, 30)], metric=METRICS["repetition"])
    assert [round(one.after - one.before) for one in found.of_kind("worst")] == [29, 28, 27]


def test_typical_documents_are_drawn_by_the_seed_and_not_by_the_order_of_rows() -> None:
    changes = [random.Random(3).gauss(0, 0.1) for _ in range(300)]
    drawn = {one.example for one in reading(changes).of_kind("typical")}
    assert drawn == {one.example for one in reading(changes).of_kind("typical")}
    assert drawn != {one.example for one in reading(changes, seed=8).of_kind("typical")}
    order = list(range(300))
    random.Random(1).shuffle(order)
    shuffled = read(
        [at + 1 for at in order], [0.5] * 300, [0.5 + changes[at] for at in order], metric=ROUGE, seed=7
    )
    assert shuffled.as_json() == reading(changes).as_json()


@pytest.mark.parametrize(
    ("documents", "shown"), [(0, 0), (1, 1), (2, 2), (3, 3), (5, 5), (8, 7), (9, 9), (10, 9), (300, 9)]
)
def test_no_document_is_shown_twice_however_few_there_are(documents: int, shown: int) -> None:
    found = [one.example for one in reading([0.01 * at for at in range(documents)]).documents]
    assert len(found) == len(set(found)) == shown


@given(some.lists(some.floats(-1, 1), max_size=60))
def test_bins_count_every_document_once_and_survive_json(changes: list[float]) -> None:
    found = bins(changes)
    assert found.below + found.equal + found.above == len(changes)
    assert Bins.of_json(found.as_json()) == found
    again = reading(changes).as_json()
    assert Reading.of_json(again).as_json() == again


@pytest.mark.django_db
def test_a_comparison_keeps_it_and_the_integrity_of_it_is_looked_at() -> None:
    the: Scene = scene()
    kept = Comparison.objects.get(pk=the.comparison.pk)
    assert len(Reading.of_json(kept.reading).documents) == 9
    assert read_again(kept).wrong == []
    kept.reading["documents"] = kept.reading["documents"][3:]
    assert read_again(kept).wrong == ["baseline documents shown"]
