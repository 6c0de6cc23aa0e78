"""Snapshots and test sets: what was frozen, by whom, from what, and what was made with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Left
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.datasets.freezing import SPLITS, files_of
from models_app.evaluation.sets import references_of
from models_app.foundation.errors import Refused
from models_app.models import (
    DatasetSnapshot,
    EvaluationExample,
    EvaluationRun,
    EvaluationSet,
    SnapshotExample,
    TrainingRun,
)
from models_app.web.pages import capability, page_or_fragment, paginate
from models_app.web.trail import page_url

PER_PAGE = 25
MADE_FROM_IT = 50
LEAD = Left("source", 120)


@require_safe
@capability("view_models")
def snapshots(request: HttpRequest) -> HttpResponse:
    """Snapshots, or with `?list=test-sets` the frozen test documents."""
    shown = "test-sets" if request.GET.get("list") == "test-sets" else "snapshots"
    rows: QuerySet[Any]
    if shown == "test-sets":
        rows = EvaluationSet.objects.select_related("created_by").annotate(
            made=Count("runs", filter=Q(runs__state="succeeded"))
        )
    else:
        rows = DatasetSnapshot.objects.select_related("created_by").annotate(made=Count("training_runs"))
    context = {
        "page": paginate(request, rows.order_by("-pk"), 30),
        "shown": shown,
        "snapshot_count": DatasetSnapshot.objects.count(),
        "test_set_count": EvaluationSet.objects.count(),
        "least": settings.GALLEY_MIN_TRAINING_EXAMPLES,
    }
    return page_or_fragment(
        request, "models_app/datasets/snapshots.html", "models_app/datasets/_snapshot_list.html", context
    )


@require_safe
@capability("view_models")
def snapshot_page(request: HttpRequest, pk: int) -> HttpResponse:
    snapshot = get_object_or_404(DatasetSnapshot.objects.select_related("created_by"), pk=pk)
    rows = SnapshotExample.objects.filter(snapshot=snapshot).order_by("position")
    split, domain = request.GET.get("split", ""), request.GET.get("domain", "").replace("\0", "")
    if split in SPLITS:
        rows = rows.filter(split=split)
    if domain:
        rows = rows.filter(domain=domain)
    page = paginate(request, rows.annotate(lead=LEAD).defer("source"), PER_PAGE)
    context = {"snapshot": snapshot, "page": page, "rows": [(row, _origin_url(row.origin)) for row in page]}
    context |= {"split": split, "domain": domain, "domains": _by_domain(snapshot)}
    if request.headers.get("HX-Target") == "snapshot-rows":
        return render(request, "models_app/datasets/_snapshot_rows.html", context)
    context |= {
        "curators": list(User.objects.filter(pk__in=snapshot.curators).order_by("username")),
        "runs": TrainingRun.objects.filter(snapshot=snapshot)
        .select_related("model_version")
        .order_by("-pk")[:MADE_FROM_IT],
        "least": settings.GALLEY_MIN_TRAINING_EXAMPLES,
        "chosen": _chosen(snapshot.selection),
        "left_out": snapshot.selection.get("left_out", {}),
        **_files(snapshot),
    }
    return render(request, "models_app/datasets/snapshot.html", context)


def _by_domain(snapshot: DatasetSnapshot) -> list[tuple[str, int, int]]:
    """(domain, training rows, validation rows), the largest first."""
    counts = (
        SnapshotExample.objects.filter(snapshot=snapshot)
        .order_by()
        .values_list("domain")
        .annotate(
            train=Count("pk", filter=Q(split="train")), validation=Count("pk", filter=Q(split="validation"))
        )
    )
    return sorted(counts, key=lambda row: (-row[1] - row[2], row[0]))


def _origin_url(origin: str) -> str:
    """Rows come from feedback examples or documents of the human side, where it has a page for them."""
    kind, _, key = origin.partition(":")
    names = {"feedback": "feedback_example", "document": "document"}
    return page_url(names[kind], key) if kind in names and key.isdigit() else ""


def _chosen(selection: dict[str, Any]) -> list[tuple[str, str]]:
    """The selection in words; nothing where everything was taken."""
    told = []
    for name, value in selection.items():
        if name == "left_out":  # not chosen: what the choice could not have
            continue
        if not value:
            continue
        if name == "documents" and isinstance(value, list):
            told.append((name, f"{len(value):,} chosen ones"))
        else:
            told.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return told


def _files(snapshot: DatasetSnapshot) -> dict[str, Any]:
    try:
        return {"files": files_of(snapshot)}
    except Refused as refusal:
        return {"files": [], "files_lost": refusal.message}


@require_safe
@capability("view_models")
def snapshot_file(request: HttpRequest, pk: int, name: str) -> Any:
    snapshot = get_object_or_404(DatasetSnapshot, pk=pk)
    if name not in dict(files_of(snapshot)):
        raise Http404
    file = (Path(settings.GALLEY_HOME) / snapshot.directory / name).open("rb")
    return FileResponse(
        file, as_attachment=True, filename=f"snapshot-{pk}-{name}", content_type="application/jsonl"
    )


@require_safe
@capability("view_models")
def test_set_page(request: HttpRequest, pk: int) -> HttpResponse:
    test_set = get_object_or_404(EvaluationSet.objects.select_related("created_by"), pk=pk)
    rows = EvaluationExample.objects.filter(evaluation_set=test_set).order_by("position")
    page = paginate(request, rows.annotate(lead=LEAD).defer("source"), PER_PAGE)
    context = {"test_set": test_set, "page": page, "rows": [(row, _origin_url(row.origin)) for row in page]}
    if request.headers.get("HX-Target") == "test-set-rows":
        return render(request, "models_app/datasets/_test_set_rows.html", context)
    context |= {
        "domains": EvaluationExample.objects.filter(evaluation_set=test_set)
        .order_by()
        .values_list("domain")
        .annotate(n=Count("pk"))
        .order_by("-n", "domain"),
        "runs": EvaluationRun.objects.filter(evaluation_set=test_set)
        .select_related("release__model_version", "job")
        .order_by("-pk")[:MADE_FROM_IT],
        "chosen": _chosen(test_set.selection),
        "left_out": test_set.selection.get("left_out", {}),
        "references": references_of(test_set),
    }
    return render(request, "models_app/datasets/test_set.html", context)


urlpatterns = [
    path("", snapshots, name="snapshots"),
    path("<int:pk>/", snapshot_page, name="snapshot"),
    path("<int:pk>/files/<str:name>", snapshot_file, name="snapshot_file"),
    path("test-sets/<int:pk>/", test_set_page, name="test_set"),
]
