"""Is after better than before, or is it noise? Paired statistics over documents.

Each document is scored before and after; what counts is the difference. Resampling documents (Koehn 2004) gives the
interval, swapping before and after at random (Noreen 1989) gives p, and a verdict of *improved* or *worse* needs
both to agree. If before and after are drawn alike, one comparison in forty comes out as improved, and one as worse.
(If only their means agree and the differences are very lopsided, such as many small gains against a few large
losses, that share was 4 to 9 % below 50 documents and 3.5 % at 200; no method tried does better throughout.)

Percentiles of a bootstrap are too narrow for few documents; they are widened as Hesterberg (2015, section 3.2) has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models_app.evaluation.metrics import Better, Metric

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

ALPHA = 0.05
POWER = 0.8
MINIMUM_DOCUMENTS = 10
RESAMPLES = 10_000
EVERYTHING = "all"

_BLOCK = 1 << 17  # numbers in work at a time: what fits into the cache
_STRIP = 8
_HOPELESS = 10_000_000  # documents; more than that settles nothing in practice


class Verdict(StrEnum):
    IMPROVED = "improved"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged"  # a metric of which neither more nor less is better


@dataclass(frozen=True)
class MetricComparison:
    """One metric on one slice, in shown units. `low` and `high` bound the mean difference with 95 % confidence.

    `p` is two-sided; `p_adjusted` is after Holm's correction over the slices of the metric (the whole is no slice) and
    is what the verdict uses. `mde` is the smallest true difference found with 80 % power at this n. `wins` and
    `losses` count documents that got better and worse (greater and smaller where neither is better). `more_needed` is
    how many further documents would settle an inconclusive verdict if the difference stays what it is; None: out of
    reach. Interval, p and mde are None below MINIMUM_DOCUMENTS, and on slices below the floor that was asked for.
    """

    metric: str
    slice: str
    n: int
    before: float
    after: float
    before_sd: float | None
    after_sd: float | None
    delta: float
    delta_sd: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    mde: float | None
    margin: float
    wins: int
    losses: int
    ties: int
    verdict: Verdict
    reason: str = ""
    more_needed: int | None = None


#: What a comparison keeps of a result.
STORED = (
    "metric", "slice", "n", "before", "after", "delta", "low", "high", "p", "mde", "margin", "verdict", "more_needed",
)  # fmt: skip


def from_stored(row: Mapping[str, Any]) -> MetricComparison:
    """A result as a comparison keeps it, in a table or a report; the spreads and counts that are not kept are None
    and 0."""
    kept = ("metric", "slice", "n", "before", "after", "delta", "low", "high", "mde", "margin", "more_needed")
    return MetricComparison(
        **{name: row[name] for name in kept},
        p=None,
        p_adjusted=row["p"],
        verdict=Verdict(row["verdict"]),
        before_sd=None,
        after_sd=None,
        delta_sd=None,
        wins=0,
        losses=0,
        ties=0,
        reason="",
    )


def compare(
    before: Floats,
    after: Floats,
    metrics: Sequence[Metric],
    *,
    slices: Mapping[str, Mask] | None = None,
    margins: Mapping[str, float] | None = None,
    slice_floor: int = MINIMUM_DOCUMENTS,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[MetricComparison]:
    """Every metric on all documents, then on each slice.

    `before` and `after` are stored values, one row a document (the same in both), one column a metric; NaN leaves a
    document out of that metric. `slices` are masks over the documents, `margins` (shown units) override those of the
    metrics. A slice of fewer than `slice_floor` documents has no verdict of its own and no part in Holm's correction.
    Intervals depend on `seed` and on the documents of a slice, not on what else is asked for.
    """
    slices = slices or {}
    in_slices = compare_slices(
        before,
        after,
        metrics,
        slices,
        margins=margins,
        slice_floor=slice_floor,
        seed=seed,
        resamples=resamples,
    )
    before, after, metrics = _shown(before, after, metrics, margins)
    everything = [
        _judged(row, metric, 1, MINIMUM_DOCUMENTS)
        for row, metric in zip(
            _measured(before, after, metrics, EVERYTHING, seed, resamples), metrics, strict=True
        )
    ]
    return everything + in_slices


def compare_slices(
    before: Floats,
    after: Floats,
    metrics: Sequence[Metric],
    slices: Mapping[str, Mask],
    *,
    margins: Mapping[str, float] | None = None,
    slice_floor: int = MINIMUM_DOCUMENTS,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[MetricComparison]:
    """`compare` without all documents, whose resamples take as long as those of a whole field of slices."""
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    _check(before, after, metrics, slices, resamples)
    before, after, metrics = _shown(before, after, metrics, margins)
    floor = max(slice_floor, MINIMUM_DOCUMENTS)
    in_slices = [
        _measured(before[mask], after[mask], metrics, name, seed, resamples, floor)
        for name, mask in slices.items()
    ]
    columns = [
        [_judged(row, metric, len(slices), floor) for row in _holm(list(column))]
        for metric, column in zip(metrics, zip(*in_slices, strict=True), strict=False)
    ]
    return [row for rows in zip(*columns, strict=True) for row in rows]


def _shown(
    before: Floats, after: Floats, metrics: Sequence[Metric], margins: Mapping[str, float] | None
) -> tuple[Floats, Floats, list[Metric]]:
    """In shown units, the metrics with these margins."""
    scales = np.array([metric.scale for metric in metrics])
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return before * scales, after * scales, _with_margins(metrics, margins or {})


def _check(
    before: Floats, after: Floats, metrics: Sequence[Metric], slices: Mapping[str, Mask], resamples: int
) -> None:
    if before.shape != after.shape or before.ndim != 2 or before.shape[1] != len(metrics):
        raise ValueError(
            f"before {before.shape} and after {after.shape} must both be documents × {len(metrics)} metrics"
        )
    if np.isinf(before).any() or np.isinf(after).any():
        raise ValueError("scores must be finite numbers, or NaN for a missing one")
    if resamples < 100:
        raise ValueError(f"{resamples} resamples are too few; take at least 100")
    for name, mask in slices.items():
        if name == EVERYTHING:
            raise ValueError(f"a slice can't be called {EVERYTHING!r}")
        if mask.shape != before.shape[:1] or mask.dtype != np.bool_:
            raise ValueError(f"slice {name!r} must be a mask over {len(before)} documents")


def _with_margins(metrics: Sequence[Metric], margins: Mapping[str, float]) -> list[Metric]:
    unknown = set(margins) - {metric.key for metric in metrics}
    if unknown:
        raise ValueError(f"margins for metrics that are not compared: {', '.join(sorted(unknown))}")
    return [replace(metric, margin=margins.get(metric.key, metric.margin)) for metric in metrics]


def _measured(
    before: Floats,
    after: Floats,
    metrics: Sequence[Metric],
    name: str,
    seed: int,
    resamples: int,
    floor: int = MINIMUM_DOCUMENTS,
) -> list[MetricComparison]:
    """All but the verdicts. Metrics that the same documents have share their resamples."""
    present = ~(np.isnan(before) | np.isnan(after))
    patterns: dict[bytes, list[int]] = {}
    for column in range(len(metrics)):
        patterns.setdefault(present[:, column].tobytes(), []).append(column)
    found: dict[int, MetricComparison] = {}
    for columns in patterns.values():
        rows = present[:, columns[0]]
        old, new = before[rows][:, columns], after[rows][:, columns]
        bounds: list[tuple[float, float, float] | tuple[None, None, None]] = [(None, None, None)] * len(
            columns
        )
        if len(old) >= floor:
            stream = [seed, *name.encode()]
            lows, highs = bootstrap_interval(new - old, np.random.default_rng([1, *stream]), resamples)
            chances = swap_p(new - old, np.random.default_rng([2, *stream]), resamples)
            bounds = list(zip(lows.tolist(), highs.tolist(), chances.tolist(), strict=True))
        for place, column in enumerate(columns):
            found[column] = _row(metrics[column], name, old[:, place], new[:, place], *bounds[place])
    return [found[column] for column in range(len(metrics))]


def _row(
    metric: Metric,
    name: str,
    old: Floats,
    new: Floats,
    low: float | None,
    high: float | None,
    p: float | None,
) -> MetricComparison:
    n = len(old)
    was, became, difference = describe(old), describe(new), describe(new - old)
    sign = -1 if metric.better == "lower" else 1
    wins, losses = int((sign * (new - old) > 0).sum()), int((sign * (new - old) < 0).sum())
    return MetricComparison(
        metric=metric.key,
        slice=name,
        n=n,
        before=was.mean,
        after=became.mean,
        before_sd=was.sd,
        after_sd=became.sd,
        delta=difference.mean,
        delta_sd=difference.sd,
        low=low,
        high=high,
        p=p,
        p_adjusted=p,
        mde=None if low is None or difference.sd is None else detectable_difference(sd=difference.sd, n=n),
        margin=metric.margin,
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        verdict=Verdict.NOT_JUDGED,
    )


# Verdicts


def verdict(*, low: float, high: float, p: float, better: Better, margin: float = 0.0) -> Verdict:
    """Improved: the interval is clear of zero on the good side and p agrees. Not worse: a loss of `margin` or more is
    excluded, even if a smaller loss is certain. Worse: clear of zero on the bad side. Else inconclusive.
    """
    if better == "neither":
        return Verdict.NOT_JUDGED
    worst, best = (low, high) if better == "higher" else (-high, -low)
    if worst > 0 and p < ALPHA:
        return Verdict.IMPROVED
    if worst > -margin or worst == best == 0:
        return Verdict.NOT_WORSE
    if best < 0 and p < ALPHA:
        return Verdict.WORSE
    return Verdict.INCONCLUSIVE


def _judged(row: MetricComparison, metric: Metric, tests: int, floor: int) -> MetricComparison:
    if metric.better == "neither":
        return row
    if row.low is None or row.high is None or row.p_adjusted is None or row.delta_sd is None:
        documents = f"only {row.n} document{'s' if row.n > 1 else ''}" if row.n else "no document"
        return replace(
            row,
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{documents} to compare; at least {floor} are needed",
            more_needed=floor - row.n,
        )
    found = verdict(low=row.low, high=row.high, p=row.p_adjusted, better=metric.better, margin=metric.margin)
    if found is not Verdict.INCONCLUSIVE:
        return replace(row, verdict=found)
    gain = row.delta if metric.better == "higher" else -row.delta
    needed = documents_to_settle(gain=gain, sd=row.delta_sd, margin=metric.margin, tests=tests)
    return replace(
        row,
        verdict=found,
        reason="the difference is within what chance gives",
        more_needed=None if needed is None else max(1, needed - row.n),
    )


def documents_to_settle(*, gain: float, sd: float, margin: float = 0.0, tests: int = 1) -> int | None:
    """Documents at which a difference like this is found, or a loss of `margin` excluded, with 80 % power.

    A projection: it takes the difference seen so far for the true one. None: more than ten million.
    """
    shifts = [abs(gain)] + ([gain + margin] if margin > 0 and gain + margin > 0 else [])
    needed = [documents_needed(difference=shift, sd=sd, tests=tests) for shift in shifts if shift > 0]
    smallest = min(needed, default=_HOPELESS + 1)
    return smallest if smallest <= _HOPELESS else None


def _holm(rows: list[MetricComparison]) -> list[MetricComparison]:
    tested = [row.p for row in rows if row.p is not None]
    adjusted = iter(holm(tested))
    return [row if row.p is None else replace(row, p_adjusted=next(adjusted)) for row in rows]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): compare each with ALPHA."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


# Groups


@dataclass(frozen=True)
class Gap:
    """How much more, or less, a group gained than the other groups of its field: the difference between the two mean
    changes, in shown units. The bounds of all gaps that were computed together hold at once with 95 % confidence."""

    group: str
    n: int
    others: int
    delta: float
    low: float
    high: float


def gaps(changes: Floats, groups: Mapping[str, Mask], *, among: int = 1) -> list[Gap]:
    """Each group beside all others of these groups together. `changes`: after minus before, one a document; groups
    need two documents and something to be set beside, else they are left out. `among`: so many gaps are looked at in
    all, which the bounds allow for (Bonferroni). Two independent samples of unequal spread: Welch 1947."""
    everybody = np.logical_or.reduce(list(groups.values())) if groups else np.zeros(len(changes), bool)
    found = []
    for name, mask in groups.items():
        inside, outside = changes[mask], changes[everybody & ~mask]
        if len(inside) < 2 or len(outside) < 2:
            continue
        half = _welch_half(inside, outside, ALPHA / max(1, among))
        delta = float(inside.mean() - outside.mean())
        found.append(Gap(name, len(inside), len(outside), delta, delta - half, delta + half))
    return found


def _welch_half(one: Floats, other: Floats, alpha: float) -> float:
    from scipy.special import stdtrit

    parts = [float(values.var(ddof=1)) / len(values) for values in (one, other)]
    spread = sum(parts)
    if spread == 0:
        return 0.0
    freedom = spread**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True)
    )
    return float(-stdtrit(freedom, alpha / 2)) * math.sqrt(spread)


# Resampling


def bootstrap_interval(
    differences: Floats, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Bounds of the mean of each column, 95 %, all columns on the same resampled documents."""
    from scipy.special import ndtr, stdtrit

    n = len(differences)
    means = np.empty((resamples, differences.shape[1]))
    for start, stop in _blocks(n, resamples):
        chosen = rng.integers(0, n, size=(stop - start, n))
        chosen += np.arange(0, (stop - start) * n, n)[:, np.newaxis]
        times = np.bincount(chosen.ravel(), minlength=(stop - start) * n).reshape(-1, n)
        _products(times, differences, out=means[start:stop])
    means /= n
    # Hesterberg's widening: as if the percentiles were those of t, and the spread had n − 1 in it.
    tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, ALPHA / 2)))
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    constant = np.ptp(differences, axis=0) == 0  # else rounding would make a sure thing of nothing
    return np.where(constant, differences[0], low), np.where(constant, differences[0], high)


def swap_p(differences: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Two-sided p of each column: how often swapping before and after at random gives as large a mean difference."""
    n = len(differences)
    total = differences.sum(axis=0)
    kept = np.empty((resamples, differences.shape[1]))
    edge = np.abs(total) - 1e-9 * np.abs(differences).sum(axis=0)
    for start, stop in _blocks(n, resamples):
        bits = rng.integers(0, 256, size=(stop - start, (n + 7) // 8), dtype=np.uint8)
        _products(np.unpackbits(bits, axis=1, count=n), differences, out=kept[start:stop])
    reached = (np.abs(2 * kept - total) >= edge).sum(axis=0)
    return (reached + 1) / (resamples + 1)


def _products(weights: NDArray[np.integer], values: Floats, out: Floats) -> None:
    """A matrix product in strips so thin that BLAS keeps to one thread: several, on a busy machine, wait for each
    other most of the time (seven times the CPU time was measured)."""
    for start in range(0, len(weights), _STRIP):
        out[start : start + _STRIP] = weights[start : start + _STRIP].astype(np.float64) @ values


def _blocks(n: int, resamples: int) -> list[tuple[int, int]]:
    size = max(1, _BLOCK // n)
    return [(start, min(start + size, resamples)) for start in range(0, resamples, size)]


# Power


def detectable_difference(*, sd: float, n: int) -> float:
    """The true mean difference that n paired documents find with 80 % power, two-sided at 5 %."""
    from scipy.special import stdtrit

    return float(-stdtrit(n - 1, ALPHA / 2) + stdtrit(n - 1, POWER)) * sd / math.sqrt(n)


def documents_needed(*, difference: float, sd: float, tests: int = 1) -> int:
    """Paired documents that find a true mean difference with 80 % power; `tests`: Bonferroni's share of the 5 %."""
    from scipy.special import ndtri

    if difference <= 0:
        raise ValueError("the difference to be found must be greater than zero")
    normal = float(-ndtri(ALPHA / 2 / tests) + ndtri(POWER))
    return max(MINIMUM_DOCUMENTS, math.ceil((normal * sd / difference) ** 2))


# Description


@dataclass(frozen=True)
class Description:
    n: int
    mean: float  # NaN where there is nothing
    sd: float | None  # of the sample, n − 1; None for fewer than two


def describe(values: Sequence[float] | Floats) -> Description:
    array = np.asarray(values, dtype=np.float64)
    n = array.size
    return Description(n, float(array.mean()) if n else math.nan, float(array.std(ddof=1)) if n > 1 else None)


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) where nothing was counted."""
    from scipy.special import ndtri

    if not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is no share")
    if not total:
        return 0.0, 1.0
    z = float(-ndtri(ALPHA / 2))
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


# Slices


def slices_by_label(labels: Sequence[str], name: str) -> dict[str, Mask]:
    """A slice for each label, called "name: label"; documents without a label are in none."""
    array = np.array(labels, dtype=np.str_)
    return {f"{name}: {label}": array == label for label in sorted(set(labels)) if label}


def slices_by_length(words: Sequence[int], name: str = "source") -> dict[str, Mask]:
    """Shortest, middle and longest third by word count; a third without documents is left out."""
    counts = np.asarray(words)
    if not counts.size:
        return {}
    first, second = (int(bound) for bound in np.quantile(counts, [1 / 3, 2 / 3], method="lower"))
    thirds = {
        f"{name}: up to {first} words": counts <= first,
        f"{name}: {first + 1} to {second} words": (counts > first) & (counts <= second),
        f"{name}: over {second} words": counts > second,
    }
    return {label: mask for label, mask in thirds.items() if mask.any()}
