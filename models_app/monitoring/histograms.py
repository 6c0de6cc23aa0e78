"""Latencies counted in buckets, each 2 % wider than the one before: a quantile read from them is within 1 % of a
latency that was measured. Buckets of any two counts add up, which quantiles do not.

The idea is DDSketch's (Masson, Rim and Lee, VLDB 2019); the buckets here are never collapsed, since a second and an
hour are 413 of them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

GROWTH = 1.02
LEAST_MS = 0.01  # faster ones count as this


def bucket_of(milliseconds: float) -> int:
    return math.floor(math.log(max(milliseconds, LEAST_MS)) / math.log(GROWTH))


def middle_of(bucket: int) -> float:
    """Milliseconds; no latency of the bucket is more than 1 % away."""
    return 2 * GROWTH ** (bucket + 1) / (1 + GROWTH)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Milliseconds below which `share` (0–1) of them are; None where there are none."""
    total = sum(counts.values())
    if not total:
        return None
    rank, passed = share * (total - 1), 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed > rank:
            return middle_of(bucket)
    raise AssertionError("unreachable")
