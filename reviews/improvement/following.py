"""What a request led to, step by step, from what answers it to the release that went live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from models_app.models import Release
from reviews.models import ImprovementRequest

ENDED = (
    Release.State.REJECTED, Release.State.WITHDRAWN, Release.State.EXPIRED, Release.State.FAILED,
    Release.State.ROLLED_BACK,
)  # fmt: skip
MOST_RELEASES = 20  # of one request


@dataclass(frozen=True)
class Step:
    """`state` is "done", "now", "to come" or "ended"."""

    label: str
    state: str
    words: str = ""
    kind: str = ""  # what it leads to: a training run, a prompt version, a release
    pk: int | None = None
    at: datetime | None = None


def releases_of(asked: Iterable[ImprovementRequest]) -> dict[int, list[Release]]:
    """By request, those with what answers it, the newest first. At most 1 query."""
    answers = {row.pk: (row.training_run_id, row.prompt_version_id) for row in asked}
    runs = {run for run, _ in answers.values() if run is not None}
    versions = {version for _, version in answers.values() if version is not None}
    found: defaultdict[tuple[int | None, int | None], list[Release]] = defaultdict(list)
    if runs or versions:
        releases = (
            Release.objects.filter(Q(model_version__training_run__in=runs) | Q(prompt_version__in=versions))
            .defer("evidence")
            .annotate(run=F("model_version__training_run"))
        )
        for release in releases.order_by("-pk"):
            found[release.run, None].append(release)
            found[None, release.prompt_version_id].append(release)
    return {
        pk: found[answer][:MOST_RELEASES] if answer != (None, None) else [] for pk, answer in answers.items()
    }


def steps(request: ImprovementRequest, releases: Sequence[Release]) -> list[Step]:
    found = [Step("Asked for", "done", at=request.opened_at)]
    if request.state in (ImprovementRequest.State.DECLINED, ImprovementRequest.State.WITHDRAWN):
        return [*found, Step(request.state.capitalize(), "ended", request.decision, at=request.decided_at)]
    if request.state == ImprovementRequest.State.OPEN:
        return [*found, Step("Decision", "now"), Step("Answer", "to come"), Step("Release", "to come")]
    found.append(Step("Accepted", "done", request.decision, at=request.decided_at))
    found.append(_answer(request))
    return [*found, _release(releases)]


def _answer(request: ImprovementRequest) -> Step:
    run, version = request.training_run, request.prompt_version
    if run is not None:
        over = {"succeeded": "done", "failed": "ended", "cancelled": "ended"}
        return Step(f"Training run {run.pk}", over.get(run.state, "now"), run.state, "training_run", run.pk)
    if version is not None:
        return Step(f"Prompt {version}", "done", "", "prompt_version", version.pk, version.created_at)
    return Step("Answer", "now", "Nothing answers it yet.")


def _release(releases: Sequence[Release]) -> Step:
    """The one that came farthest: live ones first, then those on their way, then the last that ended."""
    if not releases:
        return Step("Release", "to come")
    lived = [one for one in releases if one.state in (Release.State.LIVE, Release.State.SUPERSEDED)]
    going = [one for one in releases if one.state not in ENDED]
    one = (lived or going or list(releases))[0]
    state = "done" if lived else "now" if going else "ended"
    return Step(f"Release {one.pk}", state, one.state, "release", one.pk, one.submitted_at or one.created_at)
