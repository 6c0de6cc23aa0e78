"""How often a preference is found, read after every vote: with none, and with true ones of 60, 65 and 70 %.

    python benchmarks/preference_calibration.py [--studies 20000] [--votes 400]

One judge a document, one vote after another, the test of `models_app/evaluation/people.py` after each; beside it what
the same looks do to a sign test and to one that is looked at once, at the end. Then several judges for each document,
whose majority may turn: the first round of all documents, then the second and so on, or all votes in any order; and
judges who agree in half of the cases beyond chance. There the guarantee for single votes does not carry over by
itself, so it is measured.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from scipy.special import betaln  # noqa: E402
from scipy.stats import binom  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As in models_app/evaluation/people.py, which needs Django; a test holds them equal.
A = 10.0
ALPHA = 0.05


def established(won: NDArray[np.int64], lost: NDArray[np.int64]) -> NDArray[np.bool_]:
    log = betaln(A + won, A + lost) - betaln(A, A) + (won + lost) * math.log(2)
    return np.asarray(log >= math.log(1 / ALPHA))


def looks(*, share: float, votes: int, studies: int, seed: int) -> tuple[float, float]:
    """(share of the studies in which a preference was found at some look, the median of votes it took)"""
    won, lost = _studies(share, votes, studies, seed)
    found = established(won, lost)
    when = found.argmax(axis=1)[found.any(axis=1)] + 1
    return float(found.any(axis=1).mean()), float(np.median(when)) if len(when) else math.nan


def sign_tests(*, share: float, votes: int, studies: int, seed: int) -> tuple[float, float]:
    """How often a sign test finds something at some look, and how often where one looks at the end only."""
    won, lost = _studies(share, votes, studies, seed)
    p = 2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5)
    return float((p < ALPHA).any(axis=1).mean()), float((p[:, -1] < ALPHA).mean())


def _studies(
    share: float, votes: int, studies: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    won = np.cumsum(rng.random((studies, votes)) < share, axis=1)
    return won, np.arange(1, votes + 1) - won


def majorities(
    *, judges: int, documents: int, agreeing: float, in_rounds: bool, studies: int, seed: int
) -> float:
    """Share of the studies without a preference in which one was found at some look. `agreeing`: how often a judge says
    what the document's first impression is instead of choosing for themselves."""
    rng = np.random.default_rng(seed)
    false_alarms = 0
    for _ in range(studies):
        impression = rng.choice([-1, 1], documents)
        own = rng.choice([-1, 1], (judges, documents))
        votes = np.where(rng.random((judges, documents)) < agreeing, impression, own).ravel()
        order = np.arange(judges * documents) if in_rounds else rng.permutation(judges * documents)
        sums, steps = np.zeros(documents, int), np.zeros((len(order), 2), int)
        for step, vote in enumerate(order):
            document = vote % documents
            before = sums[document]
            sums[document] += votes[vote]
            after = sums[document]
            steps[step] = int(after > 0) - int(before > 0), int(after < 0) - int(before < 0)
        won, lost = np.cumsum(steps, axis=0).T
        false_alarms += bool(established(won, lost).any())
    return false_alarms / studies


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--votes", type=int, default=400)
    options = parser.parse_args()
    common = {"votes": options.votes, "studies": options.studies, "seed": 1}
    print(
        f"{options.studies:,} studies of {options.votes} votes, one judge a document, a look after each vote"
    )
    for share in (0.5, 0.6, 0.65, 0.7):
        found, median = looks(share=share, **common)
        often, once = sign_tests(share=share, **common)
        print(
            f"true share {share:.0%}: found in {found:.1%}, in the median after {median:.0f} votes; "
            f"a sign test at each look {often:.1%}, at the end only {once:.1%}"
        )
    some = max(1, options.studies // 20)
    print(f"\nno preference, {options.votes} documents of several judges each, {some:,} studies: found in")
    for judges in (2, 3, 5):
        for in_rounds in (True, False):
            for agreeing in (0.0, 0.5):
                rate = majorities(
                    judges=judges, documents=options.votes, agreeing=agreeing, in_rounds=in_rounds, studies=some,
                    seed=2,
                )  # fmt: skip
                print(
                    f"{judges} judges, {'in rounds' if in_rounds else 'in any order'}, "
                    f"{'independent' if not agreeing else 'agreeing in half'}: {rate:.1%}"
                )


if __name__ == "__main__":
    main()
