"""Prompts: versions, where each is and was live, two of them word by word, and what reviewers suggest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput, NotAllowed, NotFound, StaleState
from models_app.foundation.roles import allowed
from models_app.foundation.seeds import prompt_digest
from models_app.ml.prompting import VARIABLES, variables
from models_app.models import Deployment, Prompt, PromptVersion, Release
from models_app.prompts.versions import (
    LONGEST_CHARACTERS,
    LONGEST_NOTE,
    check_template,
    plain,
)
from models_app.texts.normalise import row_number
from models_app.web.pages import View, capability, paginate
from reviews.models import PromptSuggestion, Thread
from reviews.prompts.suggestions import adopt_suggestion, decline_suggestion, save_prompt, save_version
from reviews.queues.blindness import readable_suggestions

MOST_CHOICES = 500
OPEN_STATES = (*Release.ON_ITS_WAY, Release.State.LIVE)


def readers(view: View) -> View:
    """For those who review, who write prompts, and who see models."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not any(allowed(request.user, name) for name in ("review", "edit_prompts", "view_models")):
            raise NotAllowed("Your role does not show prompts. Ask an administrator.")
        return view(request, *args, **kwargs)

    return guarded


def writers(view: View) -> View:
    """For those who may try words of their own: reviewers suggest them, engineers make versions of them."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not any(allowed(request.user, name) for name in ("review", "edit_prompts")):
            raise NotAllowed("Your role does not try prompts. Ask an administrator.")
        return view(request, *args, **kwargs)

    return guarded


# ---------------------------------------------------------------- prompts and their versions


@dataclass
class PromptRow:
    prompt: Prompt
    newest: PromptVersion
    count: int
    releases: list[Release] = field(default_factory=list)  # open ones, of any of its versions


def _prompt_rows() -> list[PromptRow]:
    """3 queries."""
    counts = dict(PromptVersion.objects.order_by().values_list("prompt").annotate(n=Count("pk")))
    newest = PromptVersion.objects.order_by("prompt__name", "-number").distinct("prompt__name")
    rows = {
        version.prompt_id: PromptRow(version.prompt, version, counts[version.prompt_id])
        for version in newest.select_related("prompt", "created_by")
    }
    used = Release.objects.filter(state__in=OPEN_STATES).exclude(origin="baseline")
    for release in used.select_related("prompt_version").order_by("-pk"):
        rows[release.prompt_version.prompt_id].releases.append(release)
    return sorted(rows.values(), key=lambda row: (not _is_live(row.releases), row.prompt.name))


def _is_live(releases: Sequence[Release]) -> bool:
    return any(release.state == Release.State.LIVE for release in releases)


@require_safe
@readers
def prompts(request: HttpRequest) -> HttpResponse:
    shown = request.GET.get("show", "")
    context: dict[str, Any] = {
        "shown": shown,
        "waiting": readable_suggestions(PromptSuggestion.objects.filter(state="open"), request.user).count(),
    }
    if shown in ("suggestions", "decided"):
        rows = PromptSuggestion.objects.select_related(
            "suggested_by", "document", "based_on__prompt", "adopted_as__prompt", "decided_by"
        ).defer("document__text", "document__reference")
        rows = readable_suggestions(rows, request.user)
        rows = rows.filter(state="open") if shown == "suggestions" else rows.exclude(state="open")
        context["page"] = paginate(
            request, rows.order_by("pk" if shown == "suggestions" else "-decided_at"), 10
        )
    else:
        context["rows"] = _prompt_rows()
    return render(request, "reviews/prompts/index.html", context)


@dataclass(frozen=True)
class VersionRow:
    version: PromptVersion
    releases: list[Release]
    writers: list[str]
    conversations: int  # open ones
    lived: list[Deployment]  # when it was live, the newest first

    @property
    def live(self) -> bool:
        return _is_live(self.releases)


@require_safe
@readers
def prompt(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Prompt, pk=pk)
    versions = row.versions.select_related("prompt", "parent", "created_by").order_by("-number")
    page = paginate(request, versions, 20)
    context = {"prompt": row, "page": page, "rows": _version_rows(list(page)), "variables": VARIABLES}
    return render(request, "reviews/prompts/prompt.html", context)


def _version_rows(versions: list[PromptVersion]) -> list[VersionRow]:
    """4 queries."""
    releases: dict[int, list[Release]] = {}
    for release in (
        Release.objects.filter(prompt_version__in=versions).exclude(origin="baseline").order_by("-pk")
    ):
        releases.setdefault(release.prompt_version_id, []).append(release)
    credit: dict[int, list[str]] = {}
    adopted = PromptSuggestion.objects.filter(adopted_as__in=versions)
    for pk, name in adopted.values_list("adopted_as", "suggested_by__username").order_by("pk"):
        credit.setdefault(pk, []).append(name)
    talk = Thread.objects.filter(prompt_version__in=versions, resolved_at=None)
    spoken = dict(talk.order_by().values_list("prompt_version").annotate(n=Count("pk")))
    lived: dict[int, list[Deployment]] = {}
    for deployment in (
        Deployment.objects.filter(release__prompt_version__in=versions)
        .select_related("release", "environment")
        .order_by("-live_from")
    ):
        lived.setdefault(deployment.release.prompt_version_id, []).append(deployment)
    return [
        VersionRow(
            row,
            releases.get(row.pk, []),
            credit.get(row.pk, []),
            spoken.get(row.pk, 0),
            lived.get(row.pk, []),
        )
        for row in versions
    ]


@require_safe
@readers
def prompt_version(request: HttpRequest, pk: int) -> HttpResponse:
    """The version's place in the history of its prompt."""
    version = get_object_or_404(PromptVersion, pk=pk)
    newer = PromptVersion.objects.filter(prompt=version.prompt_id, number__gt=version.number).count()
    return redirect(f"{reverse('prompt', args=[version.prompt_id])}?page={newer // 20 + 1}#v{version.number}")


# ---------------------------------------------------------------- writing one


class PromptForm(forms.Form):
    system = forms.CharField(
        label="System message",
        required=False,
        strip=False,
        max_length=LONGEST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 1, "class": "mono low", "dir": "auto"}),
        help_text="Who the model is and how it answers.",
    )
    template = forms.CharField(
        label="Prompt",
        strip=False,
        max_length=LONGEST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "dir": "auto"}),
        help_text="{text} is the article and has to be there once.",
    )
    note = forms.CharField(
        label="What changed and why",
        required=False,
        max_length=LONGEST_NOTE,
        help_text="Shown in the history.",
    )


class NewPromptForm(PromptForm):
    name = forms.CharField(max_length=80)
    kind = forms.ChoiceField(
        choices=[
            ("chat", "chat, for instruct models"),
            ("prefix", "prefix, for encoder–decoders and plain models"),
        ],
        help_text="Chat prompts are put into the model's own chat format.",
    )
    field_order = ["name", "kind", "system", "template", "note"]


def put_errors(form: forms.Form, error: GalleyError) -> None:
    for name, message in (error.fields or {"": error.message}).items():
        form.add_error(name if name in form.fields else None, message)


@capability("edit_prompts")
def new_prompt(request: HttpRequest) -> HttpResponse:
    form = NewPromptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = save_prompt(**form.cleaned_data, actor=request.user)
        except InvalidInput as error:
            put_errors(form, error)
        else:
            messages.success(request, f"{made.name} has its first version.")
            return redirect("prompt", made.pk)
    context = {"form": form, "variables": VARIABLES}
    return render(request, "reviews/prompts/new.html", context, status=422 if form.errors else 200)


@capability("edit_prompts")
def new_version(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Prompt, pk=pk)
    raw = request.POST.get("parent") or request.GET.get("base", "")
    versions = PromptVersion.objects.filter(prompt=row).select_related("prompt")
    base = versions.filter(pk=row_number(raw) or 0).first()
    base = base or versions.order_by("-number")[0]
    form = PromptForm(request.POST or None, initial={"system": base.system, "template": base.template})
    if row.kind != Prompt.Kind.CHAT:
        form.fields["system"].widget = forms.HiddenInput()
    if request.method == "POST" and form.is_valid():
        there = is_version(row, form.cleaned_data["system"], form.cleaned_data["template"])
        try:
            made = save_version(prompt=row, parent=base, **form.cleaned_data, actor=request.user)
        except InvalidInput as error:
            put_errors(form, error)
        else:
            say_saved(request, made, there)
            return redirect("prompt", pk)
    context = {"form": form, "prompt": row, "base": base, "variables": VARIABLES}
    return render(request, "reviews/prompts/version_new.html", context, status=422 if form.errors else 200)


def say_saved(request: HttpRequest, version: PromptVersion, there_before: bool) -> None:
    """Saving words that are a version already gives that one."""
    messages.success(
        request, f"These words are {version} already." if there_before else f"Saved as {version}."
    )


def is_version(prompt: Prompt, system: str, template: str) -> bool:
    digest = prompt_digest(plain(system), plain(template))
    return PromptVersion.objects.filter(prompt=prompt, digest=digest).exists()


@require_POST
@writers
def check(request: HttpRequest) -> HttpResponse:
    """Whether the variables are right, while somebody types."""
    template, system = plain(request.POST.get("template", "")), plain(request.POST.get("system", ""))
    context: dict[str, Any] = {}
    try:
        check_template(kind=request.POST.get("kind", "chat"), system=system, template=template)
        context["used"] = sorted({*variables(template), *variables(system)}, key=list(VARIABLES).index)
        context["length"] = len(template) + len(system)
    except InvalidInput as error:
        context["error"] = error
    return render(request, "reviews/prompts/_check.html", context)


# ---------------------------------------------------------------- suggestions


def _suggestion(request: HttpRequest, pk: int) -> PromptSuggestion:
    rows = PromptSuggestion.objects.select_related("suggested_by", "based_on__prompt")
    return get_object_or_404(readable_suggestions(rows, request.user), pk=pk)


def _to_suggestions() -> HttpResponse:
    return redirect(f"{reverse('prompts')}?show=suggestions")


@require_POST
@capability("edit_prompts")
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        version = adopt_suggestion(suggestion=_suggestion(request, pk), actor=request.user)
    except StaleState as error:
        messages.warning(request, error.message)
        return _to_suggestions()
    messages.success(request, f"Adopted as {version}. Make a release with it to see whether it is better.")
    return redirect("prompt_version", version.pk)


@require_POST
@capability("edit_prompts")
def decline(request: HttpRequest, pk: int) -> HttpResponse:
    suggestion = _suggestion(request, pk)
    try:
        decline_suggestion(suggestion=suggestion, reason=request.POST.get("reason", ""), actor=request.user)
    except (InvalidInput, StaleState) as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    else:
        messages.success(request, f"Declined. {suggestion.suggested_by.get_username()} is shown the reason.")
    return _to_suggestions()


# ---------------------------------------------------------------- two versions, word by word


@require_safe
@readers
def compare(request: HttpRequest) -> HttpResponse:
    """Any two versions, of one prompt or of two."""
    versions = PromptVersion.objects.select_related("prompt", "created_by")
    asked = [request.GET.get(name, "") for name in ("a", "b")]
    keys = [row_number(raw) or 0 for raw in asked]
    found = versions.in_bulk([key for key in keys if key])
    if any(raw and key not in found for raw, key in zip(asked, keys, strict=True)):
        raise NotFound("There is no such prompt version.")
    rows = {row.version.pk: row for row in _version_rows(list(found.values()))}
    context = {
        "choices": versions.defer("template", "system").order_by("prompt__name", "-number")[:MOST_CHOICES],
        "a": rows.get(keys[0]),
        "b": rows.get(keys[1]),
    }
    return render(request, "reviews/prompts/compare.html", context)


urlpatterns = [
    path("", prompts, name="prompts"),
    path("new/", new_prompt, name="prompt_new"),
    path("check/", check, name="prompt_check"),
    path("compare/", compare, name="prompt_compare"),
    path("suggestions/<int:pk>/adopt/", adopt, name="suggestion_adopt"),
    path("suggestions/<int:pk>/decline/", decline, name="suggestion_decline"),
    path("versions/<int:pk>/", prompt_version, name="prompt_version"),
    path("<int:pk>/", prompt, name="prompt"),
    path("<int:pk>/new-version/", new_version, name="prompt_version_new"),
]
