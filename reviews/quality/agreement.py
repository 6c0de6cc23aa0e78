"""How far reviewers agree: Krippendorff's alpha with an interval, kappa of two, and how strict each one is. Pure.

Reliability data come as counts: one row an item, one column a value of the scale, each cell how many people gave it.
Who gave it does not matter to alpha, so missing ratings need no care: a row holds as many as there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scale = Literal["nominal", "ordinal", "interval"]
Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

RESAMPLES = 1000
SEED = 20_110_125
CONFIDENCE = 0.95
#: Below that many items an interval would promise more than it holds.
LEAST_ITEMS = 10
#: Krippendorff (2004, "Content Analysis", 2nd edition, p. 241): rely on .800 and above, draw tentative conclusions
#: down to .667, and none below.
SOLID, TENTATIVE = 0.800, 0.667

NO_PAIRS = "no item with two ratings"
NO_VARIATION = "no variation: everybody gave the same value to everything"
FEW_ITEMS = f"no interval below {LEAST_ITEMS} items"
OFTEN_UNDEFINED = "no interval: too many resamples are without variation"


@dataclass(frozen=True)
class Agreement:
    """Alpha of one question. `alpha` is None where it is undefined, with the `reason`; never 1 for lack of evidence.

    Only items with two ratings and more count; `items` and `ratings` are theirs. `low` and `high` bound alpha with 95 %
    confidence; None with `reason` where there is no interval. `equal` is the share of pairs of ratings of one item
    that are the same, `close` of those at most one value apart: easy to read, and blind to chance.
    """

    alpha: float | None
    low: float | None
    high: float | None
    reason: str
    items: int
    ratings: int
    raters: int
    equal: float | None
    close: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def krippendorff(
    counts: ArrayLike, *, scale: Scale, values: Sequence[float] | None = None, raters: int = 0,
    resamples: int = RESAMPLES, seed: int = SEED,
) -> Agreement:  # fmt: skip
    """Alpha = 1 − observed / expected disagreement (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    `counts` is items × values, the values in ascending order. `values` are the numbers that an interval scale measures
    (0, 1, 2, … unless given). `raters` is only passed on. The interval resamples items, with all their ratings and
    the expected disagreement of each resample, and takes widened percentiles (Hesterberg 2015, section 3.2); it is not
    the one of Hayes and Krippendorff (2007), who resample pairs and hold the expected disagreement fixed.
    """
    from scipy.special import ndtr, stdtrit

    table = np.asarray(counts, dtype=np.int64)
    numbers = (
        np.arange(table.shape[1], dtype=np.float64) if values is None else np.asarray(values, dtype=float)
    )
    table = table[table.sum(axis=1) >= 2]
    items, ratings = len(table), int(table.sum())

    def said(
        alpha: float | None, reason: str, low: float | None = None, high: float | None = None
    ) -> Agreement:
        equal, close = _shares(table)
        return Agreement(alpha, low, high, reason, items, ratings, raters, equal, close)

    if not items:
        return said(None, NO_PAIRS)
    patterns, times = _distinct(table)
    alone = _pair_weights(patterns)
    alpha = float(_alphas(times[np.newaxis] @ alone, scale, numbers)[0])
    if math.isnan(alpha):
        return said(None, NO_VARIATION)
    if items < LEAST_ITEMS:
        return said(alpha, FEW_ITEMS)
    drawn = np.random.default_rng(seed).multinomial(items, times / items, size=resamples)
    found = _alphas(drawn @ alone, scale, numbers)
    found = found[~np.isnan(found)]
    if len(found) < 0.95 * resamples:
        return said(alpha, OFTEN_UNDEFINED)
    tail = float(ndtr(math.sqrt(items / (items - 1)) * stdtrit(items - 1, (1 - CONFIDENCE) / 2)))
    low, high = np.quantile(found, [tail, 1 - tail])
    return said(alpha, "", float(low), float(high))


def _distinct(table: Counts) -> tuple[Counts, Counts]:
    """The different rows and how often each occurs; rows as single numbers, where these fit, sort ten times faster."""
    base, size = int(table.max()) + 1, table.shape[1]
    if base**size >= 2**62:
        rows, times = np.unique(table, axis=0, return_counts=True)
        return rows, times
    powers = base ** np.arange(size, dtype=np.int64)
    codes, times = np.unique(table @ powers, return_counts=True)
    return codes[:, np.newaxis] // powers % base, times


def _pair_weights(patterns: Counts) -> Floats:
    """Each pattern's part in the coincidence matrix, flat: n_c (n_k − [c = k]) / (m − 1)."""
    pairs = patterns[:, :, np.newaxis] * patterns[:, np.newaxis, :]
    diagonal = np.arange(patterns.shape[1])
    pairs[:, diagonal, diagonal] -= patterns
    weights: Floats = pairs / (patterns.sum(axis=1) - 1)[:, np.newaxis, np.newaxis]
    return weights.reshape(len(patterns), -1)


def _alphas(coincidences: Floats, scale: Scale, numbers: Floats) -> Floats:
    """Alpha of each row, a flat coincidence matrix; NaN where no disagreement is to be expected."""
    size = len(numbers)
    observed = coincidences.reshape(-1, size, size)
    totals = observed.sum(axis=2)
    n = totals.sum(axis=1)
    distance = _distances(scale, totals, numbers)
    by_chance = totals[:, :, np.newaxis] * totals[:, np.newaxis, :]
    seen = (observed * distance).sum(axis=(1, 2))
    expected = (by_chance * distance).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * seen / expected, np.nan)


def _distances(scale: Scale, totals: Floats, numbers: Floats) -> Floats:
    """Squared differences of each two values. On an ordinal scale a value stands at the middle of its ranks, so that
    g from c to k of n_g, less half of both ends, is the distance of two middles."""
    if scale == "nominal":
        return 1.0 - np.eye(len(numbers))[np.newaxis]
    place = np.cumsum(totals, axis=1) - totals / 2 if scale == "ordinal" else numbers[np.newaxis]
    distance: Floats = (place[:, :, np.newaxis] - place[:, np.newaxis, :]) ** 2
    return distance


def _shares(table: Counts) -> tuple[float | None, float | None]:
    sizes = table.sum(axis=1)
    pairs = int((sizes * (sizes - 1) // 2).sum())
    if not pairs:
        return None, None
    equal = int((table * (table - 1) // 2).sum())
    beside = int((table[:, :-1] * table[:, 1:]).sum())
    return equal / pairs, (equal + beside) / pairs


def counts_of(items: NDArray[np.int64], values: NDArray[np.int64], size: int) -> Counts:
    """Rows of (item, value) as counts; values from 0 to `size` − 1."""
    _, at = np.unique(items, return_inverse=True)
    rows = int(at.max()) + 1 if len(at) else 0
    return np.bincount(at * size + values, minlength=rows * size).reshape(rows, size).astype(np.int64)


def quadratic_kappa(table: ArrayLike) -> float | None:
    """Cohen's kappa of two people with quadratic weights (Cohen 1968): counts of values of one × the other.

    None where chance alone would make them agree: both gave one and the same value throughout.
    """
    seen = np.asarray(table, dtype=np.float64)
    n = seen.sum()
    if not n:
        return None
    at = np.arange(len(seen))
    weights = (at[:, np.newaxis] - at[np.newaxis, :]) ** 2
    expected = float((weights * np.outer(seen.sum(axis=1), seen.sum(axis=0))).sum() / n)
    return None if expected == 0 else 1 - float((weights * seen).sum()) / expected


# ---------------------------------------------------------------- who is strict


@dataclass(frozen=True)
class Offset:
    """How much higher somebody rates than the others who rated the same items: mean, in points, over `n` items, with
    its 95 % interval (Student's t). No interval for a single item."""

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def direction(self) -> Literal["strict", "lenient", ""]:
        """Empty where the interval does not exclude that it is chance."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return ""
        return "lenient" if self.mean > 0 else "strict"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "direction": self.direction}


def offset_of(n: int, mean: float, deviation: float | None) -> Offset:
    """Of `n` deviations with this mean and sample standard deviation."""
    from scipy.special import stdtrit

    if n < 2 or deviation is None:
        return Offset(n, mean, None, None)
    half = float(-stdtrit(n - 1, (1 - CONFIDENCE) / 2)) * deviation / math.sqrt(n)
    return Offset(n, mean, mean - half, mean + half)


def offsets(
    items: NDArray[np.int64], raters: NDArray[np.int64], values: NDArray[np.int64]
) -> dict[int, Offset]:
    """By rater: what they gave less the mean of what the item's other raters gave; items of one rater do not count."""
    if not len(items):
        return {}
    _, at = np.unique(items, return_inverse=True)
    sizes, sums = np.bincount(at), np.bincount(at, weights=values)
    shared = sizes[at] >= 2
    at, given = at[shared], values[shared].astype(np.float64)
    people, who = np.unique(raters[shared], return_inverse=True)
    away = given - (sums[at] - given) / (sizes[at] - 1)
    n = np.bincount(who)
    mean = np.bincount(who, weights=away) / n
    squares = np.bincount(who, weights=(away - mean[who]) ** 2)
    return {
        int(person): offset_of(
            int(n[k]), float(mean[k]), math.sqrt(squares[k] / (n[k] - 1)) if n[k] > 1 else None
        )
        for k, person in enumerate(people)
    }


# ---------------------------------------------------------------- each two


@dataclass(frozen=True)
class Pair:
    """Two people, the one with the lower number first, and what both gave to the items that they share."""

    first: int
    second: int
    agreement: Agreement
    kappa: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first, "second": self.second, "kappa": self.kappa, **self.agreement.to_dict()
        }  # fmt: skip


def pairs_of(
    items: NDArray[np.int64], raters: NDArray[np.int64], values: NDArray[np.int64], *, size: int, scale: Scale,
    most: int,
) -> tuple[list[Pair], int]:  # fmt: skip
    """The `most` pairs that share most items, and how many pairs there are."""
    order = np.lexsort((raters, items))
    items, raters, values = items[order], raters[order], values[order]
    found = []
    for step in range(1, len(items)):  # neighbours, then every second one …: as far as the longest item goes
        same = items[step:] == items[:-step]
        if not same.any():
            break
        found.append(np.stack([raters[:-step], raters[step:], values[:-step], values[step:]])[:, same])
    if not found:
        return [], 0
    first, second, given, taken = np.concatenate(found, axis=1)
    people, who = np.unique(np.concatenate([first, second]), return_inverse=True)
    codes, at = np.unique(who[: len(first)] * len(people) + who[len(first) :], return_inverse=True)
    keys = np.stack([people[codes // len(people)], people[codes % len(people)]])
    total = len(codes)
    tables = np.bincount(at * size * size + given * size + taken, minlength=total * size * size)
    tables = tables.reshape(total, size, size)
    chosen = np.argsort(-tables.sum(axis=(1, 2)), kind="stable")[:most]
    return [_pair(int(keys[0, k]), int(keys[1, k]), tables[k], scale) for k in chosen], total


def _pair(first: int, second: int, table: Counts, scale: Scale) -> Pair:
    size = len(table)
    one, other = np.divmod(np.repeat(np.arange(size * size), table.ravel()), size)
    counts = np.zeros((len(one), size), dtype=np.int64)
    np.add.at(counts, (np.arange(len(one)), one), 1)
    np.add.at(counts, (np.arange(len(one)), other), 1)
    return Pair(first, second, krippendorff(counts, scale=scale, raters=2), quadratic_kappa(table))


# ---------------------------------------------------------------- in words


def reading(found: Agreement) -> tuple[Literal["ok", "maybe", "bad", "info"], str, str]:
    """What alpha says: a tone, a word or two, and a sentence."""
    if found.alpha is None:
        return "info", "undefined", f"Undefined: {found.reason}."
    if found.low is None or found.high is None:
        return "info", "too few", f"Too little to judge by: {found.reason}."
    if found.high < TENTATIVE:
        if found.low <= 0:
            return (
                "bad",
                "like chance",
                "Chance alone could agree as much. The question or its points need other words.",
            )
        return (
            "bad",
            "low",
            "Too low to conclude from. Talk through the worst items, then run a calibration round.",
        )
    if found.low >= SOLID:
        return (
            "ok",
            "solid",
            "Reviewers mean the same by these points; one review an item is enough for most uses.",
        )
    if found.low >= TENTATIVE:
        return (
            "ok",
            "usable",
            "Good enough for tentative conclusions; keep more than one review where much depends on it.",
        )
    return (
        "maybe",
        "inconclusive",
        "The interval reaches from too low to usable; more shared items would settle it.",
    )
