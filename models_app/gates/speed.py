"""How fast the release writes, and how much memory that takes, as its evaluation measured it beside the baseline's.

Both evaluations have the same test documents in the same batches. Documents of a batch take one time, so batches are
what is drawn again for the interval, not documents. Times are those of a job on this machine: what else it did then is
in them, which is why a release may be judged by another comparison, made when it is quiet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import ExampleScore, Slot
from models_app.texts.figures import number
from models_app.texts.needs import Between

NAME = "speed"
LEAST_BATCHES = 5
RESAMPLES = 2_000
MIB = 2**20


@dataclass(frozen=True)
class SpeedPolicy:
    """`times_slower`, `times_memory`: beside what the release was compared with. None asks for nothing."""

    LABELS: ClassVar = {
        "times_slower": "Slower than the baseline, fewer times than",
        "most_ms": "Milliseconds a summary takes, at most",
        "times_memory": "Memory beside the baseline's, fewer times than",
        "most_memory_mb": "Memory in MB, at most",
    }
    HELP: ClassVar = {
        "times_slower": "With its 95 % interval. Nothing: it is not asked for.",
        "most_ms": "In the mean, in the batches of an evaluation. Nothing: it is not asked for.",
        "times_memory": "The most that the process of the evaluation took. Nothing: it is not asked for.",
        "most_memory_mb": "Nothing: it is not asked for.",
    }

    times_slower: Annotated[float | None, Between(1, 100)] = 2.0
    most_ms: Annotated[float | None, Between(0, 600_000, above=True)] = None
    times_memory: Annotated[float | None, Between(1, 100)] = 2.0
    most_memory_mb: Annotated[float | None, Between(0, 10_000_000, above=True)] = None

    @property
    def asks(self) -> bool:
        return any((self.times_slower, self.most_ms, self.times_memory, self.most_memory_mb))


@dataclass(frozen=True)
class Facts:
    """`batches`: (documents, milliseconds a document after, before) of each; memory in bytes, None where it was not
    measured."""

    batches: Sequence[tuple[int, float, float]]
    untimed: int  # documents without a time on either side
    memory_after: int | None = None
    memory_before: int | None = None
    slot_memory: int | None = None  # of what is live, as it serves


def facts_of(judged: Judged) -> Facts:
    comparison = judged.comparison
    after, before = (
        dict(ExampleScore.objects.filter(run=run).values_list("example", "latency_ms"))
        for run in (comparison.candidate, comparison.baseline)
    )
    counts: dict[tuple[float, float], int] = defaultdict(int)
    untimed = 0
    for example, milliseconds in after.items():
        other = before.get(example)
        if milliseconds is None or other is None:
            untimed += 1
        else:
            counts[milliseconds, other] += 1
    slot = Slot.objects.filter(release=comparison.baseline.release_id).first()
    return Facts(
        [(count, new, old) for (new, old), count in counts.items()],
        untimed,
        comparison.candidate.means.get("peak_memory_bytes"),
        comparison.baseline.means.get("peak_memory_bytes"),
        slot.rss_bytes if slot is not None else None,
    )


# ---------------------------------------------------------------- deciding


def judge_facts(facts: Facts, section: SpeedPolicy, *, evidence: str = "") -> list[Result]:
    rows = []
    if section.times_slower is not None:
        rows.append(_slower(facts, section.times_slower, evidence))
    if section.most_ms is not None:
        rows.append(_milliseconds(facts, section.most_ms, evidence))
    if section.times_memory is not None:
        rows.append(_more_memory(facts, section.times_memory, evidence))
    if section.most_memory_mb is not None:
        rows.append(_memory(facts, section.most_memory_mb, evidence))
    return rows


def _slower(facts: Facts, limit: float, evidence: str) -> Result:
    need, method = f"under {number(limit, None)} times the baseline's time", "bootstrap over batches"

    def row(verdict: Verdict, words: str, **figures: float | int | None) -> Result:
        return Result(
            NAME, "time", verdict, words, need, method, threshold=limit, unit="times", evidence=evidence, **figures  # type: ignore[arg-type]
        )  # fmt: skip

    if not facts.batches or facts.untimed:
        return row(Verdict.INCONCLUSIVE, f"{_untimed(facts)} Evaluate both releases again.")
    n = len(facts.batches)
    table = np.array(facts.batches, dtype=np.float64)
    documents, new, old = table.T
    if not (old > 0).all() or not np.isfinite(table).all():
        return row(Verdict.ERROR, "Times of the baseline are no times: zero, or no numbers.")
    ratio = float((documents * new).sum() / (documents * old).sum())
    words = (
        f"A summary took {number(float(np.average(new, weights=documents)), 0)} ms after and "
        f"{number(float(np.average(old, weights=documents)), 0)} ms before, {ratio:.2f} times as long"
    )
    if n < LEAST_BATCHES:
        verdict = Verdict.FAIL if ratio >= 2 * limit else Verdict.INCONCLUSIVE
        return row(verdict, f"{words}; {n} batches are too few for an interval.", estimate=ratio, n=n)
    low, high = _interval(documents, new, old)
    verdict = Verdict.FAIL if low >= limit else Verdict.PASS if high < limit else Verdict.INCONCLUSIVE
    return row(verdict, f"{words}.", estimate=ratio, low=low, high=high, n=n)


def _interval(documents: np.ndarray, new: np.ndarray, old: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng([7, len(documents)])
    chosen = rng.integers(0, len(documents), size=(RESAMPLES, len(documents)))
    ratios = (documents * new)[chosen].sum(axis=1) / (documents * old)[chosen].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def _untimed(facts: Facts) -> str:
    if not facts.batches:
        return "No document was timed in both evaluations."
    return f"{facts.untimed:,} documents were not timed in both evaluations."


def _milliseconds(facts: Facts, limit: float, evidence: str) -> Result:
    need, method = f"at most {number(limit, None)} ms a summary", "mean over the test documents"
    if not facts.batches:
        return Result(
            NAME, "milliseconds", Verdict.INCONCLUSIVE, _untimed(facts), need, method, threshold=limit, unit="ms",
            evidence=evidence,
        )  # fmt: skip
    documents, new, _ = np.array(facts.batches, dtype=np.float64).T
    mean = float(np.average(new, weights=documents))
    return Result(
        NAME, "milliseconds", Verdict.PASS if mean <= limit else Verdict.FAIL,
        f"A summary took {number(mean, 0)} ms.", need, method, estimate=mean, threshold=limit,
        n=int(documents.sum()), unit="ms", evidence=evidence,
    )  # fmt: skip


def _more_memory(facts: Facts, limit: float, evidence: str) -> Result:
    need, method = (
        f"under {number(limit, None)} times the baseline's memory",
        "largest of the evaluation's process",
    )
    after, before = facts.memory_after, facts.memory_before
    if not after or not before:
        return Result(
            NAME, "memory beside the baseline", Verdict.INCONCLUSIVE,
            "Memory was not measured in both evaluations. Evaluate both releases again.", need, method,
            threshold=limit, unit="times", evidence=evidence,
        )  # fmt: skip
    served = f" As it serves, the baseline takes {_mb(facts.slot_memory)}." if facts.slot_memory else ""
    return Result(
        NAME, "memory beside the baseline", Verdict.PASS if after / before < limit else Verdict.FAIL,
        f"It took {_mb(after)} after and {_mb(before)} before.{served}", need, method, estimate=after / before,
        threshold=limit, n=1, unit="times", evidence=evidence,
    )  # fmt: skip


def _memory(facts: Facts, limit: float, evidence: str) -> Result:
    need, method = f"at most {number(limit, 0)} MB", "largest of the evaluation's process"
    if not facts.memory_after:
        return Result(
            NAME, "memory", Verdict.INCONCLUSIVE, "Memory was not measured. Evaluate the release again.", need, method,
            threshold=limit, unit="MB", evidence=evidence,
        )  # fmt: skip
    taken = facts.memory_after / MIB
    return Result(
        NAME, "memory", Verdict.PASS if taken <= limit else Verdict.FAIL, f"It took {_mb(facts.memory_after)}.", need,
        method, estimate=taken, threshold=limit, n=1, unit="MB", evidence=evidence,
    )  # fmt: skip


def _mb(count: int) -> str:
    return f"{number(count / MIB, 0)} MB"


def _judge(judged: Judged) -> list[Result]:
    evidence = f"comparison:{judged.comparison.pk}"
    return judge_facts(facts_of(judged), judged.policy.speed, evidence=evidence)


GATE = Gate(NAME, "Speed and memory", _judge, waivable=True, applies=lambda policy: policy.speed.asks)
