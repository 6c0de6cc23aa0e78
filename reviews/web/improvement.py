"""Requests for retraining and for another prompt: all of them, one with what it led to, a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import allowed
from models_app.models import PromptVersion, Release, TrainingRun
from models_app.web.pages import capability, paginate, user_of
from reviews.improvement import following, requests
from reviews.improvement.facts import Facts, facts_now, in_words, obstacle
from reviews.models import ImprovementRequest

PER_PAGE = 20
CHOICES = 50  # the newest runs and versions that may be the answer


class RequestForm(forms.Form):
    kind = forms.ChoiceField(
        label="What is needed",
        choices=[("retraining", "Retraining: the model itself"), ("prompt", "Another prompt")],
        widget=forms.RadioSelect,
        initial="retraining",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=ImprovementRequest.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}),
        help_text="What goes wrong, where it shows, and what would be better.",
    )


@require_safe
@capability("review")
def index(request: HttpRequest) -> HttpResponse:
    rows = ImprovementRequest.objects.select_related(
        "opened_by", "decided_by", "training_run", "prompt_version__prompt"
    )
    page = paginate(request, rows, PER_PAGE)
    facts = facts_now()
    now = [(kind, in_words(kind, facts), obstacle(kind, facts)) for kind in ImprovementRequest.Kind.values]
    votes, releases = requests.votes_of(page), following.releases_of(page)
    listed = [(row, votes[row.pk], _last_step(row, releases[row.pk])) for row in page]
    return render(request, "reviews/improvement/index.html", {"page": page, "rows": listed, "now": now})


def _last_step(row: ImprovementRequest, releases: Sequence[Release]) -> following.Step:
    """How far it is: the step that it is at, else the last one."""
    steps = following.steps(row, releases)
    return next((step for step in steps if step.state == "now"), steps[-1])


@capability("review")
def new(request: HttpRequest) -> HttpResponse:
    form = RequestForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = requests.open_request(**form.cleaned_data, actor=user_of(request))
        except InvalidInput as error:
            for name, message in error.fields.items():
                form.add_error(name if name in form.fields else None, message)
        else:
            if made.opened_by_id != user_of(request).pk:
                messages.info(request, f"A {made.kind} request is open already: you have voted for it.")
            return redirect("improvement", made.pk)
    facts = facts_now()
    now = [(kind, in_words(kind, facts), obstacle(kind, facts)) for kind in ImprovementRequest.Kind.values]
    return render(
        request,
        "reviews/improvement/new.html",
        {"form": form, "now": now},
        status=422 if form.errors else 200,
    )


@require_safe
@capability("review")
def one(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(pk)
    releases = following.releases_of([row])[row.pk]
    facts = facts_now()
    decides = requests.may_decide(row, user_of(request))
    context: dict[str, Any] = {
        "request_row": row,
        "votes": row.votes.select_related("person"),
        "vote_count": requests.votes_of([row])[row.pk],
        "mine": requests.is_theirs(row, user_of(request)),
        "may_withdraw": row.opened_by_id == user_of(request).pk,
        "decides": decides,
        "then": in_words(row.kind, Facts.of_json(row.evidence)),
        "now": in_words(row.kind, facts),
        "obstacle": obstacle(row.kind, facts),
        "steps": following.steps(row, releases),
        "releases": releases,
        "answers": _answers(row) if decides and row.state == "accepted" else [],
        "sees_models": allowed(user_of(request), "view_models"),
    }
    return render(request, "reviews/improvement/request.html", context)


def _answers(row: ImprovementRequest) -> list[tuple[int, str]]:
    """What may be said to answer it: begun since it was opened."""
    if row.kind == "retraining":
        runs = TrainingRun.objects.filter(created_at__gte=row.opened_at).order_by("-pk")[:CHOICES]
        return [(run.pk, f"{run}: {run.name} ({run.state})") for run in runs]
    versions = PromptVersion.objects.filter(created_at__gte=row.opened_at).select_related("prompt")
    return [(version.pk, str(version)) for version in versions.order_by("-pk")[:CHOICES]]


def _row(pk: int) -> ImprovementRequest:
    rows = ImprovementRequest.objects.select_related(
        "opened_by", "decided_by", "training_run", "prompt_version__prompt"
    )
    return get_object_or_404(rows, pk=pk)


@require_POST
@capability("review")
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    requests.vote(request=_row(pk), text=request.POST.get("text", ""), actor=user_of(request))
    return redirect("improvement", pk)


@require_POST
@capability("review")
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    row, reason, act = _row(pk), request.POST.get("reason", ""), request.POST.get("act", "")
    if act == "accept":
        requests.accept(request=row, reason=reason, actor=user_of(request))
    elif act == "decline":
        requests.decline(request=row, reason=reason, actor=user_of(request))
    elif act == "withdraw":
        requests.withdraw(request=row, actor=user_of(request))
    else:
        raise InvalidInput("Choose what to do.", fields={"act": "accept, decline or withdraw"})
    return redirect("improvement", pk)


@require_POST
@capability("review")
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    row, raw = _row(pk), request.POST.get("answer", "")
    number = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) < 19 else 0
    if row.kind == "retraining":
        run = get_object_or_404(TrainingRun, pk=number)
        requests.answer_with_training(request=row, run=run, actor=user_of(request))
    else:
        version = get_object_or_404(PromptVersion, pk=number)
        requests.answer_with_prompt(request=row, version=version, actor=user_of(request))
    return redirect("improvement", pk)


urlpatterns = [
    path("", index, name="improvements"),
    path("new/", new, name="improvement_new"),
    path("<int:pk>/", one, name="improvement"),
    path("<int:pk>/vote/", vote, name="improvement_vote"),
    path("<int:pk>/decide/", decide, name="improvement_decide"),
    path("<int:pk>/answer/", answer, name="improvement_answer"),
]
