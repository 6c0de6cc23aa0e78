"""What a request led to, step by step, from what answers it to the release that went live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from models_app.models import Release
from reviews.models import ImprovementRequest

ENDED = (
    Release.State.REJECTED, Release.State.WITHDRAWN, Release.State.EXPIRED, Release.State.FAILED,
    Release.State.ROLLED_BACK,
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """`state` is "done", "now", "to come" or "ended"."""

    label: str
    state: str
    words: str = ""
    kind: str = ""  # what it leads to: a training run, a prompt version, a release
    pk: int | None = None
    at: datetime | None = None


def releases_of(request: ImprovementRequest) -> list[Release]:
    """With what answers it, the newest first."""
    answered = Q()
    if request.training_run_id is not None:
        answered = Q(model_version__training_run=request.training_run_id)
    elif request.prompt_version_id is not None:
        answered = Q(prompt_version=request.prompt_version_id)
    else:
        return []
    return list(Release.objects.filter(answered).order_by("-pk")[:20])


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
