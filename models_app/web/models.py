"""Model versions: what is registered, from where, and in which releases; registering a base model."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import InvalidInput
from models_app.models import Job, ModelVersion, Release
from models_app.training.registering import files_are_missing, start_registering
from models_app.web.pages import capability, page_or_fragment, paginate


@require_safe
@capability("view_models")
def models(request: HttpRequest) -> HttpResponse:
    rows = (
        ModelVersion.objects.select_related("parent", "training_run", "created_by")
        .annotate(n=Count("releases"))
        .order_by("-pk")
    )
    page = paginate(request, rows, 30)
    registering = Job.objects.filter(kind__in=("register_model", "prepare_workspace"), state__in=Job.ACTIVE)
    return page_or_fragment(
        request,
        "models_app/training/models.html",
        "models_app/training/_model_list.html",
        {
            "page": page,
            "missing": {version.pk for version in page if files_are_missing(version)},
            "registering": list(registering),
        },
    )


@require_safe
@capability("view_models")
def model(request: HttpRequest, pk: int) -> HttpResponse:
    version = get_object_or_404(
        ModelVersion.objects.select_related("parent", "training_run__snapshot", "created_by"), pk=pk
    )
    lineage = []
    ancestor = version.parent
    while ancestor is not None:
        lineage.append(ancestor)
        ancestor = ancestor.parent
    releases = (
        Release.objects.filter(model_version=version).select_related("prompt_version__prompt").order_by("-pk")
    )
    context = {
        "model": version,
        "missing": files_are_missing(version),
        "lineage": lineage,
        "releases": releases[:50],
        "conversions": version.manifest.get("conversions", []),
        "libraries": sorted(version.manifest.get("libraries", {}).items()),
        "children": version.children.order_by("-pk")[:50],
    }
    return render(request, "models_app/training/model.html", context)


@require_POST
@capability("train")
def register(request: HttpRequest) -> HttpResponse:
    try:
        job = start_registering(
            reference=request.POST.get("reference", ""),
            name=request.POST.get("name", "")[:120],
            actor=request.user,
        )
    except InvalidInput as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
        return redirect("models")
    messages.success(
        request, f"Registering has begun (job {job.pk}); the model shows here once it is checked."
    )
    return redirect("models")


urlpatterns = [
    path("", models, name="models"),
    path("<int:pk>/", model, name="model"),
    path("register/", register, name="model_register"),
]
