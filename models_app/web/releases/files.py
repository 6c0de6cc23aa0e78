"""What of a release is taken away: the signed evidence, the model card."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from models_app.evidence.card import model_card
from models_app.evidence.files import evidence_file
from models_app.web.pages import capability
from models_app.web.releases.page import release_for_page


@require_safe
@capability("view_models")
def evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything the decision is based on, as a signed file."""
    release = release_for_page(pk)
    answer = HttpResponse(evidence_file(release), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="release-{release.pk}-evidence.json"'
    return answer


@require_safe
@capability("view_models")
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """The model card, to read or, with `?download=1`, as a file."""
    release = release_for_page(pk)
    content = model_card(release)
    if "download" not in request.GET:
        return render(request, "models_app/releases/card.html", {"release": release, "card": content})
    answer = HttpResponse(content, content_type="text/markdown; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="README.md"'
    return answer
