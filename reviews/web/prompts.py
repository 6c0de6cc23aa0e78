"""Prompts: versions and where each is live, what reviewers suggest, and the playground."""

from __future__ import annotations

import time
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

from models_app.foundation.errors import GalleyError, InvalidInput, NotAllowed, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.seeds import prompt_digest
from models_app.ml.prompting import VARIABLES, PromptSpec, variables
from models_app.models import Deployment, Prompt, PromptVersion, Release
from models_app.prompts.versions import (
    LONGEST_CHARACTERS,
    LONGEST_NOTE,
    check_template,
    create_prompt,
    create_version,
    plain,
)
from models_app.releases.composing import compose_release, live_release
from models_app.web.pages import View, capability, is_fragment, paginate
from reviews.models import PromptSuggestion, ReviewQueue, SourceDocument, Thread
from reviews.playground import MOST_DOCUMENTS, Trial, find_documents, try_prompt, usable_documents
from reviews.suggestions import adopt_suggestion, decline_suggestion

# Without script all articles are written in one answer; what does not fit in is left out, and said.
PATIENCE_SECONDS = 40
OPEN_STATES = ("draft", "awaiting approval", "approved", "warming", "live")


def readers(view: View) -> View:
    """For those who review, who write prompts, and who see models."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not any(allowed(request.user, name) for name in ("review", "edit_prompts", "view_models")):
            raise NotAllowed("Your role does not show prompts. Ask an administrator.")
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
        "waiting": PromptSuggestion.objects.filter(state="open").count(),
    }
    if shown in ("suggestions", "decided"):
        rows = PromptSuggestion.objects.select_related(
            "suggested_by", "document", "based_on__prompt", "adopted_as__prompt", "decided_by"
        ).defer("document__text", "document__reference")
        rows = rows.filter(state="open") if shown == "suggestions" else rows.exclude(state="open")
        context["page"] = paginate(
            request, rows.order_by("pk" if shown == "suggestions" else "-decided_at"), 10
        )
    else:
        context["rows"] = _prompt_rows()
    return render(request, "reviews/prompts.html", context)


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
    return render(request, "reviews/prompt.html", context)


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


def _put_errors(form: forms.Form, error: GalleyError) -> None:
    for name, message in (error.fields or {"": error.message}).items():
        form.add_error(name if name in form.fields else None, message)


@capability("edit_prompts")
def new_prompt(request: HttpRequest) -> HttpResponse:
    form = NewPromptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_prompt(**form.cleaned_data, actor=request.user)
        except InvalidInput as error:
            _put_errors(form, error)
        else:
            messages.success(request, f"{made.name} has its first version.")
            return redirect("prompt", made.pk)
    context = {"form": form, "variables": VARIABLES}
    return render(request, "reviews/prompt_new.html", context, status=422 if form.errors else 200)


@capability("edit_prompts")
def new_version(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Prompt, pk=pk)
    raw = request.POST.get("parent") or request.GET.get("base", "")
    versions = PromptVersion.objects.filter(prompt=row).select_related("prompt")
    base = versions.filter(pk=raw).first() if raw.isdecimal() and len(raw) < 19 else None
    base = base or versions.order_by("-number")[0]
    form = PromptForm(request.POST or None, initial={"system": base.system, "template": base.template})
    if row.kind != Prompt.Kind.CHAT:
        form.fields["system"].widget = forms.HiddenInput()
    if request.method == "POST" and form.is_valid():
        there = _is_version(row, form.cleaned_data["system"], form.cleaned_data["template"])
        try:
            made = create_version(prompt=row, parent=base, **form.cleaned_data, actor=request.user)
        except InvalidInput as error:
            _put_errors(form, error)
        else:
            _say_saved(request, made, there)
            return redirect("prompt", pk)
    context = {"form": form, "prompt": row, "base": base, "variables": VARIABLES}
    return render(request, "reviews/prompt_version_new.html", context, status=422 if form.errors else 200)


def _say_saved(request: HttpRequest, version: PromptVersion, there_before: bool) -> None:
    """Saving words that are a version already gives that one."""
    messages.success(
        request, f"These words are {version} already." if there_before else f"Saved as {version}."
    )


def _is_version(prompt: Prompt, system: str, template: str) -> bool:
    digest = prompt_digest(plain(system), plain(template))
    return PromptVersion.objects.filter(prompt=prompt, digest=digest).exists()


@require_POST
@capability("edit_prompts")
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
    return render(request, "reviews/_prompt_check.html", context)


# ---------------------------------------------------------------- suggestions


def _suggestion(pk: int) -> PromptSuggestion:
    return get_object_or_404(
        PromptSuggestion.objects.select_related("suggested_by", "based_on__prompt"), pk=pk
    )


def _to_suggestions() -> HttpResponse:
    return redirect(f"{reverse('prompts')}?show=suggestions")


@require_POST
@capability("edit_prompts")
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        version = adopt_suggestion(suggestion=_suggestion(pk), actor=request.user)
    except StaleState as error:
        messages.warning(request, error.message)
        return _to_suggestions()
    messages.success(request, f"Adopted as {version}. Compose a release with it to see whether it is better.")
    return redirect("prompt_version", version.pk)


@require_POST
@capability("edit_prompts")
def decline(request: HttpRequest, pk: int) -> HttpResponse:
    suggestion = _suggestion(pk)
    try:
        decline_suggestion(suggestion=suggestion, reason=request.POST.get("reason", ""), actor=request.user)
    except (InvalidInput, StaleState) as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
    else:
        messages.success(request, f"Declined. {suggestion.suggested_by.get_username()} is shown the reason.")
    return _to_suggestions()


# ---------------------------------------------------------------- the playground


class PlaygroundForm(PromptForm):
    parent = forms.ModelChoiceField(
        PromptVersion.objects.select_related("prompt"), label="Start from", empty_label=None
    )
    article = forms.CharField(
        label="Articles",
        required=False,
        max_length=200,
        help_text="A number or words of the title; empty: the newest.",
    )
    queue = forms.ModelChoiceField(
        ReviewQueue.objects.filter(active=True), label="From", required=False, empty_label="all documents"
    )
    count = forms.IntegerField(label="How many", min_value=1, max_value=MOST_DOCUMENTS)
    suggestion = forms.ModelChoiceField(
        PromptSuggestion.objects.filter(state="open"), required=False, widget=forms.HiddenInput
    )

    def spec(self) -> PromptSpec:
        """Raises InvalidInput at the field that is wrong."""
        kind = self.cleaned_data["parent"].prompt.kind
        system, template = plain(self.cleaned_data["system"]), plain(self.cleaned_data["template"])
        check_template(kind=kind, system=system, template=template)
        return PromptSpec(kind, system, template)


def _number(request: HttpRequest, name: str) -> int | None:
    raw = request.GET.get(name, "")
    return int(raw) if raw.isdecimal() and len(raw) < 19 else None


def _start(request: HttpRequest, live: Release | None) -> dict[str, Any]:
    """From a suggestion, a version, or what is live."""
    versions = PromptVersion.objects.select_related("prompt")
    if (pk := _number(request, "suggestion")) is not None:
        suggestion = get_object_or_404(
            PromptSuggestion.objects.select_related("based_on"), pk=pk, state="open"
        )
        return {
            "parent": suggestion.based_on_id,
            "system": suggestion.system,
            "template": suggestion.template,
            "note": suggestion.note,
            "article": str(suggestion.document_id) if _usable(suggestion.document_id) else "",
            "suggestion": suggestion.pk,
            "count": 1,
        }
    pk = _number(request, "parent") or _number(request, "version")
    version = versions.filter(pk=pk).first() if pk is not None else None
    version = version or (live.prompt_version if live is not None else versions.order_by("-pk").first())
    document = _number(request, "document")
    return {
        "parent": version.pk if version is not None else None,
        "system": version.system if version is not None else "",
        "template": version.template if version is not None else "",
        "article": str(document) if document is not None else "",
        "count": 1 if document is not None else 3,
    }


def _usable(document: int) -> bool:
    return usable_documents().filter(pk=document).exists()


@capability("edit_prompts")
def playground(request: HttpRequest) -> HttpResponse:
    live = live_release()
    if request.method != "POST":
        form = PlaygroundForm(initial=_start(request, live))
        template = "reviews/_playground_prompt.html" if is_fragment(request) else "reviews/playground.html"
        return render(request, template, _playground_context(form, live))
    form = PlaygroundForm(request.POST)
    if not form.is_valid():
        return _playground(request, form, live, status=422)
    try:
        if "save" in request.POST or "compose" in request.POST:
            return _save(request, form, live)
        return _run(request, form, live)
    except InvalidInput as error:
        _put_errors(form, error)
        return _playground(request, form, live, status=422)


def _playground_context(form: PlaygroundForm, live: Release | None) -> dict[str, Any]:
    parent = PromptVersion.objects.select_related("prompt").filter(pk=form["parent"].value() or 0).first()
    return {"form": form, "live": live, "parent": parent, "variables": VARIABLES}


def _playground(
    request: HttpRequest, form: PlaygroundForm, live: Release | None, status: int = 200, **more: Any
) -> HttpResponse:
    template = "reviews/_playground.html" if is_fragment(request) else "reviews/playground.html"
    return render(request, template, {**_playground_context(form, live), **more}, status=status)


def _run(request: HttpRequest, form: PlaygroundForm, live: Release | None) -> HttpResponse:
    """With script the articles come one after another, each by a request of its own."""
    spec = form.spec()
    if live is None:
        form.add_error(None, "Nothing is live, so there is no model to try the prompt with.")
        return _playground(request, form, live, status=422)
    documents = find_documents(
        words=form.cleaned_data["article"], queue=form.cleaned_data["queue"], count=form.cleaned_data["count"]
    )
    if is_fragment(request):
        return _playground(request, form, live, awaited=documents, ran=True)
    trials, left = _all_at_once(documents, spec, live)
    return _playground(request, form, live, trials=trials, left=left, ran=True)


def _all_at_once(
    documents: Sequence[SourceDocument], spec: PromptSpec, live: Release
) -> tuple[list[Trial], int]:
    """As many as patience allows, and how many were left."""
    until = time.monotonic() + PATIENCE_SECONDS
    trials: list[Trial] = []
    for document in documents:
        if trials and time.monotonic() > until:
            break
        trials.append(try_prompt(document=document, prompt=spec, live=live))
    return trials, len(documents) - len(trials)


@require_POST
@capability("edit_prompts")
def run_one(request: HttpRequest, pk: int) -> HttpResponse:
    """One article, for the page that shows them as they come."""
    document = get_object_or_404(usable_documents(), pk=pk)
    form = PlaygroundForm(request.POST)
    live = live_release()
    if not form.is_valid() or live is None:
        raise InvalidInput("Run it again: the prompt changed meanwhile, or nothing is live.")
    trial = try_prompt(document=document, prompt=form.spec(), live=live)
    return render(request, "reviews/_playground_trial.html", {"trial": trial, "live": live})


def _save(request: HttpRequest, form: PlaygroundForm, live: Release | None) -> HttpResponse:
    """The next version; with `compose` also a release of the live model with it, on its way to a comparison."""
    composing = "compose" in request.POST
    if composing:
        require(request.user, "submit_release")
        if live is None:
            form.add_error(None, "Nothing is live, so there is no model to compose a release of.")
            return _playground(request, form, live, status=422)
    version = _saved(request, form)
    if not composing:
        return _leave(request, reverse("prompt_version", args=[version.pk]))
    assert live is not None  # nosec B101 (looked at above)
    release = compose_release(
        model_version=live.model_version,
        prompt_version=version,
        decoding=live.decoding,
        origin=Release.Origin.PROMPT,
        note=version.note,
        actor=request.user,
    )
    if release.state != Release.State.DRAFT:
        messages.info(
            request, f"Release {release.pk} is the live model with this prompt; it is {release.state}."
        )
        return _leave(request, reverse("release", args=[release.pk]))
    messages.success(
        request, f"Release {release.pk} is the live model with this prompt. Compare it with what is live."
    )
    return _leave(request, f"{reverse('comparison_new')}?candidate={release.pk}")


def _saved(request: HttpRequest, form: PlaygroundForm) -> PromptVersion:
    spec, note = form.spec(), form.cleaned_data["note"]
    parent, suggestion = form.cleaned_data["parent"], form.cleaned_data["suggestion"]
    there = _is_version(parent.prompt, spec.system, spec.template)
    if suggestion is not None and suggestion.based_on_id == parent.pk:
        version = adopt_suggestion(
            suggestion=suggestion, template=spec.template, system=spec.system, note=note, actor=request.user
        )
    else:
        version = create_version(
            prompt=parent.prompt, parent=parent, template=spec.template, system=spec.system, note=note,
            actor=request.user,
        )  # fmt: skip
    _say_saved(request, version, there)
    return version


def _leave(request: HttpRequest, url: str) -> HttpResponse:
    """To another page, by htmx as well."""
    if is_fragment(request):
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = url
        return answer
    return redirect(url)


urlpatterns = [
    path("", prompts, name="prompts"),
    path("new/", new_prompt, name="prompt_new"),
    path("check/", check, name="prompt_check"),
    path("playground/", playground, name="prompt_playground"),
    path("playground/<int:pk>/", run_one, name="prompt_run"),
    path("suggestions/<int:pk>/adopt/", adopt, name="suggestion_adopt"),
    path("suggestions/<int:pk>/decline/", decline, name="suggestion_decline"),
    path("versions/<int:pk>/", prompt_version, name="prompt_version"),
    path("<int:pk>/", prompt, name="prompt"),
    path("<int:pk>/new-version/", new_version, name="prompt_version_new"),
]
