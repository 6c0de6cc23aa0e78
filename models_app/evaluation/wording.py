"""Comparisons in words: what changed, how sure that is, what would settle it."""

from __future__ import annotations

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import EVERYTHING, MetricComparison, Verdict

MINUS = "\u2212"


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


def headline(comparison: MetricComparison, metric: Metric | None = None) -> str:
    """For a badge or a table's cell: "improved, +2.2 [1.3, 3.1]"."""
    metric = metric or METRICS[comparison.metric]
    delta = signed(comparison.delta, metric.decimals)
    if comparison.low is None or comparison.high is None:
        return f"{comparison.verdict}, {delta}"
    low, high = (number(bound, metric.decimals) for bound in (comparison.low, comparison.high))
    return f"{comparison.verdict}, {delta} [{low}, {high}]"


def number(value: float, decimals: int) -> str:
    """With a proper minus sign and thousands separated; never "-0.0"."""
    text = f"{abs(value):,.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) != 0 else text


def signed(value: float, decimals: int) -> str:
    text = number(value, decimals)
    is_zero = float(text.lstrip(MINUS).replace(",", "")) == 0
    return text if text.startswith(MINUS) or is_zero else f"+{text}"


def _change(comparison: MetricComparison, metric: Metric, low: float, high: float) -> str:
    size = number(abs(comparison.delta), metric.decimals)
    if low == high == 0:
        return f"is the same on every one of {_documents(comparison.n)}"
    if float(size.replace(",", "")) == 0:
        moved = "did not move"
    else:
        moved = f"{'rose' if comparison.delta > 0 else 'fell'} by {size}{_unit(metric)}"
    bounds = f"{number(low, metric.decimals)} and {number(high, metric.decimals)}"
    return f"{moved} (95 % between {bounds}; {_documents(comparison.n)})"


def _conclusion(comparison: MetricComparison, metric: Metric) -> str:
    if comparison.verdict is Verdict.NOT_JUDGED:
        return "."
    if comparison.verdict is Verdict.INCONCLUSIVE:
        return f": inconclusive. {_outlook(comparison, metric)}"
    if comparison.verdict is Verdict.NOT_WORSE and comparison.margin > 0:
        loss = f"{number(comparison.margin, max(metric.decimals, 1))}{_unit(metric)}"
        return (
            f": not worse, a {'loss' if metric.better == 'higher' else 'rise'} of {loss} or more is excluded."
        )
    return f": {comparison.verdict}."


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
