"""A release on its way to all of the traffic: what is counted, what has to be seen before the next share, and stopping
it. The page of an ended one stays as it was when it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import InvalidInput, Refused
from models_app.models import Release, Rollout, RolloutLook
from models_app.models.releases import Environment
from models_app.releases import fuse
from models_app.rollouts import stepping
from models_app.rollouts.deciding import Act, Step
from models_app.rollouts.looks import ALPHA
from models_app.web import charts
from models_app.web.pages import capability, page_or_fragment

MEASURES = dict(RolloutLook.Measure.choices)
WORDS = {Act.WAIT: "On course", Act.ADVANCE: "On course", Act.HOLD: "On hold", Act.STOP: "Stopping"}
TONES = {Act.WAIT: "ok", Act.ADVANCE: "ok", Act.HOLD: "maybe", Act.STOP: "bad"}


@dataclass(frozen=True)
class Stage:
    """A share of the traffic in the strip of all: done, now, or to come."""

    label: str
    note: str
    state: str


@dataclass(frozen=True)
class MeasureView:
    """One measure's looks: a picture, and the newest in numbers."""

    name: str
    last: RolloutLook | None
    chart: SafeString  # nothing where none was counted
    stops_at: int | None = None

    @property
    def canary_share(self) -> str:
        return _share(self.last.canary_events, self.last.canary_requests) if self.last else "–"

    @property
    def live_share(self) -> str:
        return _share(self.last.concurrent_events, self.last.concurrent_requests) if self.last else "–"

    @property
    def crossed(self) -> bool:
        return (
            self.last is not None
            and self.last.boundary is not None
            and self.last.canary_events >= self.last.boundary
        )


def _share(events: int, requests: int) -> str:
    return f"{events / requests:.1%}".replace("%", " %") if requests else "–"


@require_safe
@capability("view_monitoring")
def rollout(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(
        Rollout.objects.select_related(
            "environment", "policy", "paused_by", "release__model_version", "beside__model_version"
        ),
        pk=pk,
    )
    return page_or_fragment(
        request, "models_app/serving/rollout.html", "models_app/serving/_rollout.html", _context(row)
    )


def _context(row: Rollout) -> dict[str, Any]:
    seen = stepping.see(row)
    over = row.ended_at is not None
    act = seen.decision.act
    weight = 0 if over else seen.step.weight
    live = row.release_id if row.outcome == Rollout.Outcome.LIVE else row.beside_id
    shares = [charts.Share(f"Release {live}, live", 100 - weight, "info")]
    if weight:
        shares.append(charts.Share(f"Release {row.release_id}, canary", weight, "maybe"))
    return {
        "rollout": row,
        "seen": seen,
        "over": over,
        "weight": weight,
        "word": row.get_outcome_display().capitalize() if over else WORDS[act],
        "tone": ("ok" if row.outcome == Rollout.Outcome.LIVE else "bad") if over else TONES[act],
        "bar": charts.stacked_shares(shares, title="Who answers how much of the requests", counts=False),
        "stages": _stages(row, seen),
        "measures": _measures(row),
        "fuse": fuse.fuse_of(row.environment),
        "baking": row.release.state == Release.State.BAKING,
        "can_advance": act in (Act.WAIT, Act.ADVANCE) and not over,
    }


def _stages(row: Rollout, seen: stepping.Seen) -> list[Stage]:
    steps = [Step(**step) for step in seen.section.steps]
    labels = [(f"{step.weight} %", f"{step.requests:,} requests, {step.minutes:,} minutes") for step in steps]
    labels += [("100 %", f"{seen.section.bake_minutes:,} minutes"), ("Live", "")]
    at = len(labels) if row.outcome == Rollout.Outcome.LIVE else row.step
    here = "now" if row.ended_at is None else "bad"
    states = ["done" if number < at else here if number == at else "" for number in range(len(labels))]
    return [Stage(*label, state) for label, state in zip(labels, states, strict=True)]


def _measures(row: Rollout) -> list[MeasureView]:
    rows: dict[str, list[RolloutLook]] = {name: [] for name in ALPHA}
    for look in row.looks.order_by("number"):
        rows[look.measure].append(look)
    return [_measure(MEASURES[name].capitalize(), looks) for name, looks in rows.items()]


def _measure(name: str, looks: list[RolloutLook]) -> MeasureView:
    if not any(look.canary_events or look.boundary for look in looks):
        return MeasureView(name, looks[-1] if looks else None, SafeString(""))
    seen = charts.Series("Counted", [(look.canary_requests, look.canary_events) for look in looks])
    stops = charts.Series("Would stop it", _boundaries(looks))
    chart = charts.line_chart(
        [seen, stops],
        title=f"{name} of the canary at each look, and how many would stop it",
        x_name="requests to the canary",
        width=420,
        height=200,
    )
    boundaries = [boundary for _, boundary in _boundaries(looks)]
    return MeasureView(name, looks[-1], chart, int(boundaries[-1]) if boundaries else None)


def _boundaries(looks: list[RolloutLook]) -> list[tuple[float, float]]:
    """At a look between which and the one before nothing happened none can stop it: as many as before would."""
    found: list[tuple[float, float]] = []
    for look in looks:
        if look.boundary is not None:
            found.append((look.canary_requests, look.boundary))
        elif found:
            found.append((look.canary_requests, found[-1][1]))
    return found


def _acted(request: HttpRequest, pk: int, act: Any, said: str) -> HttpResponse:
    row = get_object_or_404(Rollout, pk=pk)
    try:
        act(row)
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    except Refused as error:
        messages.error(request, error.message)
    else:
        messages.success(request, said)
    return redirect("rollout", pk)


@require_POST
@capability("deploy")
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    def act(row: Rollout) -> None:
        stepping.pause(rollout=row, actor=request.user, reason=request.POST.get("reason", ""))

    return _acted(request, pk, act, "It is paused: it keeps its share and gets no more.")


@require_POST
@capability("deploy")
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    def act(row: Rollout) -> None:
        stepping.resume(rollout=row, actor=request.user)

    return _acted(request, pk, act, "It goes on.")


@require_POST
@capability("deploy")
def advance(request: HttpRequest, pk: int) -> HttpResponse:
    def act(row: Rollout) -> None:
        stepping.advance(rollout=row, actor=request.user)

    return _acted(request, pk, act, "It has its next share.")


@require_POST
@capability("deploy")
def roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    def act(row: Rollout) -> None:
        stepping.roll_back(rollout=row, actor=request.user, reason=request.POST.get("reason", ""))

    return _acted(request, pk, act, "Rolled back: all requests go to what is live.")


@require_POST
@capability("approve_release")
def lift_fuse(request: HttpRequest, environment: str) -> HttpResponse:
    found = get_object_or_404(Environment, name=environment)
    try:
        fuse.lift(environment=found, actor=request.user, reason=request.POST.get("reason", ""))
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    except Refused as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Releases start in {found} again.")
    return redirect("deployments")


urlpatterns = [
    path("fuse/<str:environment>/lift/", lift_fuse, name="fuse_lift"),
    path("<int:pk>/", rollout, name="rollout"),
    path("<int:pk>/pause/", pause, name="rollout_pause"),
    path("<int:pk>/resume/", resume, name="rollout_resume"),
    path("<int:pk>/advance/", advance, name="rollout_advance"),
    path("<int:pk>/roll-back/", roll_back, name="rollout_roll_back"),
]
