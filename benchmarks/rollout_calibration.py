"""How often a canary is stopped by its looks: one that equals the live release, and one that fails more often.

    script/python benchmarks/rollout_calibration.py [--rollouts 10000]

Simulated rollouts: a tenth of the traffic to the canary, the live release's requests of the day before beside those of
the same time for errors, errors, complaints and wishes by the rates said. Each measure is looked at as in a rollout
(`models_app/rollouts/looks.py`), and stops it where the canary is also worse than the live release at the same time.
Wanted: an equal canary stopped in at most 1.5 %; errors of 5 instead of 1 % stopped within 200 canary requests in at
least 90 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from models_app.rollouts.deciding import CONCURRENT
from models_app.rollouts.looks import ALPHA, Interval, Looking, beside_each, concurrent_p, planned

WEIGHT = 0.1
DAY_BEFORE = 20_000  # requests of the live release
EQUAL = (
    {"errors": 0.01, "complaints": 0.02, "wishes": 0.01},
    {"errors": 0.001, "complaints": 0.002, "wishes": 0.001},
    {"errors": 0.05, "complaints": 0.1, "wishes": 0.05},
)


def stopped_at(canary: dict[str, float], live: dict[str, float], most: int, rng: np.random.Generator) -> int:
    """Canary requests at which a rollout was stopped; 0 where it never was."""
    looking = {name: Looking(ALPHA[name]) for name in live}
    same_time = {name: [0, 0, 0, 0] for name in live}
    earlier = {name: int(rng.binomial(DAY_BEFORE, rate)) for name, rate in live.items()}
    before, used = 0, dict.fromkeys(live, (0, 0))
    for requests in planned(most):
        new = requests - before
        beside = round(new * (1 - WEIGHT) / WEIGHT)
        for name, rate in live.items():
            ours, theirs = int(rng.binomial(new, canary[name])), int(rng.binomial(beside, rate))
            # what people say comes later than the summary: of it none of the day before counts
            now = beside_each(requests, DAY_BEFORE, earlier[name]) if name == "errors" else (0, 0)
            more, more_events = now[0] - used[name][0], now[1] - used[name][1]
            used[name] = now
            found = looking[name].at(Interval(new, ours, beside + more, theirs + more_events))
            counts = same_time[name]
            for place, count in enumerate((new, ours, beside, theirs)):
                counts[place] += count
            if found.crossed and concurrent_p(Interval(*counts)) < CONCURRENT:
                return requests
        before = requests
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=10_000)
    rollouts = parser.parse_args().rollouts
    rng = np.random.default_rng(7)
    worse = EQUAL[0] | {"errors": 0.05}
    ends = [stopped_at(worse, EQUAL[0], 200, rng) for _ in range(rollouts)]
    print(
        f"errors 1 → 5 %: stopped within 200 {sum(map(bool, ends)) / rollouts:.2%} (at least 90 %)",
        flush=True,
    )
    by = Counter(ends)
    reached, total = [], 0
    for requests in planned(200):
        total += by[requests]
        reached.append(f"{requests}: {total / rollouts:.0%}")
    print("  by canary requests: " + ", ".join(reached), flush=True)
    for rates in EQUAL:
        ends = [stopped_at(rates, rates, 1600, rng) for _ in range(rollouts)]
        print(f"equal, {rates}: stopped {sum(map(bool, ends)) / rollouts:.2%} (at most 1.5 %)", flush=True)


if __name__ == "__main__":
    main()
