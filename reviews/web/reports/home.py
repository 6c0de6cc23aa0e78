"""Home: the loop as a picture, with what waits at each stage."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from models_app.foundation.roles import allowed
from models_app.releases.emergency import open_incidents
from models_app.web import loop_picture
from reviews.queues.statements import in_words
from reviews.reports.overview import Overview, overview, shown


def stages(found: Overview) -> list[loop_picture.Stage]:
    waiting, live, running = found.waiting, found.live, found.running
    snapshot, comparison = found.newest_snapshot, found.newest_comparison
    if running is not None and running.total_steps:
        training_note = f"running, {running.step / running.total_steps:.0%}"
    elif running is not None:
        training_note = running.phase or "queued"
    else:
        training_note = "none running"
    places: list[tuple[str, str, str, str, Any]] = [
        ("Documents", f"{found.documents:,}", "to summarize", "documents", "quiet"),
        ("Summaries", f"{found.summaries:,}", "written", "documents", "quiet"),
        (
            "Review",
            in_words(waiting.review),
            "wait for you" if waiting.review else "nothing waits",
            "desk",
            "hot" if waiting.review else "quiet",
        ),
        (
            "Feedback",
            f"{found.examples:,}",
            f"{shown(waiting.feedback)} to decide" if waiting.feedback else "all decided",
            "feedback",
            "hot" if waiting.feedback else "quiet",
        ),
        (
            "Snapshot",
            str(snapshot.pk) if snapshot else "–",
            f"{snapshot.train_rows + snapshot.validation_rows:,} rows" if snapshot else "none yet",
            "snapshots",
            "quiet",
        ),
        (
            "Training",
            str(running.pk) if running else f"{found.training_runs:,}",
            training_note,
            "training",
            "active" if running else "quiet",
        ),
        (
            "Comparison",
            str(comparison.pk) if comparison else "–",
            comparison.verdict if comparison else "none yet",
            "comparisons",
            "quiet",
        ),
        (
            "Approval",
            str(waiting.approval),
            "waits" if waiting.approval == 1 else "wait" if waiting.approval else "nothing waits",
            "releases",
            "hot" if waiting.approval else "quiet",
        ),
        (
            "Live",
            f"release {live.release_id}" if live else "–",
            f"since {timezone.localtime(live.live_from):%-d %b}" if live else "nothing is live",
            "deployments",
            "quiet" if live and found.ready else "hot",
        ),
        (
            "Watched",
            f"{found.stars:.1f} ★" if found.stars is not None else "–",
            f"{found.stars_n:,} ratings in 30 days" if found.stars_n else "no ratings yet",
            "monitoring",
            "quiet",
        ),
    ]
    return [
        loop_picture.Stage(label, value, note, reverse(url), state)
        for label, value, note, url, state in places
    ]


def where_it_stands(found: Overview) -> tuple[str, str]:
    """The picture's centre: one short line, one sentence."""
    if found.live is None:
        return "The loop has not begun", found.readiness
    if found.running is not None:
        heading = "The loop is at training"
    elif found.waiting.approval:
        heading = "A release waits for approval"
    elif found.waiting.feedback:
        heading = "Feedback waits to be decided"
    elif found.waiting.review:
        heading = "Summaries wait to be reviewed"
    else:
        heading = "Nothing waits"
    if not found.ready:
        return heading, found.readiness
    comparison = found.newest_comparison
    if comparison is not None and comparison.candidate.release_id == found.live.release_id:
        return (
            heading,
            f"Release {found.live.release_id} is live. {comparison.sentence.split('. ')[0].rstrip('.')}.",
        )
    return heading, f"Release {found.live.release_id} is live: {found.live.release.model_version.name}."


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    found = overview(request.user)
    heading, sentence = where_it_stands(found)
    context = {
        "overview": found,
        "loop": loop_picture.loop(stages(found), heading=heading, sentence=sentence),
        "today": timezone.localtime(),
        "may_review": allowed(request.user, "review"),
        "may_import": allowed(request.user, "import_documents"),
        "may_watch": allowed(request.user, "view_monitoring"),
        "incidents": open_incidents() if allowed(request.user, "view_models") else (),
    }
    return render(request, "reviews/reports/home.html", context)


urlpatterns = [path("", home, name="home")]
