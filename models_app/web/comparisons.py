"""Comparisons: before and after on the same test documents, in one sentence, a table, pictures and single documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.cases.running import missing_runs
from models_app.evaluation.comparing import COMPARED, ROUGE, start_comparison
from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.people import People, preferences
from models_app.evaluation.signature import signature_of
from models_app.evaluation.statistics import STORED, from_stored
from models_app.evaluation.terms import SLICE_FLOOR
from models_app.evaluation.wording import Fall, Figures, falls, figures_of, margins_in_words
from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import allowed
from models_app.gates.comparing import compared_already, usual_test_set
from models_app.models import (
    Comparison,
    ComparisonResult,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    Job,
    Release,
)
from models_app.models.releases import live_release
from models_app.releases.accounts import Circle
from models_app.releases.composing import lead_release, submit_release
from models_app.texts.figures import DASH
from models_app.web import charts, slices
from models_app.web.pages import capability, page_or_fragment, paginate

SORTS = ("loss", "gain", "title", "words")
SHOWN_ROUGE = ROUGE


@dataclass(frozen=True)
class MetricRow:
    """One line of the table: a metric on all documents, against the live release and against lead-3."""

    metric: Metric
    result: ComparisonResult
    lead: ComparisonResult | None

    @property
    def figures(self) -> Figures:
        return figures_of(self.result)

    @property
    def lead_score(self) -> str:
        return DASH if self.lead is None else figures_of(self.lead).before


class ReleaseChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj}, {obj.state}: {obj.model_version.name} · {obj.prompt_version}"


class TestSetChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.name} ({obj.rows:,} documents)"


class CompareForm(forms.Form):
    candidate = ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="After (candidate)"
    )
    baseline = ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="Before"
    )
    evaluation_set = TestSetChoice(EvaluationSet.objects.all(), label="Test set", empty_label=None)
    with_lead = forms.BooleanField(
        label="Also lead-3, the first three sentences", required=False, initial=True
    )


@require_safe
@capability("view_models")
def comparisons(request: HttpRequest) -> HttpResponse:
    rows = Comparison.objects.select_related(
        "candidate__release", "baseline__release", "candidate__evaluation_set"
    )
    active = list(
        EvaluationRun.objects.filter(state__in=("queued", "running"))
        .select_related("release", "evaluation_set", "job")
        .order_by("pk")[:20]
    )
    waiting = Job.objects.filter(kind="compare", state__in=Job.ACTIVE).count()
    failed = EvaluationRun.objects.filter(state="failed").select_related("release").order_by("-pk")[:3]
    context = {"page": paginate(request, rows, 30), "active": active, "waiting": waiting, "failed": failed}
    return page_or_fragment(
        request,
        "models_app/evaluation/comparisons.html",
        "models_app/evaluation/_comparison_list.html",
        context,
    )


@capability("evaluate")
def new_comparison(request: HttpRequest) -> HttpResponse:
    live = live_release()
    newest = Release.objects.filter(state="draft").exclude(origin="baseline").order_by("-pk").first()
    usual = usual_test_set(live.environment_id if live else None)
    initial = {
        "candidate": request.GET.get("candidate") or (newest.pk if newest else None),
        "baseline": request.GET.get("baseline") or (live.pk if live else None),
        "evaluation_set": request.GET.get("test_set") or (usual.pk if usual else None),
        "with_lead": True,
    }
    form = CompareForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        chosen = {name: form.cleaned_data[name] for name in ("candidate", "baseline", "evaluation_set")}
        try:
            before = compared_already(**chosen)
            if before is not None and not missing_runs(chosen["candidate"]):
                messages.info(
                    request,
                    f"These two were compared on this test set before: it is comparison {before.pk}, and the same "
                    "documents give the same figures. For another one choose another test set.",
                )
                return redirect("comparison", before.pk)
            start_comparison(
                **chosen, lead=lead_release() if form.cleaned_data["with_lead"] else None, actor=request.user
            )
        except GalleyError as error:
            form.add_error(None, error.message)
        else:
            messages.success(
                request, "The evaluations are queued; the comparison appears here when they are done."
            )
            return redirect("comparisons")
    context = {"form": form, "sets": EvaluationSet.objects.exists()}
    return render(
        request, "models_app/evaluation/comparison_new.html", context, status=422 if form.errors else 200
    )


def _comparison(pk: int) -> Comparison:
    release = ("release__model_version", "release__prompt_version__prompt")
    related = [f"{side}__{name}" for side in ("candidate", "baseline") for name in release]
    return get_object_or_404(
        Comparison.objects.select_related(*related, "candidate__evaluation_set", "lead__release"), pk=pk
    )


def metric_rows(results: Sequence[ComparisonResult]) -> list[MetricRow]:
    whole = {(row.against, row.metric): row for row in results if row.slice == "all"}
    return [
        MetricRow(METRICS[name], whole["baseline", name], whole.get(("lead", name)))
        for name in COMPARED
        if ("baseline", name) in whole
    ]


def falls_of(results: Sequence[ComparisonResult]) -> list[tuple[Metric, Fall]]:
    """What got worse by its interval against the live release, on all documents or on a slice."""
    stored = [
        from_stored({name: getattr(row, name) for name in STORED})
        for row in results
        if row.against == "baseline"
    ]
    return [(METRICS[fall.result.metric], fall) for fall in falls(stored)]


def paired(comparison: Comparison, metric: str) -> QuerySet[Any]:
    """The candidate's scores with the baseline's beside them: `old`, `old_output`, `change` (in stored units)."""
    from django.db.models import OuterRef, Subquery

    before = ExampleScore.objects.filter(run=comparison.baseline_id, example=OuterRef("example"))
    return (
        ExampleScore.objects.filter(run=comparison.candidate_id)
        .annotate(old=Subquery(before.values(metric)[:1]))
        .annotate(change=F(metric) - F("old"))
    )


def _metric(request: HttpRequest) -> str:
    wanted = request.GET.get("metric", "rouge2")
    return wanted if wanted in SHOWN_ROUGE else "rouge2"


def _documents(request: HttpRequest, comparison: Comparison, metric: str) -> dict[str, Any]:
    from django.db.models import OuterRef, Subquery

    sort = request.GET.get("sort", "loss")
    sort = sort if sort in SORTS else "loss"
    orders = {
        "loss": ("change", "pk"),
        "gain": ("-change", "pk"),
        "title": ("example__title", "pk"),
        "words": ("-summary_words", "pk"),
    }
    before = ExampleScore.objects.filter(run=comparison.baseline_id, example=OuterRef("example"))
    rows = (
        paired(comparison, metric)
        .annotate(old_output=Subquery(before.values("output")[:1]))
        .select_related("example")
        .order_by(*orders[sort])
    )
    return {"documents": paginate(request, rows, 20), "sort": sort, "metric": METRICS[metric]}


@require_safe
@capability("view_models")
def comparison_page(request: HttpRequest, pk: int) -> HttpResponse:
    comparison = _comparison(pk)
    metric = _metric(request)
    context = {"comparison": comparison, **_documents(request, comparison, metric)}
    if request.headers.get("HX-Target") == "comparison-documents":
        return render(request, "models_app/evaluation/_comparison_documents.html", context)
    results = list(ComparisonResult.objects.filter(comparison=comparison))
    changes = [
        value * METRICS[metric].scale for value in paired(comparison, metric).values_list("change", flat=True)
    ]
    worse, equal, better = charts.sides(changes)
    release = comparison.candidate.release
    rows = metric_rows(results)
    context |= {
        "rows": rows,
        "margins": margins_in_words((row.metric, row.result.margin) for row in rows),
        "falls": falls_of(results),
        "slices": slices.of_comparison(results, metric, floor=comparison.terms.get("floor", SLICE_FLOOR)),
        "histogram": charts.histogram(
            changes, title=f"{METRICS[metric].label}, after minus before, by document"
        ),
        "worse": worse,
        "equal": equal,
        "better": better,
        "metrics": [METRICS[name] for name in SHOWN_ROUGE],
        "looks": Comparison.objects.filter(
            candidate__evaluation_set=comparison.candidate.evaluation_set_id
        ).count(),
        "by_other_metrics": comparison.signature != signature_of(comparison.candidate.evaluation_set),
        "release": release,
        "people": _people(comparison),
        "may_let_choose": allowed(request.user, "manage_queues"),
        "may_submit": _submittable(comparison, release) and allowed(request.user, "submit_release"),
    }
    return render(request, "models_app/evaluation/comparison.html", context)


def _people(comparison: Comparison) -> list[People]:
    """What people say of the two by now, on the comparison's own documents."""
    release = comparison.candidate.release
    return preferences(
        candidate=release,
        baseline=comparison.baseline.release,
        hands=Circle(release).no_judges,
        evaluation_set=comparison.candidate.evaluation_set,
    )


def _submittable(comparison: Comparison, release: Release) -> bool:
    """A draft; or one that is on its way, with other evidence."""
    return (
        release.state in Release.SUBMITTABLE
        and release.origin != "baseline"
        and release.comparison_id != comparison.pk
    )


@require_safe
@capability("view_models")
def document_page(request: HttpRequest, pk: int, example: int) -> HttpResponse:
    """One test document: source, reference, before and after with word differences, and each score."""
    comparison = _comparison(pk)
    scores = {
        score.run_id: score
        for score in ExampleScore.objects.filter(
            example=example, run__in=[comparison.candidate_id, comparison.baseline_id, comparison.lead_id]
        ).select_related("example")
    }
    after = scores.get(comparison.candidate_id)
    before = scores.get(comparison.baseline_id)
    if after is None or before is None:
        return redirect("comparison", pk)
    lead = scores.get(comparison.lead_id) if comparison.lead_id else None
    rows = [
        (
            METRICS[name],
            *(
                None if score is None else getattr(score, name) * METRICS[name].scale
                for score in (before, after, lead)
            ),
        )
        for name in COMPARED
    ]
    context = {
        "comparison": comparison,
        "example": after.example,
        "before": before,
        "after": after,
        "lead": lead,
        "rows": rows,
    }
    return render(request, "models_app/evaluation/comparison_document.html", context)


@require_safe
@capability("view_models")
def evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything the comparison says, as JSON."""
    comparison = _comparison(pk)
    results = ComparisonResult.objects.filter(comparison=comparison).values("against", *STORED)
    answer = JsonResponse(
        {
            "comparison": comparison.pk,
            "digest": comparison.digest,
            "candidate_release": comparison.candidate.release_id,
            "baseline_release": comparison.baseline.release_id,
            "test_set": {"id": comparison.candidate.evaluation_set_id, "n": comparison.n},
            "signature": comparison.signature,
            "seed": comparison.seed,
            "resamples": comparison.resamples,
            "verdict": comparison.verdict,
            "sentence": comparison.sentence,
            "results": list(results),
            "people": [{**said.count.facts(), **said.conclusion()} for said in _people(comparison)],
        },
        json_dumps_params={"indent": 2, "ensure_ascii": False},
    )
    answer["Content-Disposition"] = f'attachment; filename="comparison-{comparison.pk}.json"'
    return answer


@require_POST
@capability("submit_release")
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    comparison = _comparison(pk)
    submit_release(
        release=comparison.candidate.release,
        comparison=comparison,
        note=request.POST.get("reason", "").strip(),
        actor=request.user,
    )
    messages.success(
        request, f"Release {comparison.candidate.release_id} is submitted. Its gates are being judged."
    )
    return redirect("release", comparison.candidate.release_id)


urlpatterns = [
    path("", comparisons, name="comparisons"),
    path("new/", new_comparison, name="comparison_new"),
    path("<int:pk>/", comparison_page, name="comparison"),
    path("<int:pk>/documents/<int:example>/", document_page, name="comparison_document"),
    path("<int:pk>/evidence.json", evidence, name="comparison_evidence"),
    path("<int:pk>/submit/", submit, name="comparison_submit"),
]
