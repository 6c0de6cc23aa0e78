"""How often gates are wrong where nothing changed, and how often they see what did: docs/evaluation.md has the table.

    python benchmarks/gate_calibration.py [--studies 1000] [--resamples 500]

Each study draws 1,000 test documents with ROUGE-1, -2, -L and -Lsum before and after (the four correlate by 0.8,
paired differences spread by 10 points) in five domains, three lengths and two languages, and asks the code that pages,
commands and gates ask: the verdict of a comparison, the slices gate, the forgetting gate. Differences are normal; or
lopsided (many small gains, few large losses, mean 0); or half of the documents are the same before and after.

Then people: votes come one after another, a look after each, up to 400 documents; one, two or three judges a document,
ties or none. CPU time is told at the end; one thread.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.special import betaln  # noqa: E402

if TYPE_CHECKING:
    from models_app.gates.results import Verdict

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

DOCUMENTS = 1000
SPREAD = 0.10  # of paired differences, as fractions: ten points
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {}


def shape(draw: Callable[[np.random.Generator, tuple[int, int]], Floats]) -> None:
    SHAPES[draw.__name__] = draw


@shape
def normal(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    return rng.normal(size=size)


@shape
def lopsided(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Mean 0, spread 1: −lognormal."""
    drawn = -rng.lognormal(0, 0.75, size=size)
    mean, variance = -math.exp(0.75**2 / 2), (math.exp(0.75**2) - 1) * math.exp(0.75**2)
    return (drawn - mean) / math.sqrt(variance)


@shape
def half_the_same(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    return rng.normal(size=size) * math.sqrt(2) * (rng.random((size[0], 1)) < 0.5)


def scores(
    rng: np.random.Generator, gain: float, draw: str, documents: int = DOCUMENTS
) -> tuple[Floats, Floats]:
    """Before and after, documents × four metrics. A common part makes them correlate by 0.8."""
    common = SHAPES[draw](rng, (documents, 1))
    own = SHAPES[draw](rng, (documents, 4)) * (common != 0)
    before = rng.uniform(0.2, 0.6, (documents, 4))
    return before, before + gain + SPREAD * (math.sqrt(0.8) * common + math.sqrt(0.2) * own)


@dataclass
class Judge:
    """What one installation asks of a study."""

    resamples: int

    def __post_init__(self) -> None:
        import django

        django.setup()
        from models_app.evaluation.metrics import METRICS
        from models_app.evaluation.slices import Document, slices_of

        rng = np.random.default_rng(11)
        domains = rng.choice(["news", "business", "sport", "health", "science"], DOCUMENTS)
        languages = rng.choice(["en", "fr"], DOCUMENTS, p=[0.8, 0.2])
        lengths = rng.integers(100, 900, DOCUMENTS)
        self.slices = slices_of(
            [
                Document(int(words), {"domain": str(domain), "language": str(language)})
                for words, domain, language in zip(lengths, domains, languages, strict=True)
            ]
        )
        self.metrics = [METRICS[name] for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")]

    def verdict(self, before: Floats, after: Floats, seed: int) -> str:
        """Of a comparison, slices included."""
        from models_app.evaluation.comparing import overall_verdict
        from models_app.evaluation.statistics import compare
        from models_app.evaluation.terms import SLICE_FLOOR

        flat = {name: mask for groups in self.slices.values() for name, mask in groups.items()}
        return overall_verdict(
            compare(
                before, after, self.metrics, slices=flat, slice_floor=SLICE_FLOOR, seed=seed,
                resamples=self.resamples,
            )
        )  # fmt: skip

    def alarms(self, before: Floats, after: Floats, seed: int) -> tuple[bool, bool]:
        """(a slice got worse, a group fell behind): by the slices gate."""
        from models_app.evaluation.slices import judge_slices
        from models_app.gates.results import Verdict
        from models_app.gates.slices import Facts, SlicesPolicy, judge_facts

        section = SlicesPolicy()
        report = judge_slices(
            before[:, 1], after[:, 1], self.metrics[1], self.slices, floor=section.floor, margin=section.margin,
            seed=seed, resamples=self.resamples,
        )  # fmt: skip
        rows = judge_facts(Facts(1, len(before), report), section)
        failed = [row.name for row in rows if row.verdict is Verdict.FAIL]
        behind = sum("least and others" in name for name in failed)
        return len(failed) > behind, behind > 0

    def forgot(self, before: Floats, after: Floats, seed: int) -> Verdict:
        from models_app.evaluation.statistics import compare
        from models_app.gates.forgetting import Beside, Facts, ForgettingPolicy, judge_facts

        section = ForgettingPolicy(test_set=1)
        (result,) = compare(
            before[:, :1], after[:, :1], [self.metrics[1]], margins={"rouge2": section.loss}, seed=seed,
            resamples=self.resamples,
        )  # fmt: skip
        (row,) = judge_facts(Facts(2, 1, True, (Beside("10 approvals ago", 1, "", result),)), section)
        return row.verdict


def share(found: int, of: int) -> str:
    return f"{100 * found / of:.1f} %"


def of_metrics(judge: Judge, studies: int) -> None:
    print(f"{DOCUMENTS:,} documents, {studies:,} studies each, {judge.resamples:,} resamples")
    print(
        "\n| true change | differences | improved | worse | slice alarm | group behind |\n|---|---|---|---|---|---|"
    )
    for gain, draw in ((0.0, "normal"), (0.0, "lopsided"), (0.0, "half_the_same"), (0.01, "normal")):
        rng = np.random.default_rng([5, list(SHAPES).index(draw), int(gain * 1000)])
        verdicts: list[str] = []
        slices = groups = 0
        for seed in range(studies):
            before, after = scores(rng, gain, draw)
            verdicts.append(judge.verdict(before, after, seed))
            worse, behind = judge.alarms(before, after, seed)
            slices, groups = slices + worse, groups + behind
        print(
            f"| {100 * gain:+.1f} | {draw.replace('_', ' ')} | {share(verdicts.count('improved'), studies)} "
            f"| {share(verdicts.count('worse'), studies)} | {share(slices, studies)} | {share(groups, studies)} |"
        )


def of_small_losses(judge: Judge, studies: int) -> None:
    """Ten releases, each 0.4 points worse than the one before."""
    rng = np.random.default_rng(6)
    each = passed = blocked = 0
    for seed in range(studies):
        step = judge.forgot(*scores(rng, -0.004, "normal"), seed)
        whole = judge.forgot(*scores(rng, -0.04, "normal"), seed)
        each += step == "fail"
        passed += step == "pass"
        blocked += whole == "fail"
    print(
        f"\nten releases, each 0.4 points worse: one beside the one before fails in {share(each, studies)} and passes "
        f"in {share(passed, studies)}; beside that of ten approvals ago it fails in {share(blocked, studies)}"
    )


# ---------------------------------------------------------------- people

A = 10.0  # as in models_app/evaluation/people.py; `check` holds them equal
ESTABLISHED = 20.0


def established(won: Counts, lost: Counts) -> NDArray[np.bool_]:
    log = betaln(A + won, A + lost) - betaln(A, A) + (won + lost) * math.log(2)
    return np.asarray(log >= math.log(ESTABLISHED))


def excluded(won: Counts, ties: Counts, lost: Counts, behind: float) -> NDArray[np.bool_]:
    """Whether a net preference of −`behind` is excluded, and the documents lie above it."""
    total = won + ties + lost
    mixture = betaln(A + won, A + lost) - betaln(A, A) + betaln(1 + ties, 1 + won + lost)
    linear = lost * (1 - behind) + won * (1 - 3 * behind) - 2 * ties * behind
    p_won = (linear + np.sqrt(linear**2 + 8 * total * won * behind * (1 - behind))) / (
        4 * np.maximum(total, 1)
    )
    likeliest = sum(
        counts * np.log(np.maximum(p, 1e-300))
        for counts, p in ((won, p_won), (lost, p_won + behind), (ties, 1 - 2 * p_won - behind))
    )
    return np.asarray((mixture - likeliest > math.log(ESTABLISHED)) & (won - lost > -behind * total))


def check(won: Counts, ties: Counts, lost: Counts) -> None:
    """The figures here are those of the code, on looks drawn by chance."""
    from models_app.evaluation.people import e_value, net_interval

    rng = np.random.default_rng(8)
    for _ in range(300):
        study, look = rng.integers(won.shape[0]), rng.integers(won.shape[1])
        w, t, n = int(won[study, look]), int(ties[study, look]), int(lost[study, look])
        one = (np.array([w]), np.array([t]), np.array([n]))
        assert established(one[0], one[2])[0] == (e_value(w, n) >= ESTABLISHED)
        assert excluded(*one, 0.3)[0] == (net_interval(w, t, n)[0] > -0.3), (w, t, n)


def looks(
    rng: np.random.Generator, shares: tuple[float, float, float], judges: int, studies: int, documents: int
) -> tuple[Counts, Counts, Counts]:
    """Documents won, tied and lost after each vote, studies × votes. Votes on a document come in rounds; a document is
    for the side that most of its judges said."""
    votes = rng.choice([1, 0, -1], (studies, judges, documents), p=shares)
    sums = np.cumsum(votes, axis=1)  # of a document after each round
    before = np.concatenate([np.zeros((studies, 1, documents), int), sums[:, :-1]], axis=1)
    first = np.zeros((studies, judges, documents), int)
    first[:, 0] = 1

    def running(side: int) -> Counts:
        now = np.sign(sums) == side
        was = (np.sign(before) == side) & (first == 0)
        return np.cumsum((now.astype(int) - was.astype(int)).reshape(studies, -1), axis=1)

    return running(1), running(0), running(-1)


def of_people(studies: int, documents: int = 400) -> None:
    print(f"\n{studies:,} studies of {documents} documents, a look after each vote\n")
    print(
        "| judges | for after, neither, before | a preference found | for before (FAIL) | 30 net points excluded |"
    )
    print("|---|---|---|---|---|")
    for judges in (1, 2, 3):
        for shares in ((0.5, 0.0, 0.5), (0.3, 0.4, 0.3), (0.35, 0.0, 0.65), (0.2, 0.3, 0.5), (0.6, 0.0, 0.4)):
            rng = np.random.default_rng([9, judges, int(100 * shares[0])])
            some = max(1, studies // judges)
            won, ties, lost = looks(rng, shares, judges, some, documents)
            check(won, ties, lost)
            found = established(won, lost)
            fails = (found & (lost > won)).any(axis=1)
            cleared = excluded(won, ties, lost, 0.3).any(axis=1)
            print(
                f"| {judges} | {', '.join(f'{100 * part:.0f} %' for part in shares)} "
                f"| {share(int(found.any(axis=1).sum()), some)} | {share(int(fails.sum()), some)} "
                f"| {share(int(cleared.sum()), some)} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=500)
    options = parser.parse_args()
    judge = Judge(options.resamples)
    of_metrics(judge, options.studies)
    of_small_losses(judge, options.studies)
    of_people(10 * options.studies)
    print(f"\n{time.process_time():.0f} CPU-s")


if __name__ == "__main__":
    main()
