"""Putting pairs into a queue: from a comparison, or from the drafts of two releases."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path

from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import require
from models_app.models import Comparison, Release
from models_app.web.pages import capability
from reviews.filling.pairs import MOST_PAIRS, available, pair_comparison, pair_releases, pairwise_queue
from reviews.models import ReviewQueue
from reviews.web.desk.form_values import integer

SUGGESTED_PAIRS = 50


class _ReleaseChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj}, {obj.state}: {obj.model_version.name} · {obj.prompt_version}"


class PairsForm(forms.Form):
    queue = forms.ModelChoiceField(
        ReviewQueue.objects.filter(active=True, kind=ReviewQueue.Kind.PAIRWISE),
        required=False,
        label="Queue",
        empty_label=None,
    )
    limit = forms.IntegerField(
        min_value=1, max_value=MOST_PAIRS, initial=SUGGESTED_PAIRS, label="Documents",
        help_text="A preference of 65 % shows after about 90 that differ, in the median; one of 60 % after about 160. "
        "Those for which both wrote the same are in the sample and count as ties.",
    )  # fmt: skip
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=7, label="Seed",
        help_text="Says which documents are taken. More documents of the same seed add to those there are.",
    )  # fmt: skip


class DraftPairsForm(PairsForm):
    before = _ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="Before"
    )
    after = _ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="After"
    )
    field_order = ["before", "after"]


@capability("manage_queues")
def new_pairs(request: HttpRequest) -> HttpResponse:
    """From `?comparison=ID`, or from the drafts of two releases. `&documents=N`: how many a policy asks for."""
    require(request.user, "view_models")
    comparison = _comparison(request)
    initial = {"limit": max(1, min(integer(request.GET, "documents") or SUGGESTED_PAIRS, MOST_PAIRS))}
    form = (PairsForm if comparison else DraftPairsForm)(request.POST or None, initial=initial)
    has_queue = form.fields["queue"].queryset.exists()  # type: ignore[attr-defined]
    if not has_queue:
        del form.fields["queue"]
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            queue = data.get("queue") or pairwise_queue(actor=request.user)
            common = {"queue": queue, "limit": data["limit"], "seed": data["seed"], "actor": request.user}
            report = (
                pair_comparison(comparison=comparison, **common)
                if comparison
                else pair_releases(before=data["before"], after=data["after"], **common)
            )
        except GalleyError as error:
            for name, text in error.fields.items():
                form.add_error(name if name in form.fields else None, text)
            if not error.fields:
                form.add_error(None, error.message)
        else:
            messages.success(request, f"{report.sentence()} They wait in “{queue.name}”.")
            return redirect("comparison", comparison.pk) if comparison else redirect("pairwise")
    context: dict[str, Any] = {"form": form, "comparison": comparison, "has_queue": has_queue}
    if comparison:
        context["documents"], context["differing"] = available(comparison=comparison)
    return render(request, "reviews/filling/pairs_new.html", context, status=422 if form.errors else 200)


def _comparison(request: HttpRequest) -> Comparison | None:
    number = integer(request.GET, "comparison")
    if number is None:
        return None
    return get_object_or_404(
        Comparison.objects.select_related("candidate__release", "baseline__release"), pk=number
    )


urlpatterns = [path("new/", new_pairs, name="pairwise_new")]
