"""Comparisons in words: what changed, how sure that is, what would settle it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import ALPHA, EVERYTHING, MetricComparison, Verdict
from models_app.texts.figures import DASH, interval, number, signed

MOST_DECIMALS = 6


class Severity(StrEnum):
    """How bad it is that an interval lies wholly on the worse side of zero."""

    WORSE = "worse"
    WITHIN_MARGIN = "within the margin"  # a loss beyond chance, and smaller than the one that counts
    UNCONFIRMED = "not confirmed"  # p, corrected over the slices, does not agree with the interval

    @property
    def in_words(self) -> str:
        return {
            Severity.WORSE: "worse",
            Severity.WITHIN_MARGIN: "worse beyond chance, but within the margin",
            Severity.UNCONFIRMED: "worse by its interval, which the second test does not confirm",
        }[self]


@dataclass(frozen=True)
class Fall:
    """A judged measure that got worse by its interval."""

    result: MetricComparison
    severity: Severity

    @property
    def is_whole(self) -> bool:
        return self.result.slice == EVERYTHING

    @property
    def figures(self) -> Figures:
        return figures_of(self.result, least=2)


class Measured(Protocol):
    """A metric's result on some documents, as it was computed or as it is stored."""

    @property
    def metric(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def before(self) -> float: ...
    @property
    def after(self) -> float: ...
    @property
    def delta(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def mde(self) -> float | None: ...
    @property
    def margin(self) -> float: ...
    @property
    def verdict(self) -> str: ...


@dataclass(frozen=True)
class Figures:
    """A result as every table has it: on pages, in reports, in what commands print."""

    label: str
    n: str
    before: str
    after: str
    difference: str
    interval: str
    margin: str
    detectable: str
    verdict: str


def figures_of(result: Measured, *, least: int = 0) -> Figures:
    """With the metric's own decimals, or `least` where those are fewer."""
    metric = METRICS[result.metric]
    places = max(metric.decimals, least)
    return Figures(
        label=metric.label,
        n=f"{result.n:,}",
        before=number(result.before, places),
        after=number(result.after, places),
        difference=signed(result.delta, places),
        interval=interval(result.low, result.high, _places(metric, result.low, result.high, least=least)),
        margin=number(result.margin, _places(metric, result.margin, least=1)) if result.margin else DASH,
        detectable=number(result.mde, places),
        verdict=str(result.verdict),
    )


def falls(results: Iterable[MetricComparison]) -> list[Fall]:
    """Every judged measure, on all documents or on a slice, whose interval excludes zero on the worse side."""
    return [
        Fall(result, _severity(result))
        for result in results
        if _is_clear_loss(result, METRICS[result.metric])
    ]


def _is_clear_loss(result: MetricComparison, metric: Metric) -> bool:
    if metric.better == "neither" or result.low is None or result.high is None:
        return False
    return result.high < 0 if metric.better == "higher" else result.low > 0


def _severity(result: MetricComparison) -> Severity:
    assert result.low is not None  # nosec B101 (a fall has an interval)
    assert result.high is not None  # nosec B101
    largest_loss = -result.low if METRICS[result.metric].better == "higher" else result.high
    if result.p_adjusted is not None and result.p_adjusted >= ALPHA:
        return Severity.UNCONFIRMED
    return Severity.WITHIN_MARGIN if largest_loss < result.margin else Severity.WORSE


def verdict_in_words(results: Sequence[MetricComparison], *, primary: str) -> str:
    """The primary metric's sentence, then everything that got worse beside it, on all documents and on slices.

    Says that nothing else got worse only where no interval of a judged measure excludes zero on the worse side.
    """
    whole = [result for result in results if result.slice == EVERYTHING]
    first = next(result for result in whole if result.metric == primary)
    found = falls(results)
    on_all = [fall for fall in found if fall.is_whole and fall.result.metric != primary]
    on_slices = [fall for fall in found if not fall.is_whole]
    words = [sentence(first), *_losses(on_all), *_nothing_else(results, primary, on_all, on_slices)]
    words += _losses_on_slices(on_slices, primary)
    thin = [r.slice for r in results if r.metric == primary and r.slice != EVERYTHING and r.low is None]
    if thin:
        names = ", ".join(name.partition(": ")[2] or name for name in thin)
        words.append(f"Too few documents to judge by themselves: {names}.")
    return " ".join(words)


def _losses(on_all: Sequence[Fall]) -> list[str]:
    lines = []
    for severity in Severity:
        of_kind = [_loss(fall) for fall in on_all if fall.severity is severity]
        if of_kind:
            lines.append(f"{severity.in_words.capitalize()}: {'; '.join(of_kind)}.")
    return lines


def _loss(fall: Fall) -> str:
    result, metric = fall.result, METRICS[fall.result.metric]
    places = _places(metric, result.low, result.high, least=2)
    size = f"{number(abs(result.delta), places)}{_unit(metric)}"
    bounds = f"95 % between {number(result.low or 0, places)} and {number(result.high or 0, places)}"
    margin = f"; margin {_margin(metric, result.margin)}" if fall.severity is Severity.WITHIN_MARGIN else ""
    chance = f"; p = {result.p_adjusted:.2f}" if fall.severity is Severity.UNCONFIRMED else ""
    return f"{metric.label} {'rose' if result.delta > 0 else 'fell'} by {size} ({bounds}{margin}{chance})"


def _nothing_else(
    results: Sequence[MetricComparison], primary: str, on_all: Sequence[Fall], on_slices: Sequence[Fall]
) -> list[str]:
    """The denial, as far as it is true."""
    others = [r for r in results if METRICS[r.metric].better != "neither" and r.metric != primary]
    whole = [r for r in others if r.slice == EVERYTHING]
    if whole and all(r.low is None for r in whole):
        return ["No other measure has enough documents to be judged."]
    if on_all or not whole:
        return []
    if on_slices:
        return ["On all documents no other judged measure got worse beyond chance."]
    sliced = any(r.slice != EVERYTHING and r.low is not None for r in results)
    where = ", on all documents or on a slice" if sliced else ""
    return [f"No other judged measure got worse beyond chance{where}."]


def _losses_on_slices(on_slices: Sequence[Fall], primary: str) -> list[str]:
    """Those of the primary metric decide. Those of the others are told: Holm's correction is over the slices of one
    metric, so that among several metrics one in twenty is no limit any more."""
    heads = {
        Severity.WORSE: "orse on slices",
        Severity.WITHIN_MARGIN: "orse beyond chance on slices, but within the margin",
    }
    lines = []
    for decides in (True, False):
        for severity, head in heads.items():
            of_kind = [
                _short_loss(fall)
                for fall in on_slices
                if fall.severity is severity and (fall.result.metric == primary) is decides
            ]
            if of_kind:
                start = "W" if decides else "Beside the decision, not corrected for the number of measures: w"
                lines.append(f"{start}{head}: {'; '.join(of_kind)}.")
    count = sum(fall.severity is Severity.UNCONFIRMED for fall in on_slices)
    if count:
        lines.append(
            f"On slices {count} more interval{'s lie' if count > 1 else ' lies'} on the worse side of zero; corrected "
            f"for the number of slices, {'they are' if count > 1 else 'it is'} within what chance gives."
        )
    return lines


def _short_loss(fall: Fall) -> str:
    result, metric = fall.result, METRICS[fall.result.metric]
    places = _places(metric, result.low, result.high, least=2)
    bounds = ", ".join(number(bound or 0, places) for bound in (result.low, result.high))
    return f"{metric.label} on “{result.slice}” {signed(result.delta, places)} [{bounds}]"


def margins_in_words(margins: Iterable[tuple[Metric, float]]) -> str:
    """What a margin means, and how large those are: for under a table."""
    by_size: dict[str, list[str]] = {}
    for metric, margin in margins:
        if metric.better != "neither" and margin > 0:
            by_size.setdefault(_margin(metric, margin), []).append(metric.label)
    if not by_size:
        return ""
    sizes = "; ".join(f"{', '.join(labels)}: {size}" for size, labels in by_size.items())
    return (
        "Not worse means that a loss of the margin or more is excluded; a smaller loss may be certain all the same. "
        f"Margins: {sizes}."
    )


def _margin(metric: Metric, margin: float) -> str:
    return f"{number(margin, _places(metric, margin, least=1))}{_unit(metric)}"


def _places(metric: Metric, *values: float | None, least: int = 0) -> int:
    """Decimals, so many that nothing but zero is written as zero."""
    places = max(metric.decimals, least)
    while places < MOST_DECIMALS and any(value and round(abs(value), places) == 0 for value in values):
        places += 1
    return places


def sentence(comparison: MetricComparison, metric: Metric | None = None) -> str:
    """One or two sentences: "ROUGE-2 rose by 2.2 points (95 % between 1.3 and 3.1; 300 documents): improved."

    `metric` names a metric outside the catalogue.
    """
    metric = metric or METRICS[comparison.metric]
    where = "" if comparison.slice == EVERYTHING else f" on “{comparison.slice}”"
    if comparison.low is None or comparison.high is None:
        if comparison.verdict is Verdict.NOT_JUDGED:
            return f"{metric.label}{where}: too few documents ({comparison.n}) for an interval."
        return f"{metric.label}{where}: inconclusive, {comparison.reason}."
    change = _change(comparison, metric, comparison.low, comparison.high)
    return f"{metric.label}{where} {change}{_conclusion(comparison, metric)}"


def _change(comparison: MetricComparison, metric: Metric, low: float, high: float) -> str:
    size = number(abs(comparison.delta), metric.decimals)
    if low == high == 0:
        return f"is the same on every one of {_documents(comparison.n)}"
    if float(size.replace(",", "")) == 0:
        moved = "did not move"
    else:
        moved = f"{'rose' if comparison.delta > 0 else 'fell'} by {size}{_unit(metric)}"
    places = _places(metric, low, high)
    bounds = f"{number(low, places)} and {number(high, places)}"
    return f"{moved} (95 % between {bounds}; {_documents(comparison.n)})"


def _conclusion(comparison: MetricComparison, metric: Metric) -> str:
    if comparison.verdict is Verdict.NOT_JUDGED:
        return "."
    if comparison.verdict is Verdict.INCONCLUSIVE:
        return f": inconclusive. {_outlook(comparison, metric)}"
    if comparison.verdict is Verdict.NOT_WORSE and comparison.margin > 0:
        loss = f"{'loss' if metric.better == 'higher' else 'rise'} of {_margin(metric, comparison.margin)} or more"
        if _is_loss_beyond_chance(comparison, metric):
            return f": worse beyond chance, but within the margin, which counts as not worse; a {loss} is excluded."
        return f": not worse, a {loss} is excluded."
    return f": {comparison.verdict}."


def _is_loss_beyond_chance(comparison: MetricComparison, metric: Metric) -> bool:
    certain = comparison.p_adjusted is None or comparison.p_adjusted < ALPHA
    return certain and _is_clear_loss(comparison, metric)


def _outlook(comparison: MetricComparison, metric: Metric) -> str:
    seen = ""
    if comparison.mde is not None:
        seen = f"At this size a difference of {number(comparison.mde, metric.decimals)} is found four times in five"
    if comparison.more_needed is None:
        settle = "no practical number of documents would settle a difference as small as this one"
    else:
        settle = f"about {_rounded(comparison.more_needed)} more documents would settle it"
    joined = f"{seen}; {settle}" if seen else settle
    return f"{joined[0].upper()}{joined[1:]}."


def _documents(n: int) -> str:
    return f"{n:,} document{'' if n == 1 else 's'}"


def _unit(metric: Metric) -> str:
    return " percentage points" if metric.unit == "%" else f" {metric.unit}" if metric.unit else ""


def _rounded(count: int) -> str:
    """Two figures: a projection is not more exact."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"
