"""Monitoring: service, use and voices of a window, and before and after each release."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_safe

from models_app.monitoring.traffic import Window, series
from models_app.serving.readiness import readiness
from models_app.web import charts
from models_app.web.pages import capability, is_fragment
from reviews.reports.tables import Figures, tables

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
LABELS = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}


def _window(request: HttpRequest) -> tuple[str, Window]:
    wanted = request.GET.get("window", "24h")
    key = wanted if wanted in WINDOWS else "24h"
    now = timezone.now()
    return key, Window(now - WINDOWS[key], now)


def _hours(at: datetime, window: Window) -> float:
    return (at - window.end).total_seconds() / 3600


@require_safe
@capability("view_monitoring")
def monitoring(request: HttpRequest) -> HttpResponse:
    key, window = _window(request)
    figures, over_time = Figures.of(window), series(window)
    clients, reviewers = figures.clients, figures.reviewers
    unit = 24 if over_time.step == "day" else 1
    latency = charts.line_chart(
        [
            charts.Series(
                name,
                [
                    (_hours(b.at, window) / unit, getattr(b, field))
                    for b in over_time.buckets
                    if getattr(b, field)
                ],
            )
            for name, field in (("median", "latency_p50"), ("95th percentile", "latency_p95"))
        ],
        title="Latency of answered requests",
        x_name=f"{over_time.step}s ago",
        y_name="ms",
    )
    requests = charts.line_chart(
        [
            charts.Series("requests", [(_hours(b.at, window) / unit, b.requests) for b in over_time.buckets]),
            charts.Series("failed", [(_hours(b.at, window) / unit, b.failed) for b in over_time.buckets]),
        ],
        title="Requests",
        x_name=f"{over_time.step}s ago",
        y_name=f"a {over_time.step}",
    )
    tones = {"good": "ok", "fair": "maybe", "poor": "bad"}
    moods = {"positive": "ok", "neutral": "quiet", "negative": "bad"}
    ready, sentence = readiness()
    context = {
        "windows": [(name, LABELS[name]) for name in WINDOWS],
        "key": key,
        "label": LABELS[key],
        "traffic": figures.service,
        "up": figures.up,
        "clients": clients,
        "commented": sum(clients.sentiments.get(name, 0) for name in moods),
        "reviewers": reviewers,
        "latency": latency,
        "requests": requests,
        "verdicts": charts.stacked_shares(
            [charts.Share(name.capitalize(), n, tones[name]) for name, n in reviewers.verdicts.items()],
            title="Verdicts of reviewers",
        ),
        "moods": charts.stacked_shares(
            [
                charts.Share(name.capitalize(), clients.sentiments.get(name, 0), tone)
                for name, tone in moods.items()
            ],
            title="Sentiment of clients' comments",
        ),
        "tables": tables(window, figures),
        "ready": ready,
        "readiness": sentence,
    }
    template = (
        "reviews/filling/_client_feedback.html"
        if is_fragment(request)
        else "reviews/filling/client_feedback.html"
    )
    return render(request, template, context)


urlpatterns = [path("", monitoring, name="monitoring")]
