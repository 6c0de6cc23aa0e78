"""Exports: ask for a file, watch it being written, fetch it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import allowed
from models_app.models import DatasetSnapshot, PromptVersion
from models_app.web.fields import field_of
from models_app.web.pages import capability, page_or_fragment, paginate, user_of
from reviews.exports import requests
from reviews.exports.download import download_of
from reviews.exports.request import FORMATS, KINDS, TRAINING, Request, may_export_all
from reviews.models import Export, ReviewQueue

PER_PAGE = 20
LABELS = {
    "reviews": "Reviews", "ratings": "Ratings", "spans": "Marked errors", "edits": "Edits",
    "preferences": "Pairwise choices", "sft": "SFT: prompt, completion", "chat": "Chat: messages",
    "dpo": "DPO: prompt, chosen, rejected",
}  # fmt: skip


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class ExportForm(forms.Form):
    kind = forms.ChoiceField(label="What")
    format = forms.ChoiceField(choices=list(FORMATS.items()), label="As")
    queue = forms.ChoiceField(required=False, label="Queue")
    since = forms.DateField(required=False, label="From", widget=_day())
    until = forms.DateField(required=False, label="To", widget=_day())
    whose = forms.ChoiceField(
        choices=[
            ("pseudonyms", "everybody’s, by pseudonym"),
            ("names", "everybody’s, by name"),
            ("mine", "only my own"),
        ],
        required=False,
        label="Whose",
    )
    texts = forms.BooleanField(
        required=False,
        initial=True,
        label="With the articles",
        help_text="The files are many times larger with them.",
    )
    compressed = forms.BooleanField(
        required=False, label="Packed with gzip", help_text="JSON Lines and CSV; a folder is packed anyway."
    )
    snapshot = forms.ChoiceField(
        required=False,
        label="Examples",
        help_text="A snapshot is taken as it was frozen: leave queue and days empty.",
    )
    split = forms.ChoiceField(
        choices=[("train", "train"), ("validation", "validation")],
        required=False,
        label="Articles of",
        help_text="A folder has both. Test articles are never in training data.",
    )
    prompt = forms.ChoiceField(
        required=False, label="Prompt", help_text="What the model is shown around the article."
    )
    max_words = field_of(
        Request,
        "max_words",
        initial=60,
        required=False,
        label="Words",
        help_text="for {max_words} in it",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.all, self.learn = may_export_all(user), allowed(user, "decide_feedback")
        people = [(kind, LABELS[kind]) for kind in KINDS if kind not in TRAINING]
        groups: list[Any] = [("What people said", people)]
        if self.learn:
            groups.append(("Training data", [(kind, LABELS[kind]) for kind in TRAINING]))
        self._choices("kind", groups if self.learn else people)
        self._choices(
            "queue", [("", "all"), *ReviewQueue.objects.order_by("name").values_list("slug", "name")]
        )
        if self.learn:
            versions = PromptVersion.objects.select_related("prompt").order_by("prompt__name", "-number")
            names = [(version.pk, f"{version.prompt.name} {version.number}") for version in versions]
            self._choices("prompt", [("", "the newest that suits"), *names])
        else:
            for name in ("split", "prompt", "max_words"):
                del self.fields[name]
        if self.learn and allowed(user, "view_models"):
            frozen = [
                (row.pk, f"{row} · {row.name} ({row.train_rows:,} training rows)")
                for row in DatasetSnapshot.objects.all()
            ]
            self._choices("snapshot", [("", "what is approved now"), *frozen])
        else:
            del self.fields["snapshot"]
        if not self.all:
            del self.fields["whose"]

    def _choices(self, name: str, choices: list[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def main_fields(self) -> list[forms.BoundField]:
        names = ("kind", "format", "queue", "whose", "since", "until", "texts", "compressed")
        return [self[name] for name in names if name in self.fields]

    @property
    def training_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("snapshot", "split", "prompt", "max_words") if name in self.fields]

    @property
    def training_is_wrong(self) -> bool:
        return any(field.errors for field in self.training_fields)

    def request(self) -> Request:
        values = self.cleaned_data
        whose = (values["whose"] or "pseudonyms") if self.all else "mine"
        return Request(
            kind=values["kind"],
            format=values["format"],
            compressed=values["compressed"],
            queue=values["queue"],
            since=values["since"],
            until=values["until"],
            mine=whose == "mine",
            reviewers="names" if whose == "names" else "pseudonyms",
            texts=values["texts"],
            snapshot=int(values["snapshot"]) if values.get("snapshot") else None,
            split=values.get("split") or "train",
            prompt=int(values["prompt"]) if values.get("prompt") else None,
            max_words=values.get("max_words") or 60,
        )


@capability("review")
def index(request: HttpRequest) -> HttpResponse:
    form = ExportForm(request.POST or None, user=user_of(request))
    status = 200
    if request.method == "POST":
        if form.is_valid() and _asked(form, user_of(request)):
            return redirect("exports")
        status = 422
    page = paginate(request, requests.exports_of(user_of(request)), PER_PAGE)
    rows = [(row, requests.status_of(row), LABELS[row.kind], _described(row)) for row in page]
    context = {
        "form": form,
        "page": page,
        "rows": rows,
        "active": any(state in ("waiting", "writing") for _, state, _, _ in rows),
        "days": settings.GALLEY_EXPORT_DAYS,
    }
    if status == 422:
        return render(request, "reviews/exports/index.html", context, status=status)
    return page_or_fragment(request, "reviews/exports/index.html", "reviews/exports/_list.html", context)


def _asked(form: ExportForm, user: User) -> bool:
    """False where the form says what is wrong."""
    try:
        requests.request_export(request=form.request(), actor=user)
    except GalleyError as error:
        for name, message in (error.fields or {"": error.message}).items():
            form.add_error(name if name in form.fields else None, message)
        return False
    return True


def _described(export: Export) -> list[str]:
    """What was asked for, in a few words each."""
    asked = Request.of(export.options)
    words = [FORMATS[export.format] + (", packed" if asked.compressed else "")]
    words += [export.queue.name] if export.queue else []
    words += [f"from {asked.since:%d %b %Y}"] if asked.since else []
    words += [f"to {asked.until:%d %b %Y}"] if asked.until else []
    if asked.is_training:
        words += [f"snapshot {asked.snapshot}"] if asked.snapshot else []
        return words + ([] if export.format == "datasets" else [asked.split])
    words += ["my own"] if asked.mine else [f"reviewers by {asked.reviewers.removesuffix('s')}"]
    return words if asked.texts else [*words, "without articles"]


@require_safe
@capability("review")
def download(request: HttpRequest, pk: int) -> Any:
    return download_of(export=requests.own_export(pk=pk, actor=user_of(request)), actor=user_of(request))


@require_POST
@capability("review")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    requests.cancel(export=requests.own_export(pk=pk, actor=user_of(request)), actor=user_of(request))
    messages.info(request, "The export will stop. Nothing of it is kept.")
    return redirect("exports")


@require_POST
@capability("review")
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    requests.remove(export=requests.own_export(pk=pk, actor=user_of(request)), actor=user_of(request))
    messages.success(request, "The file is removed.")
    return redirect("exports")


urlpatterns = [
    path("", index, name="exports"),
    path("<int:pk>/file/", download, name="export_file"),
    path("<int:pk>/cancel/", cancel, name="export_cancel"),
    path("<int:pk>/remove/", remove, name="export_remove"),
]
