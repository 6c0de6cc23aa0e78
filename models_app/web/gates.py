"""The gates of a release: what each found, what stands in its way, and what was waived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.evaluation.metrics import METRICS, Metric
from models_app.foundation.errors import GalleyError, InvalidInput, Refused, TooManyTries
from models_app.foundation.roles import allowed
from models_app.gates import policies, running
from models_app.gates.running import Finding
from models_app.models import GateRun, Release, Waiver
from models_app.releases.accounts import Circle
from models_app.releases.judging import judge_again, may_be_judged_again
from models_app.releases.waiving import LONGEST_REASON, agree_to_waiver, ask_for_waiver, end_waiver, may_agree
from models_app.texts.figures import DASH, number
from models_app.web.pages import capability, page_or_fragment, user_of
from models_app.web.proof import ProofForm, put_on
from models_app.web.trail import About, subject_words

TONES = {"pass": "ok", "fail": "bad", "error": "bad", "inconclusive": "maybe", "waived": "maybe"}


class AskForm(forms.Form):
    gate = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(required=False, widget=forms.HiddenInput)
    days = forms.IntegerField(label="For how many days", min_value=1)
    reason = forms.CharField(max_length=LONGEST_REASON, widget=forms.Textarea(attrs={"rows": 2}))


class AgreeForm(ProofForm):
    reason = forms.CharField(
        label="Why you agree", max_length=LONGEST_REASON, widget=forms.Textarea(attrs={"rows": 2})
    )
    field_order = ("reason",)


@dataclass(frozen=True)
class Row:
    """A result for the page."""

    finding: Finding
    name: str
    tone: str
    word: str
    estimate: str
    interval: str
    about: About
    open: Waiver | None  # asked for and not ended, whether agreed to or not
    form: AskForm | None  # where this reader may ask for a waiver

    @property
    def key(self) -> str:
        return f"{self.finding.row.gate}-{self.finding.row.position}"


@dataclass(frozen=True)
class Told:
    """A waiver with what this reader may do about it."""

    waiver: Waiver
    holds: bool
    may_agree: bool
    why_not: str
    form: AgreeForm | None

    @property
    def dialog(self) -> str:
        return f"end-waiver-{self.waiver.pk}"


def _release(pk: int) -> Release:
    return get_object_or_404(
        Release.objects.select_related("environment", "comparison", "prompt_version", "model_version"), pk=pk
    )


@require_safe
@capability("view_models")
def gates(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _release(pk))


def _page(
    request: HttpRequest,
    release: Release,
    *,
    asked: AskForm | None = None,
    agreed: tuple[int, AgreeForm] | None = None,
    problem: GalleyError | None = None,
) -> HttpResponse:
    run = running.newest(release)
    outcome = running.outcome(run) if run is not None else None
    all_waivers = list(
        Waiver.objects.filter(release=release).select_related("asked_by", "agreed_by", "ended_by", "release")
    )
    may_ask = allowed(request.user, "submit_release")
    findings = outcome.findings if outcome is not None else ()
    # what stands in the way first, each in the order of the policy
    ordered = sorted(findings, key=lambda one: one.counts_as == "pass" and one.waiver is None)
    rows = [_row(one, all_waivers, may_ask=may_ask, asked=asked) for one in ordered]
    circle = Circle(release)
    context = {
        "release": release,
        "run": run,
        "job": run.job if run is not None else None,
        "outcome": outcome,
        "rows": rows,
        "waivers": [_told(one, rows, request.user, circle, agreed) for one in all_waivers],
        "may_run": may_be_judged_again(release) and allowed(request.user, "submit_release"),
        "longest_days": policies.read(run.policy).waivers.longest_days if run is not None else 0,
        "problem": problem,
        "tone": {"awaiting approval": "ok", "blocked": "bad"}.get(outcome.state, "maybe") if outcome else "",
        "moving": run is not None and run.state in GateRun.ACTIVE,
    }
    status = 200 if problem is None else problem.status
    answer = page_or_fragment(
        request, "models_app/releases/gates.html", "models_app/releases/_gates.html", context, status=status
    )
    if isinstance(problem, TooManyTries):
        answer["Retry-After"] = str(problem.retry_after)
    return answer


def _row(finding: Finding, all_waivers: list[Waiver], *, may_ask: bool, asked: AskForm | None) -> Row:
    result = finding.row
    standing = next(
        (
            one
            for one in all_waivers
            if one.ended_at is None and (one.gate, one.name) == (result.gate, result.name)
        ),
        None,
    )
    form = None
    if may_ask and not finding.unwaivable and standing is None:
        key = {"gate": result.gate, "name": result.name}
        mine = asked is not None and all(asked.data.get(name) == value for name, value in key.items())
        form = asked if mine else AskForm(initial={**key, "days": 14}, auto_id=f"id_ask_{result.position}_%s")
    metric = METRICS.get(result.name)
    word = "waived" if finding.waiver is not None else result.verdict
    return Row(
        finding=finding,
        name=metric.label if metric is not None else result.name.replace("_", " "),
        tone=TONES[word],
        word=word,
        estimate=_figure(result.estimate, metric),
        interval=f"{_figure(result.low, metric)} … {_figure(result.high, metric)}",
        about=subject_words(result.evidence) if result.evidence else About("", ""),
        open=standing,
        form=form,
    )


def _figure(value: float | None, metric: Metric | None) -> str:
    """With the metric's decimals; figures of other kinds with four digits that count."""
    if value is None:
        return DASH
    return (
        number(value, max(metric.decimals, 2)) if metric is not None else number(float(f"{value:.4g}"), None)
    )


def _told(
    waiver: Waiver, rows: list[Row], user: Any, circle: Circle, agreed: tuple[int, AgreeForm] | None
) -> Told:
    may, why = may_agree(waiver, user, circle=circle) if waiver.agreed_at is None else (False, "")
    form = None
    if may:
        mine = agreed is not None and agreed[0] == waiver.pk
        form = agreed[1] if mine and agreed else AgreeForm(user=user, prefix=str(waiver.pk))
    holds = any(row.finding.waiver is not None and row.finding.waiver.pk == waiver.pk for row in rows)
    return Told(waiver, holds, may, why, form)


@require_POST
@capability("submit_release")
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    release = judge_again(release=_release(pk), actor=request.user)
    run = running.newest(release)
    if run is not None and run.state in GateRun.ACTIVE:
        messages.success(request, "The gates are being judged.")
    else:
        messages.info(
            request, f"Nothing has changed since they were judged; release {pk} is {release.state}."
        )
    return redirect("release_gates", pk)


@require_POST
@capability("submit_release")
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    release, form = _release(pk), AskForm(request.POST, auto_id="id_asked_%s")
    problem: GalleyError | None = InvalidInput("The form is not complete.")
    if form.is_valid():
        try:
            ask_for_waiver(release=release, actor=user_of(request), **form.cleaned_data)
            problem = None
        except (InvalidInput, Refused) as error:
            put_on(form, error.fields or {"": error.message})
            problem = error
    if problem is not None:
        return _page(request, release, asked=form, problem=problem)
    messages.success(request, "The waiver is asked for. Somebody without a hand in the release has to agree.")
    return redirect("release_gates", pk)


@require_POST
@capability("approve_release")
def agree(request: HttpRequest, pk: int, waiver: int) -> HttpResponse:
    release, row = _release(pk), get_object_or_404(Waiver, pk=waiver, release=pk)
    form = AgreeForm(request.POST, user=request.user, prefix=str(row.pk))
    problem: GalleyError | None = InvalidInput("The form is not complete.")
    if form.is_valid():
        try:
            agree_to_waiver(waiver=row, actor=user_of(request), **form.signed)
            problem = None
        except (InvalidInput, Refused, TooManyTries) as error:
            form.add_refusal(error)
            problem = error
    if problem is not None:
        return _page(request, release, agreed=(row.pk, form), problem=problem)
    messages.success(request, f"Waived until {row.expires_at:%d %B %Y}.")
    return redirect("release_gates", pk)


@require_POST
@capability("view_models")
def end(request: HttpRequest, pk: int, waiver: int) -> HttpResponse:
    """Who may, the use case says: people who may ask for a waiver or agree to one."""
    row = get_object_or_404(Waiver, pk=waiver, release=pk)
    end_waiver(waiver=row, reason=request.POST.get("reason", ""), actor=user_of(request))
    messages.success(request, "The waiver has ended.")
    return redirect("release_gates", pk)


urlpatterns = [
    path("<int:pk>/gates/", gates, name="release_gates"),
    path("<int:pk>/gates/run/", run_again, name="release_gates_run"),
    path("<int:pk>/gates/waivers/", ask, name="waiver_ask"),
    path("<int:pk>/gates/waivers/<int:waiver>/agree/", agree, name="waiver_agree"),
    path("<int:pk>/gates/waivers/<int:waiver>/end/", end, name="waiver_end"),
]
