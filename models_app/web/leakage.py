"""What a leakage check found: test documents beside what the model learnt, one find a row, and both texts whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import from_stored
from models_app.evaluation.wording import Figures, figures_of
from models_app.gates.leakage_checks import texts_of
from models_app.models import CleanComparison, LeakageCheck, LeakageFinding, PublicOccurrence
from models_app.texts.common_passages import common_passages, stretches
from models_app.texts.overlaps import BLOCKS
from models_app.web.pages import capability, page_or_fragment, paginate

PER_PAGE = 20
SHOWN_METRICS = ("rouge1", "rouge2", "rougeLsum")
KINDS = {"rows": Q(prompt_version=None), "prompts": Q(row=None)}
STRENGTHS = {"blocks": Q(share__gte=BLOCKS), "look": Q(share__lt=BLOCKS)}


@dataclass(frozen=True)
class CleanRow:
    """A metric on the clean subset, beside the whole."""

    label: str
    whole: Figures | None
    clean: Figures


@require_safe
@capability("view_models")
def check_page(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(LeakageCheck.objects.select_related("evaluation_set"), pk=pk)
    findings = LeakageFinding.objects.filter(check_run=found)
    kind, strength = request.GET.get("in", ""), request.GET.get("share", "")
    rows = findings.filter(KINDS.get(kind, Q()), STRENGTHS.get(strength, Q())).select_related(
        "example", "row", "prompt_version__prompt"
    )
    context: dict[str, Any] = {
        "check": found,
        "page": paginate(request, rows.order_by("position"), PER_PAGE),
        "kind": kind if kind in KINDS else "",
        "strength": strength if strength in STRENGTHS else "",
        "blocks": BLOCKS,
    }
    if request.headers.get("HX-Target") == "leakage-findings":
        return render(request, "models_app/gates/_leakage_findings.html", context)
    context |= {
        "blocking": _documents(findings.filter(STRENGTHS["blocks"])),
        "clean": [(one, _clean_rows(one)) for one in _clean(found)],
        "public": PublicOccurrence.objects.filter(test_digest=found.test_digest).select_related("of"),
    }
    return page_or_fragment(
        request, "models_app/gates/leakage.html", "models_app/gates/_leakage_findings.html", context
    )


def _documents(findings: QuerySet[LeakageFinding]) -> int:
    return findings.order_by().values("example").distinct().count()


def _clean(found: LeakageCheck) -> QuerySet[CleanComparison]:
    return CleanComparison.objects.filter(check_run=found).select_related("comparison").order_by("-pk")[:5]


def _clean_rows(clean: CleanComparison) -> list[CleanRow]:
    whole = {
        row.metric: figures_of(row)
        for row in clean.comparison.results.filter(against="baseline", slice="all", metric__in=SHOWN_METRICS)
    }
    rows = {row["metric"]: from_stored(row) for row in clean.results}
    return [
        CleanRow(METRICS[name].label, whole.get(name), figures_of(rows[name]))
        for name in SHOWN_METRICS
        if name in rows
    ]


@require_safe
@capability("view_models")
def finding_page(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """Both texts side by side, what they have in common marked."""
    finding = get_object_or_404(
        LeakageFinding.objects.select_related("check_run", "example", "row", "prompt_version__prompt"),
        check_run=pk,
        position=position,
    )
    held_out, learnt = texts_of(finding)
    mine, theirs = common_passages(held_out, learnt)
    context = {
        "finding": finding,
        "held_out": stretches(held_out, mine),
        "learnt": stretches(learnt, theirs),
        "blocks": finding.share >= BLOCKS,
    }
    return render(request, "models_app/gates/leakage_finding.html", context)


urlpatterns = [
    path("<int:pk>/", check_page, name="leakage"),
    path("<int:pk>/<int:position>/", finding_page, name="leakage_finding"),
]
