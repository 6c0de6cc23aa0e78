"""Composing a release: from a model, a prompt and decoding settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from models_app import queries
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import allowed
from models_app.ml.recipe import Decoding
from models_app.models import ModelVersion, PromptVersion, Release
from models_app.models.releases import live_release
from models_app.releases.composing import (
    LONGEST_NOTE,
    compose_release,
    origin_beside,
    usual_decoding,
    usual_prompt,
)
from models_app.texts.normalise import row_number
from models_app.web.pages import capability, page_or_fragment


class ComposeForm(forms.Form):
    model_version = forms.ModelChoiceField(ModelVersion.objects.all(), label="Model", empty_label=None)
    prompt_version = forms.ModelChoiceField(
        PromptVersion.objects.select_related("prompt"), label="Prompt", empty_label=None
    )
    max_words = forms.IntegerField(help_text="What the prompt asks for where it says {max_words}.")
    max_new_tokens = forms.IntegerField(help_text="Where writing stops at the latest.")
    min_new_tokens = forms.IntegerField()
    max_input_tokens = forms.IntegerField(help_text="Longer articles are cut at a sentence end.")
    beams = forms.IntegerField(help_text="1 takes the likeliest next word each time; more cost time.")
    length_penalty = forms.FloatField(help_text="Above 1 prefers longer texts; counts with several beams.")
    repetition_penalty = forms.FloatField(help_text="1 is none; 1.1 discourages repeating words.")
    no_repeat_ngram = forms.IntegerField(help_text="0 allows every repetition.")
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        help_text="What changes, in a sentence, for the people who decide.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in queries.SETTING_LABELS.items():
            self.fields[name].label = label

    @property
    def decoding_fields(self) -> list[forms.BoundField]:
        return [self[field.name] for field in fields(Decoding)]


def _initial(request: HttpRequest, live: Release | None) -> dict[str, Any]:
    """From an earlier release, or the model and prompt asked for, else the newest model with what is live."""
    start = _asked(request, "from", Release.objects.select_related("model_version", "prompt_version"))
    if start is not None:
        decoding = Decoding.from_dict(start.decoding).to_dict()
        return {
            "model_version": start.model_version_id,
            "prompt_version": start.prompt_version_id,
            "note": start.note,
            **decoding,
        }
    model = _asked(request, "model_version", ModelVersion.objects.select_related("training_run"))
    model = model or ModelVersion.objects.select_related("training_run").exclude(family="lead").first()
    if model is None:
        return dict(Decoding().to_dict())
    prompt = _asked(request, "prompt_version", PromptVersion.objects.select_related("prompt"))
    prompt = prompt or usual_prompt(model, live)
    return {
        "model_version": model.pk,
        "prompt_version": prompt.pk if prompt is not None else None,
        **usual_decoding(model, live),
    }


def _asked(request: HttpRequest, name: str, rows: Any) -> Any | None:
    raw = request.GET.get(name, "")
    return rows.filter(pk=row_number(raw)).first()


@capability("submit_release")
def new_release(request: HttpRequest) -> HttpResponse:
    live = live_release()
    form = ComposeForm(request.POST or None, initial=_initial(request, live) if not request.POST else None)
    if request.method == "POST" and form.is_valid():
        try:
            release = _compose(request, form, live)
        except InvalidInput as error:
            for name, message in (error.fields or {"": error.message}).items():
                form.add_error(name if name in form.fields else None, message)
        else:
            return _after_composing(request, release)
    context = {"form": form, "live": live, "models": ModelVersion.objects.exists()}
    if form.errors:
        return render(request, "models_app/releases/new.html", context, status=422)
    return page_or_fragment(
        request, "models_app/releases/new.html", "models_app/releases/_new_fields.html", context
    )


def _compose(request: HttpRequest, form: ComposeForm, live: Release | None) -> Release:
    values = form.cleaned_data
    return compose_release(
        model_version=values["model_version"],
        prompt_version=values["prompt_version"],
        decoding={field.name: values[field.name] for field in fields(Decoding)},
        origin=origin_beside(
            live, model_version=values["model_version"], prompt_version=values["prompt_version"]
        ),
        note=values["note"],
        actor=request.user,
    )


def _after_composing(request: HttpRequest, release: Release) -> HttpResponse:
    if release.state != Release.State.DRAFT:
        messages.info(
            request, f"Release {release.pk} is exactly this already; it is {release.state}. Nothing was made."
        )
        return redirect("release", release.pk)
    messages.success(request, f"Release {release.pk} is created. Nothing changes for anybody yet.")
    if "evaluate" in request.POST and allowed(request.user, "evaluate"):
        return redirect(f"{reverse('comparison_new')}?candidate={release.pk}")
    return redirect("release", release.pk)
