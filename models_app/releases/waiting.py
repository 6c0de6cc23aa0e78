"""What a pipeline is told that waits for a release: how far it has to come, and what its state says of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from models_app.foundation.errors import InvalidInput
from models_app.gates import running
from models_app.gates.reporting import verdict_of
from models_app.gates.results import Verdict
from models_app.models import Release

#: How far: what each means, and the states that it has reached then.
JUDGED, APPROVED, LIVE = "judged", "approved", "live"
REACHED: Mapping[str, tuple[str, ...]] = {
    JUDGED: ("awaiting approval", "approved", "warming", *Release.ROLLING_OUT, "live", "superseded"),
    APPROVED: ("approved", "warming", *Release.ROLLING_OUT, "live", "superseded"),
    LIVE: ("live",),
}
#: From these nothing comes any more by itself; what was live and is not is no success of who waits for that.
_OVER = (
    "blocked", "changes requested", "rejected", "expired", "withdrawn", "failed", "superseded", "rolled back",
)  # fmt: skip
LONGEST_SECONDS = 7 * 86_400


def told(state: str, until: str) -> Verdict | None:
    """Of a release in that state; None: it is on its way, wait on. Pure.

    Where the gates need evidence, or somebody has to submit it first, waiting brings nothing: that is inconclusive.
    """
    if state in REACHED[until]:
        return Verdict.PASS
    if state in _OVER:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if state in ("draft", "needs evidence") else None


def verdict_now(release: Release, until: str) -> Verdict | None:
    """`told`, and an error where the gates that block it broke instead of finding something."""
    found = told(release.state, until)
    if found == Verdict.FAIL and release.state == "blocked":
        run = running.newest(release)
        if run is None or verdict_of(run, running.outcome(run)) == Verdict.ERROR:
            return Verdict.ERROR
    return found


def wait_for(
    *, release: Release, until: str, seconds: float, look: Callable[[Release], None] = lambda release: None
) -> Verdict:
    """Look once a second until it is told, or inconclusive when the time is over. `look` is called after each change
    of state, with the release as it is then."""
    if until not in REACHED:
        raise InvalidInput(f"A release is waited for until it is {', '.join(REACHED)}.")
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise InvalidInput(f"Wait between 0 and {LONGEST_SECONDS:,} seconds.")
    deadline = time.monotonic() + seconds
    seen = ""
    while True:
        release.refresh_from_db()
        if release.state != seen:
            seen = release.state
            look(release)
        found = verdict_now(release, until)
        if found is not None:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            return Verdict.INCONCLUSIVE
        time.sleep(min(1.0, left))
