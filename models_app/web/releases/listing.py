"""The releases: what waits for a decision first."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from models_app import queries
from models_app.models import Release
from models_app.models.releases import Environment
from models_app.releases.emergency import open_incidents
from models_app.web.pages import capability, page_or_fragment, paginate

TABS = (("", "All"), ("open", "Open"), ("ended", "Ended"), ("all", "Include baselines"))


#: What goes on without anybody doing anything.
MOVING = (Release.State.EVALUATING, Release.State.WARMING)


@require_safe
@capability("view_models")
def releases(request: HttpRequest) -> HttpResponse:
    shown = request.GET.get("show", "")
    page = paginate(request, queries.releases(shown if shown in dict(TABS) else ""), 25)
    held = queries.approvals_held(list(page))
    context = {
        "page": page,
        "rows": [(release, held.get(release.pk, 0)) for release in page],
        "tabs": TABS,
        "shown": shown,
        "moving": any(release.state in MOVING for release in page),
        "incidents": open_incidents(),
        "single": Environment.objects.filter(approvals_required=1),
    }
    return page_or_fragment(
        request, "models_app/releases/index.html", "models_app/releases/_list.html", context
    )
