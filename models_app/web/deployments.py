"""What is live, who was live when, how the slots stand; rolling back and stopping what warms up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.models import Deployment, Release, Rollout
from models_app.models.releases import PRODUCTION, Environment
from models_app.releases.deploying import as_of, roll_back, stop_warming
from models_app.releases.fuse import fuse_of
from models_app.releases.obstacles import end_holder
from models_app.rollouts.stepping import Seen, see
from models_app.serving.state import serving_state
from models_app.texts.normalise import row_number
from models_app.web.pages import capability, page_or_fragment, paginate

PAST = 5  # rollouts that are shown


@require_safe
@capability("view_monitoring")
def deployments(request: HttpRequest) -> HttpResponse:
    state = serving_state()
    history = Deployment.objects.filter(environment=state.environment).select_related(
        "release__model_version", "release__prompt_version__prompt", "started_by", "ended_by"
    )
    context: dict[str, Any] = {
        "state": state,
        "page": paginate(request, history, 25),
        "rollout": _rollout(state.environment),
        "past": Rollout.objects.filter(environment=state.environment, ended_at__isnull=False)
        .select_related("release", "beside")
        .order_by("-ended_at")[:PAST],
        "fuse": fuse_of(state.environment),
        **_asked_for(request, state.environment),
    }
    return page_or_fragment(
        request, "models_app/serving/deployments.html", "models_app/serving/_deployments.html", context
    )


def _rollout(environment: Environment) -> Seen | None:
    """The one that goes on."""
    rows = Rollout.objects.select_related("environment", "policy", "release", "beside")
    found = rows.filter(environment=environment, ended_at=None).first()
    return None if found is None else see(found)


def _asked_for(request: HttpRequest, environment: Environment) -> dict[str, Any]:
    """What was live at `?at=`, where somebody asks."""
    raw = request.GET.get("at", "").strip()
    if not raw:
        return {"at": ""}
    moment = _moment(raw)
    if moment is None:
        return {"at": raw, "at_error": "Write a date and a time, such as 2026-11-24 09:30."}
    return {"at": raw, "moment": moment, "then": as_of(environment=environment, at=moment)}


def _moment(raw: str) -> datetime | None:
    try:
        moment = parse_datetime(raw)
    except ValueError:
        return None
    if moment is not None and timezone.is_naive(moment):
        return timezone.make_aware(moment)
    return moment


@require_POST
@capability("deploy")
def go_back(request: HttpRequest) -> HttpResponse:
    """To the release that the page named on its button."""
    environment = Environment.objects.get(name=PRODUCTION)
    try:
        deployment = roll_back(
            environment=environment,
            actor=request.user,
            reason=request.POST.get("reason", ""),
            expected=row_number(request.POST.get("live", "")),
            to=row_number(request.POST.get("to", "")),
        )
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    except Unavailable as error:  # the page names who holds it up, with a button
        messages.error(request, error.message)
    else:
        messages.success(request, f"Rolled back: release {deployment.release_id} is live again.")
    return redirect("deployments")


@require_POST
@capability("deploy")
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    release = get_object_or_404(Release, pk=pk)
    try:
        stop_warming(release=release, actor=request.user, reason=request.POST.get("reason", ""))
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    else:
        messages.success(
            request, f"The deployment of release {release.pk} is stopped; what is live stays live."
        )
    return redirect("deployments")


@require_POST
@capability("deploy")
def end_session(request: HttpRequest, pid: int) -> HttpResponse:
    try:
        end_holder(pid=pid, actor=request.user, reason=request.POST.get("reason", ""))
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    else:
        messages.success(request, f"Session {pid} of the database is ended.")
    return redirect("deployments")


urlpatterns = [
    path("", deployments, name="deployments"),
    path("roll-back/", go_back, name="deployment_roll_back"),
    path("end-session/<int:pid>/", end_session, name="deployment_end_session"),
    path("<int:pk>/stop/", stop, name="deployment_stop"),
]
