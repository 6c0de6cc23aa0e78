"""Which examples are computed together: batches of similar length under a token budget, planned for a whole run.

Pure and seeded: the same lengths, recipe and seed give the same plan, which is what makes a resumed run equal to
an unbroken one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from models_app.ml.recipe import Recipe

IGNORED = -100  #: a label that has no loss
_POOL_BATCHES = 50  # lengths are sorted within so many batches' worth, so that batches stay random otherwise
_JITTER = 0.1  # of the length, so that an example meets different company in every epoch


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example. A decoder-only model reads them one after the other."""

    source: list[int]
    target: list[int]

    @property
    def tokens(self) -> int:
        return len(self.source) + len(self.target)


@dataclass(frozen=True)
class Step:
    """Batches whose gradients make one update."""

    epoch: int  #: from 1
    batches: tuple[tuple[int, ...], ...]  #: positions of the examples
    validate: bool

    @property
    def examples(self) -> list[int]:
        return [number for batch in self.batches for number in batch]


Kind = Literal["encoder-decoder", "decoder-only"]


def plan_steps(examples: Sequence[Encoded], kind: Kind, recipe: Recipe) -> list[Step]:
    """All steps of a run; the last one validates."""
    steps: list[Step] = []
    wanted = recipe.max_steps
    for epoch in count(1):
        batches = _epoch_batches(examples, kind, recipe, epoch)
        share = min(1.0, (recipe.epochs or math.inf) - (epoch - 1))
        if share <= 1e-9:
            break
        steps += _grouped(batches[: max(1, round(len(batches) * share))], epoch, recipe)
        if wanted is not None and len(steps) >= wanted:
            steps = steps[:wanted]
            break
    last = steps[-1]
    steps[-1] = Step(last.epoch, last.batches, True)
    return steps


def _grouped(batches: list[tuple[int, ...]], epoch: int, recipe: Recipe) -> list[Step]:
    size = recipe.gradient_accumulation
    groups = [tuple(batches[at : at + size]) for at in range(0, len(batches), size)]
    per_epoch = recipe.validations_per_epoch
    ends = {math.ceil(len(groups) * part / per_epoch) for part in range(1, per_epoch + 1)}
    return [Step(epoch, group, number in ends) for number, group in enumerate(groups, 1)]


def _epoch_batches(
    examples: Sequence[Encoded], kind: Kind, recipe: Recipe, epoch: int
) -> list[tuple[int, ...]]:
    rng = random.Random(f"{recipe.seed}/{epoch}")
    order = list(range(len(examples)))
    rng.shuffle(order)
    mean = sum(example.tokens for example in examples) / len(examples)
    pool = max(1, int(_POOL_BATCHES * recipe.batch_tokens / mean))
    batches: list[tuple[int, ...]] = []
    for start in range(0, len(order), pool):
        by_length = sorted(
            order[start : start + pool],
            key=lambda number: examples[number].tokens * rng.uniform(1 - _JITTER, 1 + _JITTER),
        )
        batches += batches_of(by_length, examples, kind, recipe.batch_tokens)
    rng.shuffle(batches)
    return batches


def batches_of(
    order: Sequence[int], examples: Sequence[Encoded], kind: Kind, budget: int
) -> Iterator[tuple[int, ...]]:
    """Cuts `order` into batches that have at most `budget` tokens when padded, but at least one example each."""
    batch: list[int] = []
    source = target = whole = 0  # longest in the batch
    for number in order:
        example = examples[number]
        longest = (
            max(source, len(example.source)),
            max(target, len(example.target)),
            max(whole, example.tokens),
        )
        padded = longest[0] + longest[1] if kind == "encoder-decoder" else longest[2]
        if batch and padded * (len(batch) + 1) > budget:
            yield tuple(batch)
            batch = []
            longest = (len(example.source), len(example.target), example.tokens)
        batch.append(number)
        source, target, whole = longest
    if batch:
        yield tuple(batch)


def collate(examples: Sequence[Encoded], kind: Kind, pad: int) -> dict[str, list[list[int]]]:
    """Padded on the right to the longest: input_ids, attention_mask, labels (IGNORED where there is no loss)."""
    if kind == "encoder-decoder":
        sources = [example.source for example in examples]
        labels = [example.target for example in examples]
    else:
        sources = [example.source + example.target for example in examples]
        labels = [[IGNORED] * len(example.source) + example.target for example in examples]
    width, target_width = max(map(len, sources)), max(map(len, labels))
    return {
        "input_ids": [ids + [pad] * (width - len(ids)) for ids in sources],
        "attention_mask": [[1] * len(ids) + [0] * (width - len(ids)) for ids in sources],
        "labels": [ids + [IGNORED] * (target_width - len(ids)) for ids in labels],
    }


def learning_rate_factor(step: int, total: int, recipe: Recipe) -> float:
    """Of the recipe's learning rate, in step 0 … total − 1: a linear warm-up, then the schedule."""
    warmup = round(total * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 1 - done if recipe.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
