"""Progress: mine, the queues', and for people who manage queues the team's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.foundation.roles import allowed
from models_app.web import charts
from models_app.web.pages import capability, user_of
from reviews.reports import progress
from reviews.reports.progress import Day


@require_safe
@capability("review")
def index(request: HttpRequest) -> HttpResponse:
    me = progress.mine(reviewer=user_of(request))
    context: dict[str, Any] = {
        "me": me,
        "my_chart": _chart(me.days, "My reviews by day"),
        "queues": progress.queues(),
        "pace_days": progress.PACE_DAYS,
        "chart_days": progress.CHART_DAYS,
        "least": progress.LEAST_ANSWERS,
    }
    if allowed(request.user, "manage_queues"):
        team = progress.team(actor=request.user)
        context |= {"team": team, "team_chart": _chart(team.days, "Everybody's reviews by day")}
    return render(request, "reviews/reports/progress.html", context)


def _chart(days: Sequence[Day], title: str) -> Any:
    """None where there is nothing to draw."""
    if not any(day.answers for day in days):
        return None
    return charts.daily_bars([(day.day, day.answers) for day in days], title=title)


urlpatterns = [path("", index, name="progress")]
