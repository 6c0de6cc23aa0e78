"""What a pipeline is told that waits for a release."""

from __future__ import annotations

import pytest

from models_app.foundation.errors import InvalidInput
from models_app.gates import running
from models_app.gates.results import Verdict
from models_app.models import GateRun, Release
from models_app.releases.waiting import REACHED, told, verdict_now, wait_for
from tests import make
from tests.releases import scene as scenes
from tests.releases.scene import scene


@pytest.mark.parametrize("until", REACHED)
def test_every_state_is_told_and_only_what_moves_by_itself_is_waited_for(until: str) -> None:
    on_its_way = {state for state in Release.State.values if told(state, until) is None}
    assert on_its_way == {
        "judged": {"evaluating"},
        "approved": {"evaluating", "awaiting approval"},
        "live": {"evaluating", "awaiting approval", "approved", "warming", *Release.ROLLING_OUT},
    }[until]  # fmt: skip
    for state in (
        "blocked",
        "rejected",
        "expired",
        "withdrawn",
        "failed",
        "rolled back",
        "changes requested",
    ):
        assert told(state, until) == Verdict.FAIL
    assert told("needs evidence", until) == told("draft", until) == Verdict.INCONCLUSIVE
    assert told("live", until) == Verdict.PASS


def test_what_was_superseded_was_judged_and_approved_and_is_not_live() -> None:
    assert [told("superseded", until) for until in ("judged", "approved", "live")] == ["pass", "pass", "fail"]


@pytest.mark.django_db
def test_a_release_that_passes_is_told_at_once_and_the_time_of_another_ends() -> None:
    the = scenes.waiting()
    seen: list[str] = []
    look = lambda release: seen.append(release.state)  # noqa: E731
    assert wait_for(release=the.candidate, until="judged", seconds=0, look=look) == Verdict.PASS
    assert wait_for(release=the.candidate, until="approved", seconds=0.01, look=look) == Verdict.INCONCLUSIVE
    assert seen == ["awaiting approval", "awaiting approval"]


@pytest.mark.django_db
def test_a_block_by_figures_is_a_fail_and_one_by_a_broken_gate_an_error() -> None:
    the = scene(before=0.20, after=0.10)
    the.submitted()
    assert the.candidate.state == "blocked"
    assert wait_for(release=the.candidate, until="live", seconds=0) == Verdict.FAIL
    other = scenes.compared(make.release(decoding={"max_words": 33}), the.live, the.on)
    run = running.start(release=other.candidate.release, comparison=other, actor=None)
    GateRun.objects.filter(pk=run.pk).update(state="failed", reason="It was killed.")
    blocked = make.forced(other.candidate.release, "blocked")
    assert verdict_now(blocked, "judged") == Verdict.ERROR


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e9])
def test_nonsense_is_refused(seconds: float) -> None:
    release = make.release()
    with pytest.raises(InvalidInput, match="seconds"):
        wait_for(release=release, until="live", seconds=seconds)
    with pytest.raises(InvalidInput, match="judged, approved, live"):
        wait_for(release=release, until="done", seconds=1)
