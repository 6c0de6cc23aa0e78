"""The navigation, by what the user's role allows, with what waits at each place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from models_app.foundation.roles import allowed
from reviews.queues.statements import in_words
from reviews.reports.overview import Waiting, shown, waiting


@dataclass
class Item:
    label: str
    url: str
    count: str = ""
    hot: bool = False
    current: bool = False


@dataclass
class Section:
    label: str
    items: list[Item]


PLACES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("", (("The loop", "home", ""),)),
    (
        "People",
        (
            ("Review desk", "desk", "review"),
            ("Pairwise", "pairwise", "review"),
            ("My feedback", "my_feedback", "review"),
            ("Progress", "progress", "review"),
            ("How I rate", "how_i_rate", "review"),
            ("Queues", "queues", "manage_queues"),
            ("Prompts", "prompts", "review"),
            ("Agreement", "agreement", "manage_queues"),
        ),
    ),
    (
        "Data",
        (
            ("Documents", "documents", "view_documents"),
            ("Feedback", "feedback", "decide_feedback"),
            ("Exports", "exports", "review"),
            ("Snapshots", "snapshots", "view_models"),
            ("Requests", "improvements", "review"),
        ),
    ),
    (
        "Models",
        (
            ("Models", "models", "view_models"),
            ("Training", "training", "view_models"),
            ("Comparisons", "comparisons", "view_models"),
            ("Cases", "case_sets", "view_models"),
            ("Releases", "releases", "view_models"),
            ("Policy", "policies", "view_models"),
            ("Deployments", "deployments", "view_monitoring"),
        ),
    ),
    (
        "Watch",
        (
            ("Monitoring", "monitoring", "view_monitoring"),
            ("Jobs", "jobs", "view_monitoring"),
            ("Audit", "audit", "view_audit"),
            ("People", "people", "manage_people"),
        ),
    ),
)


def _url(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _count(name: str, counts: Waiting) -> tuple[str, bool]:
    """What the navigation says beside a place, and whether it needs somebody."""
    if name == "desk":
        return (in_words(counts.review), True) if counts.review else ("", False)
    if name == "pairwise":
        return (in_words(counts.pairs), False) if counts.pairs else ("", False)
    if name == "feedback":
        return (shown(counts.feedback), True) if counts.feedback else ("", False)
    if name == "prompts":
        return (shown(counts.suggestions), False) if counts.suggestions else ("", False)
    if name == "agreement":
        return (shown(counts.disputes), True) if counts.disputes else ("", False)
    if name == "training":
        return (f"{counts.training} running", False) if counts.training else ("", False)
    if name == "releases":
        word = "waits" if counts.approval == 1 else "wait"
        return (f"{counts.approval} {word}", True) if counts.approval else ("", False)
    if name == "jobs":
        return (str(counts.jobs), False) if counts.jobs else ("", False)
    return "", False


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `nav`, `nav_user`, `nav_waiting`, `unread`, `user_role` for the page frame. Three queries."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.path.startswith("/api/"):
        return {}
    counts = waiting(user)
    sections = []
    hot = 0
    for label, places in PLACES:
        items = []
        for name, url_name, capability in places:
            url = _url(url_name)
            if url and (not capability or allowed(user, capability)):
                here = request.path == url or (url != "/" and request.path.startswith(url))
                count, needs_somebody = _count(url_name, counts)
                hot += needs_somebody
                items.append(Item(name, url, count=count, hot=needs_somebody, current=here))
        if items:
            sections.append(Section(label, items))
    links = [
        ("API tokens", "tokens", "own_tokens"),
        ("Webhooks", "webhooks", "manage_webhooks"),
        ("Tables", "admin:index", "manage_people"),
    ]
    nav_user = [
        Item(name, url, current=request.path == url)
        for name, url_name, capability in links
        if (url := _url(url_name)) and allowed(user, capability)
    ]
    roles = ", ".join(sorted(group.name for group in user.groups.all()))
    return {
        "nav": sections,
        "nav_user": nav_user,
        "nav_waiting": hot or "",
        "unread": counts.unread,
        "user_role": roles or "no role yet",
    }
