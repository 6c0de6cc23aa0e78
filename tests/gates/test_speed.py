"""How fast a release writes and how much memory that takes, beside what it was compared with."""

from __future__ import annotations

import pytest

from models_app.gates.speed import Facts, SpeedPolicy, judge_facts
from models_app.models import EvaluationRun, ExampleScore
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import scene

MB = 2**20


def facts(
    times: float, batches: int = 12, *, after: int | None = 800 * MB, before: int | None = 700 * MB
) -> Facts:
    return Facts([(32, 100.0 * times + i, 100.0 + i) for i in range(batches)], 0, after, before)


def verdicts(found: Facts, policy: SpeedPolicy | None = None) -> dict[str, str]:
    return {row.name: row.verdict.value for row in judge_facts(found, policy or SpeedPolicy())}


@pytest.mark.parametrize(
    ("times", "verdict"), [(0.5, "pass"), (1.0, "pass"), (1.9, "pass"), (2.2, "fail"), (9, "fail")]
)
def test_a_release_is_not_to_be_twice_as_slow(times: float, verdict: str) -> None:
    assert verdicts(facts(times))["time"] == verdict


def test_times_that_vary_much_settle_nothing() -> None:
    uneven = Facts([(32, 100.0 * (1 + 2 * (i % 2)), 100.0) for i in range(6)], 0, MB, MB)
    assert verdicts(uneven)["time"] == "inconclusive"


def test_few_batches_settle_nothing_but_what_is_plain() -> None:
    assert verdicts(facts(1.0, 3))["time"] == "inconclusive"
    assert verdicts(facts(5.0, 3))["time"] == "fail"


@pytest.mark.parametrize("found", [Facts([], 40), Facts([(32, 100.0, 100.0)] * 9, 1)])
def test_documents_that_were_not_timed_settle_nothing(found: Facts) -> None:
    assert verdicts(found)["time"] == "inconclusive"


def test_a_time_of_nothing_is_an_error() -> None:
    assert verdicts(Facts([(32, 100.0, 0.0)] * 9, 0, MB, MB))["time"] == "error"


def test_memory_is_compared_where_both_were_measured() -> None:
    assert verdicts(facts(1.0))["memory beside the baseline"] == "pass"
    assert verdicts(facts(1.0, after=1500 * MB))["memory beside the baseline"] == "fail"
    assert verdicts(facts(1.0, before=None))["memory beside the baseline"] == "inconclusive"


def test_limits_of_their_own_are_asked_for_by_the_policy() -> None:
    policy = SpeedPolicy(times_slower=None, times_memory=None, most_ms=90, most_memory_mb=900)
    assert verdicts(facts(1.0), policy) == {"milliseconds": "fail", "memory": "pass"}
    assert verdicts(Facts([], 3), policy) == {"milliseconds": "inconclusive", "memory": "inconclusive"}
    nothing = SpeedPolicy(times_slower=None, times_memory=None)
    assert (nothing.asks, judge_facts(facts(1.0), nothing)) == (False, [])


@pytest.mark.django_db
def test_it_reads_what_the_evaluations_measured() -> None:
    the = scene()
    run = scenes.judged(the.candidate, the.comparison)
    rows = {row.name: row for row in run.results.filter(gate="speed")}
    assert {name: row.verdict for name, row in rows.items()} == {
        "time": "pass", "memory beside the baseline": "pass",
    }  # fmt: skip
    assert (rows["time"].estimate, rows["time"].n) == (1.0, 20)
    with without_guards(ExampleScore, EvaluationRun):
        ExampleScore.objects.filter(run=the.comparison.candidate).update(latency_ms=900)
        EvaluationRun.objects.update(means={})
    later = scenes.judged(the.candidate, the.comparison)
    assert {row.name: row.verdict for row in later.results.filter(gate="speed")} == {
        "time": "fail", "memory beside the baseline": "inconclusive",
    }  # fmt: skip
