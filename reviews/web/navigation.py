"""The navigation, by what the user's role allows, with what waits at each place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from models_app.foundation.roles import allowed


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
            ("My feedback", "my_feedback", "review"),
            ("Prompts", "prompts", "review"),
        ),
    ),
    (
        "Data",
        (
            ("Documents", "documents", "view_documents"),
            ("Feedback", "feedback", "decide_feedback"),
            ("Snapshots", "snapshots", "view_models"),
        ),
    ),
    (
        "Models",
        (
            ("Models", "models", "view_models"),
            ("Training", "training", "view_models"),
            ("Comparisons", "comparisons", "view_models"),
            ("Releases", "releases", "view_models"),
            ("Deployments", "deployments", "view_monitoring"),
        ),
    ),
    (
        "Watch",
        (
            ("Monitoring", "monitoring", "view_monitoring"),
            ("Jobs", "jobs", "view_monitoring"),
            ("Audit", "audit", "view_audit"),
        ),
    ),
)


def _url(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `nav` for the base template."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.path.startswith("/api/"):
        return {}
    sections = []
    for label, places in PLACES:
        items = []
        for name, url_name, capability in places:
            url = _url(url_name)
            if url and (not capability or allowed(user, capability)):
                here = request.path == url or (url != "/" and request.path.startswith(url))
                items.append(Item(name, url, current=here))
        if items:
            sections.append(Section(label, items))
    return {"nav": sections}
