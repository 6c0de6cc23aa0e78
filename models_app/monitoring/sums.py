"""What requests add up to: of a minute, of a day, of any of them together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from models_app.models import RequestRollup
from models_app.monitoring import sketches
from models_app.monitoring.histograms import quantile

MOST_DOMAINS = 200  # of one row; clients may send any
OTHERS = "others"


@dataclass(frozen=True)
class MeanAndDeviation:
    """`deviation` is the sample's (n − 1); both None where there is nothing to average."""

    n: int
    mean: float | None
    deviation: float | None

    @classmethod
    def of_sums(cls, n: int, total: float, squares: float) -> MeanAndDeviation:
        if not n:
            return cls(0, None, None)
        around = max(0, squares - total * total / n)
        return cls(n, total / n, math.sqrt(around / (n - 1)) if n > 1 else None)


@dataclass
class Sums:
    requests: int = 0
    answered: int = 0
    busiest: int = 0
    latency_ms: float = 0.0
    latencies: Counter[int] = field(default_factory=Counter)
    input_words: int = 0
    input_squares: int = 0
    summary_words: int = 0
    summary_squares: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    users: bytes = b""
    sessions: bytes = b""

    @classmethod
    def of_row(cls, row: RequestRollup) -> Sums:
        return cls(
            requests=row.requests, answered=row.answered, busiest=row.busiest, latency_ms=row.latency_ms,
            latencies=Counter({int(bucket): n for bucket, n in row.latencies.items()}),
            input_words=row.input_words, input_squares=int(row.input_squares),
            summary_words=row.summary_words, summary_squares=int(row.summary_squares),
            outcomes=Counter(row.outcomes), domains=Counter(row.domains), flags=Counter(row.flags),
            users=bytes(row.users), sessions=bytes(row.sessions),
        )  # fmt: skip

    def values(self) -> dict[str, Any]:
        """Of a row."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **found,
            "latencies": {str(bucket): n for bucket, n in sorted(self.latencies.items())},
            "input_squares": Decimal(self.input_squares),
            "summary_squares": Decimal(self.summary_squares),
            "domains": dict(_largest(self.domains)),
            "outcomes": dict(self.outcomes),
            "flags": dict(self.flags),
        }

    @property
    def input(self) -> MeanAndDeviation:
        return MeanAndDeviation.of_sums(self.answered, self.input_words, self.input_squares)

    @property
    def summary(self) -> MeanAndDeviation:
        return MeanAndDeviation.of_sums(self.answered, self.summary_words, self.summary_squares)

    def latency(self, share: float) -> float | None:
        return quantile(self.latencies, share)


def total(parts: Iterable[Sums]) -> Sums:
    """Of parts that share no request. The busiest minute is that of one part: parts that share a minute are told so."""
    parts = list(parts)
    whole = Sums()
    for part in parts:
        whole.requests += part.requests
        whole.answered += part.answered
        whole.busiest = max(whole.busiest, part.busiest)
        whole.latency_ms += part.latency_ms
        whole.input_words += part.input_words
        whole.input_squares += part.input_squares
        whole.summary_words += part.summary_words
        whole.summary_squares += part.summary_squares
        for mine, theirs in (
            (whole.latencies, part.latencies), (whole.outcomes, part.outcomes), (whole.domains, part.domains),
            (whole.flags, part.flags),
        ):  # fmt: skip
            mine.update(theirs)  # type: ignore[arg-type]  # each with its own kind of keys
    whole.users = sketches.union_of(part.users for part in parts)
    whole.sessions = sketches.union_of(part.sessions for part in parts)
    return whole


def _largest(domains: Mapping[str, int]) -> Counter[str]:
    ordered = sorted(domains.items(), key=lambda item: (item[0] == OTHERS, -item[1], item[0]))
    kept, rest = Counter(dict(ordered[:MOST_DOMAINS])), ordered[MOST_DOMAINS:]
    if rest:
        kept[OTHERS] += sum(n for _, n in rest)
    return kept
