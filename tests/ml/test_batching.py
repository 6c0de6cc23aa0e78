from __future__ import annotations

import random
from itertools import pairwise

import pytest

from models_app.ml.batching import Encoded, Kind, learning_rate_factor, plan_steps
from models_app.ml.recipe import Recipe

RECIPE = Recipe(batch_tokens=1000, max_source_tokens=400, max_target_tokens=100, epochs=2)


def examples(count: int, seed: int = 0) -> list[Encoded]:
    rng = random.Random(seed)
    return [Encoded([1] * rng.randint(20, 400), [2] * rng.randint(5, 100)) for _ in range(count)]


@pytest.mark.parametrize("kind", ["encoder-decoder", "decoder-only"])
def test_every_epoch_has_every_example_once_in_batches_under_the_budget(kind: Kind) -> None:
    rows = examples(300)
    steps = plan_steps(rows, kind, RECIPE)
    for epoch in (1, 2):
        seen = [number for step in steps if step.epoch == epoch for number in step.examples]
        assert sorted(seen) == list(range(300))
    for batch in (batch for step in steps for batch in step.batches):
        source = max(len(rows[number].source) for number in batch)
        target = max(len(rows[number].target) for number in batch)
        width = source + target if kind == "encoder-decoder" else max(rows[number].tokens for number in batch)
        assert width * len(batch) <= 1000


def test_batches_of_similar_length_waste_little() -> None:
    rows = examples(500)
    steps = plan_steps(rows, "decoder-only", RECIPE.but(batch_tokens=4000))
    padded = real = 0
    for batch in (batch for step in steps for batch in step.batches):
        lengths = [rows[number].tokens for number in batch]
        padded, real = padded + max(lengths) * len(lengths), real + sum(lengths)
    assert padded / real < 1.15


def test_epochs_differ_and_seeds_differ_but_a_plan_is_reproducible() -> None:
    rows = examples(100)
    steps = plan_steps(rows, "decoder-only", RECIPE)
    assert steps == plan_steps(rows, "decoder-only", RECIPE)
    assert steps != plan_steps(rows, "decoder-only", RECIPE.but(seed=14))
    first = [step.batches for step in steps if step.epoch == 1]
    second = [step.batches for step in steps if step.epoch == 2]
    assert {frozenset(batch) for step in first for batch in step} != {
        frozenset(batch) for step in second for batch in step
    }


def test_part_of_an_epoch_max_steps_and_accumulation() -> None:
    rows = examples(200)
    one = len(plan_steps(rows, "decoder-only", RECIPE.but(epochs=1)))
    more = plan_steps(rows, "decoder-only", RECIPE.but(epochs=1.5))
    assert abs(len(more) - 1.5 * one) < 1
    assert {step.epoch for step in more} == {1, 2}
    limited = plan_steps(rows, "decoder-only", RECIPE.but(epochs=None, max_steps=7))
    assert len(limited) == 7
    assert limited[-1].validate
    long = plan_steps(rows, "decoder-only", RECIPE.but(epochs=None, max_steps=one * 3 + 1))
    assert len(long) == one * 3 + 1
    accumulated = plan_steps(rows, "decoder-only", RECIPE.but(gradient_accumulation=4, epochs=1))
    assert len(accumulated) == -(-one // 4)
    assert {len(step.batches) for step in accumulated[:-1]} == {4}


def test_validations_are_spread_over_the_epoch_and_end_it() -> None:
    steps = plan_steps(examples(200), "decoder-only", RECIPE.but(epochs=2, validations_per_epoch=3))
    for epoch in (1, 2):
        marks = [step.validate for step in steps if step.epoch == epoch]
        assert sum(marks) == 3
        assert marks[-1]


def test_one_example_longer_than_the_budget_makes_a_batch_of_its_own() -> None:
    rows = [Encoded([1] * 5000, [2]), Encoded([1], [2])]
    (first, second) = plan_steps(rows, "decoder-only", RECIPE.but(epochs=1))
    assert {first.batches, second.batches} == {((0,),), ((1,),)}


def test_the_learning_rate_warms_up_and_then_follows_the_schedule() -> None:
    recipe = RECIPE.but(warmup_fraction=0.1, schedule="linear")
    factors = [learning_rate_factor(step, 100, recipe) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.02
    assert all(one < next_ for one, next_ in pairwise(factors[:11]))
    cosine = recipe.but(schedule="cosine")
    assert learning_rate_factor(55, 100, cosine) == pytest.approx(0.5)
    assert learning_rate_factor(99, 100, recipe.but(schedule="constant")) == 1
    assert learning_rate_factor(0, 100, recipe.but(warmup_fraction=0)) == 1
