"""Behavioural cases: their sets, a case with its history, and what releases made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from models_app.cases import queries
from models_app.cases.assertions import MOST_ASSERTIONS, Answers, Assertion
from models_app.cases.running import missing_runs
from models_app.cases.writing import (
    Draft,
    add_case,
    create_case_set,
    edit_case,
    retire_all,
    retire_case,
)
from models_app.evaluation.cases_job import start_cases
from models_app.foundation.errors import GalleyError, InvalidInput, Refused
from models_app.models import (
    CaseResult,
    CaseRun,
    CaseSet,
    CaseSetVersion,
    CaseVersion,
    Job,
    Release,
    Route,
)
from models_app.texts.normalise import row_number
from models_app.web import case_forms
from models_app.web.case_forms import AssertionRow, CaseForm, EditCaseForm, NewCaseForm
from models_app.web.pages import capability, is_fragment, paginate
from models_app.web.trail import page_url

PER_PAGE = 50
RESULTS_PER_PAGE = 20
RUNS_SHOWN = 20
#: Characters of an article up to which a page marks what a change did: it takes time and memory with their square.
LONGEST_COMPARED = 20_000
#: The pages of what a case was made from.
ORIGINS = {
    "document": ("document", "document"),
    "summary": ("a summary", ""),
    "feedbackexample": ("feedback example", "feedback_example"),
    "queueitem": ("a complaint", ""),
    "request": ("a request", ""),
}


# ---------------------------------------------------------------- sets


@require_safe
@capability("view_models")
def case_sets(request: HttpRequest) -> HttpResponse:
    context = {"rows": queries.set_rows(), "usual": case_forms.FIRST_SET}
    return render(request, "models_app/cases/index.html", context)


@require_POST
@capability("evaluate")
def case_set_new(request: HttpRequest) -> HttpResponse:
    try:
        made = create_case_set(name=request.POST.get("name", ""), actor=request.user)
    except InvalidInput as error:
        context = {"rows": queries.set_rows(), "error": error, "typed": request.POST.get("name", "")}
        return render(request, "models_app/cases/index.html", context, status=422)
    messages.success(request, f"{made.name} is there. Now write its first case.")
    return redirect("case_set", made.pk)


def _set(pk: int) -> CaseSet:
    return get_object_or_404(CaseSet.objects.select_related("created_by"), pk=pk)


@require_safe
@capability("view_models")
def case_set(request: HttpRequest, pk: int) -> HttpResponse:
    """The cases of the newest version, or of `?version=`."""
    row = _set(pk)
    newest = queries.version_of(row)
    asked = row_number(request.GET.get("version", ""))
    version = queries.version_of(row, asked) if asked is not None else newest
    if asked is not None and version is None:
        raise InvalidInput(f"{row.name} has no version {asked}.")
    page = paginate(request, queries.cases_of(version).defer("article"), PER_PAGE)
    runs = CaseRun.objects.filter(set_version__case_set=row)
    context = {
        "case_set": row,
        "version": version,
        "newest": newest,
        "is_newest": version == newest,
        "page": page,
        "rows": [(case, queries.assertion_words(case), queries.kinds_of_test(case)) for case in page],
        "runs": queries.run_rows(runs)[:RUNS_SHOWN],
    }
    return render(request, "models_app/cases/set.html", context)


@require_safe
@capability("view_models")
def case_set_history(request: HttpRequest, pk: int) -> HttpResponse:
    row = _set(pk)
    versions = CaseSetVersion.objects.filter(case_set=row).select_related("made_by").order_by("-number")
    page = paginate(request, versions, PER_PAGE)
    context = {"case_set": row, "page": page, "changes": queries.changes(list(page))}
    return render(request, "models_app/cases/history.html", context)


@require_POST
@capability("evaluate")
def case_set_retire(request: HttpRequest, pk: int) -> HttpResponse:
    row = _set(pk)
    try:
        retire_all(case_set=row, reason=request.POST.get("reason", ""), actor=request.user)
    except (InvalidInput, Refused) as error:
        messages.error(request, _said(error))
    else:
        messages.success(request, f"{row.name} has no cases any more; its history stays.")
    return redirect("case_set", pk)


def _said(error: GalleyError) -> str:
    return " ".join(error.fields.values()) or error.message


# ---------------------------------------------------------------- a case


def _case(pk: int, number: int) -> list[CaseVersion]:
    """All its rows, the newest first."""
    history = queries.case_history(_set(pk), number)
    if not history:
        raise Http404(f"There is no case {number} in this set.")
    return history


@require_safe
@capability("view_models")
def case(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    history = _case(pk, number)
    newest = history[0]
    results = (
        CaseResult.objects.filter(case=newest)
        .select_related("run__release__model_version", "case")
        .order_by("-run_id")[:RUNS_SHOWN]
    )
    kind, _, key = newest.origin.partition(":")
    words, name = ORIGINS.get(kind, ("", ""))
    context = {
        "case": newest,
        "case_set": newest.set_version.case_set,
        "asserted": [
            (assertion.words(), assertion.test.value) for assertion in case_forms.read_assertions(newest)
        ],
        "changed": queries.changed_articles(newest),
        "compared": len(newest.article) <= LONGEST_COMPARED,
        "results": queries.result_rows(list(results), {}),
        "history": _with_before(history),
        "origin": words,
        "origin_url": page_url(name, key) if name and key.isdigit() else "",
        "origin_key": key,
    }
    return render(request, "models_app/cases/case.html", context)


@dataclass(frozen=True)
class Edit:
    """A row of a case and, where there is one, the row before it; assertions as lines."""

    row: CaseVersion
    before: CaseVersion | None
    asserted: str
    asserted_before: str


def _with_before(history: Sequence[CaseVersion]) -> list[Edit]:
    lines = ["\n".join(queries.assertion_words(row)) for row in history]
    return [
        Edit(
            row,
            history[place + 1] if place + 1 < len(history) else None,
            lines[place],
            lines[place + 1] if place + 1 < len(history) else "",
        )
        for place, row in enumerate(history)
    ]


# ---------------------------------------------------------------- writing one


@dataclass(frozen=True)
class Suggestion:
    """What a new case begins with. `hint`: what its writer should know."""

    article: str = ""
    title: str = ""
    domain: str = ""
    origin: str = ""
    assertions: Sequence[Assertion] = field(default_factory=lambda: [Answers()])
    hint: str = ""


@capability("evaluate")
def case_new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return new_case_page(request, Suggestion())
    form = NewCaseForm(request.POST)
    rows = case_forms.rows_sent(request)
    if case_forms.is_changing_rows(request):
        return _new_page(request, NewCaseForm(initial=request.POST.dict()), rows)
    draft = case_forms.draft_of(form, rows)
    if draft is not None:
        try:
            made = _add(request, form, draft)
        except (InvalidInput, Refused) as error:
            case_forms.put_errors(form, rows, error)
        else:
            messages.success(request, f"Case {made.number} is in. Evaluations run it from now on.")
            return redirect("case", made.set_version.case_set_id, made.number)
    return _new_page(request, form, rows, status=422)


def _add(request: HttpRequest, form: NewCaseForm, draft: Draft) -> CaseVersion:
    case_set, reason = form.cleaned_data["case_set"], form.cleaned_data["reason"]
    with transaction.atomic():
        if isinstance(case_set, str):
            case_set = create_case_set(name=case_set, actor=request.user)
        return add_case(case_set=case_set, draft=draft, reason=reason, actor=request.user)


def new_case_page(request: HttpRequest, suggestion: Suggestion) -> HttpResponse:
    """The empty form, or one that was begun elsewhere. For those who may write cases."""
    initial: dict[str, Any] = {
        name: getattr(suggestion, name) for name in ("article", "title", "domain", "origin")
    }
    newest = CaseSet.objects.order_by("-pk").values_list("pk", flat=True).first()
    if newest is not None:
        initial["case_set"] = row_number(request.GET.get("set", "")) or newest
    rows = case_forms.rows_of(suggestion.assertions)
    return _new_page(request, NewCaseForm(initial=initial), rows, hint=suggestion.hint)


def _new_page(
    request: HttpRequest, form: CaseForm, rows: Sequence[AssertionRow], *, hint: str = "", status: int = 200
) -> HttpResponse:
    action = reverse("case_new")
    return _form_page(
        request, "models_app/cases/new.html", form, rows, status=status, hint=hint, action=action
    )


def _form_page(
    request: HttpRequest, page: str, form: CaseForm, rows: Sequence[AssertionRow], *, status: int, **more: Any
) -> HttpResponse:
    context = {"form": form, "rows": rows, "choices": case_forms.choices(), "most": MOST_ASSERTIONS, **more}
    if is_fragment(request) and case_forms.is_changing_rows(request):
        return render(request, "models_app/cases/_assertions.html", context)
    return render(request, page, context, status=status)


@capability("evaluate")
def case_edit(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    newest = _case(pk, number)[0]
    page = "models_app/cases/edit.html"
    context = {"case": newest, "case_set": newest.set_version.case_set, "action": request.path}
    if newest.retired:
        raise Refused(f"Case {number} is retired. Import it again to bring it back.")
    if request.method != "POST":
        form = EditCaseForm(initial=case_forms.initial_of(newest))
        rows = case_forms.rows_of(case_forms.read_assertions(newest))
        return _form_page(request, page, form, rows, status=200, **context)
    form = EditCaseForm(request.POST)
    rows = case_forms.rows_sent(request)
    if case_forms.is_changing_rows(request):
        form = EditCaseForm(initial=request.POST.dict())
        return _form_page(request, page, form, rows, status=200, **context)
    draft = case_forms.draft_of(form, rows)
    if draft is not None:
        looked_at = get_object_or_404(
            CaseVersion.objects.select_related("set_version__case_set"),
            pk=form.cleaned_data["newest"], number=number, set_version__case_set=pk,
        )  # fmt: skip
        try:
            made = edit_case(
                case=looked_at, draft=draft, reason=form.cleaned_data["reason"], actor=request.user
            )
        except (InvalidInput, Refused) as error:
            case_forms.put_errors(form, rows, error)
        else:
            same = made.pk == looked_at.pk
            messages.success(request, "Nothing changed." if same else f"Case {number} has a new version.")
            return redirect("case", pk, number)
    return _form_page(request, page, form, rows, status=422, **context)


@require_POST
@capability("evaluate")
def case_retire(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    newest = _case(pk, number)[0]
    try:
        retire_case(case=newest, reason=request.POST.get("reason", ""), actor=request.user)
    except (InvalidInput, Refused) as error:
        messages.error(request, _said(error))
        return redirect("case", pk, number)
    messages.success(request, f"Case {number} is retired. What releases made of it stays.")
    return redirect("case_set", pk)


# ---------------------------------------------------------------- what releases made of them


@require_safe
@capability("view_models")
def case_run(request: HttpRequest, pk: int) -> HttpResponse:
    """A release's results on one version of a set: what passed before and fails now first, then what fails."""
    rows = CaseRun.objects.select_related(
        "set_version__case_set", "release__model_version", "release__environment"
    )
    run = get_object_or_404(rows, pk=pk)
    before = _baseline(run.release)
    results = CaseResult.objects.filter(run=run)
    verdicts = dict(results.order_by("case__number").values_list("case", "verdict"))
    known = queries.verdicts_before(list(verdicts), release=before)
    shown = request.GET.get("show", "")
    order = _ordered(verdicts, known)
    if shown == "failing":
        order = [case for case in order if verdicts[case] != "pass"]
    page = paginate(request, order, RESULTS_PER_PAGE)
    found = {row.case_id: row for row in results.filter(case__in=list(page)).select_related("case")}
    counts = {
        name: sum(verdict == name for verdict in verdicts.values()) for name in ("pass", "fail", "undecided")
    }
    context = {
        "run": run,
        "release": run.release,
        "version": run.set_version,
        "page": page,
        "rows": queries.result_rows([found[case] for case in page], known),
        "counts": counts,
        "new": sum(verdicts[case] == "fail" and verdict == "pass" for case, verdict in known.items()),
        "before": before,
        "shown": shown,
    }
    return render(request, "models_app/cases/run.html", context)


def _baseline(release: Release) -> int | None:
    """The release that it was submitted against, else what is live beside it."""
    if release.comparison is not None:
        return release.comparison.baseline.release_id
    live = Route.objects.filter(environment=release.environment).values_list("release", flat=True).first()
    return live if live != release.pk else None


def _ordered(verdicts: dict[int, str], before: dict[int, str]) -> list[int]:
    gravity = {"fail": 1, "undecided": 2, "pass": 3}

    def key(case: int) -> int:
        return 0 if verdicts[case] == "fail" and before.get(case) == "pass" else gravity[verdicts[case]]

    return sorted(verdicts, key=key)  # of equals in order of their numbers


@require_safe
@capability("view_models")
def release_cases(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest run of each set, and what has not been run."""
    release = get_object_or_404(Release.objects.select_related("model_version"), pk=pk)
    context = {
        "release": release,
        "runs": queries.runs_of(release),
        "missing": missing_runs(release),
        "job": Job.objects.filter(kind="run_cases", subject=f"release:{pk}", state__in=Job.ACTIVE).first(),
    }
    return render(request, "models_app/cases/release.html", context)


@require_POST
@capability("evaluate")
def release_cases_run(request: HttpRequest, pk: int) -> HttpResponse:
    release = get_object_or_404(Release, pk=pk)
    try:
        job = start_cases(release=release, actor=request.user)
    except Refused as error:
        messages.info(request, error.message)
    else:
        messages.success(request, f"The cases are queued (job {job.pk}).")
    return redirect("release_cases", pk)


urlpatterns = [
    path("releases/<int:pk>/", release_cases, name="release_cases"),
    path("releases/<int:pk>/run/", release_cases_run, name="release_cases_run"),
    path("", case_sets, name="case_sets"),
    path("sets/new/", case_set_new, name="case_set_new"),
    path("new/", case_new, name="case_new"),
    path("runs/<int:pk>/", case_run, name="case_run"),
    path("<int:pk>/", case_set, name="case_set"),
    path("<int:pk>/history/", case_set_history, name="case_set_history"),
    path("<int:pk>/retire/", case_set_retire, name="case_set_retire"),
    path("<int:pk>/<int:number>/", case, name="case"),
    path("<int:pk>/<int:number>/edit/", case_edit, name="case_edit"),
    path("<int:pk>/<int:number>/retire/", case_retire, name="case_retire"),
]
