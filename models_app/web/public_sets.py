"""Public sets that are known by fingerprints, and what models from elsewhere are declared to have learnt."""

from __future__ import annotations

from collections import defaultdict

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.models import DeclaredTraining, FingerprintSet, PublicOccurrence
from models_app.web.pages import capability, paginate

PER_PAGE = 50
TEST_SETS_NAMED = 5  # of each public set, the ones that were looked at last


@require_safe
@capability("view_models")
def public_sets(request: HttpRequest) -> HttpResponse:
    page = paginate(request, FingerprintSet.objects.select_related("loaded_by").order_by("name"), PER_PAGE)
    declared = DeclaredTraining.objects.select_related("model_version", "fingerprints", "declared_by")
    rows = [(one, occurrences) for one, occurrences in zip(page, _occurrences(list(page)), strict=True)]
    context = {"page": page, "sets": rows, "declared": declared.order_by("-pk")[:500]}
    return render(request, "models_app/gates/public_sets.html", context)


def _occurrences(sets: list[FingerprintSet]) -> list[list[PublicOccurrence]]:
    """Of each, how many documents of which test sets occur in it, as it was looked up last. 1 query."""
    found: defaultdict[int, dict[int, PublicOccurrence]] = defaultdict(dict)
    rows = PublicOccurrence.objects.filter(of__in=sets).defer("documents")
    for row in rows.select_related("evaluation_set").order_by("-pk"):
        found[row.of_id].setdefault(row.evaluation_set_id, row)
    return [[row for row in found[one.pk].values() if row.count][:TEST_SETS_NAMED] for one in sets]


urlpatterns = [path("", public_sets, name="public_sets")]
