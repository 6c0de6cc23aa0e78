"""A queue is made and changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from models_app.foundation.errors import InvalidInput
from models_app.models import Job
from models_app.web.fields import field_of
from models_app.web.pages import user_of
from reviews.models import ReviewQueue, RubricVersion
from reviews.queues import settings as managing
from reviews.queues.settings import QueueSettings
from reviews.queues.statements import Rearranged
from reviews.web.queues.shared import manages, put_errors, queue_of


class SettingsForm(forms.Form):
    name = field_of(QueueSettings, "name")
    description = field_of(
        QueueSettings, "description", help_text="Reviewers read it where they choose a queue."
    )
    kind = field_of(
        QueueSettings,
        "kind",
        choices=[
            (ReviewQueue.Kind.RATE_AND_EDIT, "Rate and edit"),
            (ReviewQueue.Kind.PAIRWISE, "Pairwise: which of two is better"),
            (
                ReviewQueue.Kind.PROMPT_TRIAL,
                "Prompt trial: another prompt is tried first, then rate and edit",
            ),
        ],
        help_text="Stays as it is once the queue has items.",
    )
    rubric = forms.TypedChoiceField(
        coerce=int, help_text="Reviews that were begun keep the version they began with."
    )
    reviews_per_item = field_of(
        QueueSettings,
        "reviews_per_item",
        label="Reviews per item",
        help_text="By different people. More add assignments and open finished items again; fewer take open ones away.",
    )
    overlap_percent = field_of(
        QueueSettings,
        "overlap_percent",
        label="Share that gets all of them",
        help_text="Per cent of the items, drawn by a hash; the others get one review.",
    )
    lease_minutes = field_of(
        QueueSettings,
        "lease_minutes",
        label="Lock in minutes",
        help_text="Without activity others may get it after that; what was typed is kept.",
    )
    order = field_of(
        QueueSettings,
        "order",
        choices=[
            (ReviewQueue.Order.OLDEST, "Oldest first"),
            (ReviewQueue.Order.PRIORITY, "By priority"),
            (ReviewQueue.Order.RANDOM, "Random, another order for each reviewer"),
            (ReviewQueue.Order.CONFIDENCE, "Lowest confidence of the model first"),
            (ReviewQueue.Order.DISAGREEMENT, "Most disagreement first"),
        ],
    )
    blind_to_peers = field_of(
        QueueSettings,
        "blind_to_peers",
        label="Hide others' answers",
        help_text="Nobody sees what others answered before.",
    )
    blind_to_model = field_of(
        QueueSettings,
        "blind_to_model",
        label="Hide the model",
        help_text="Nobody sees which model wrote the summary.",
    )
    calibration = field_of(
        QueueSettings,
        "calibration",
        label="A calibration round",
        help_text="On gold items: answers are explained, nothing is learnt from them.",
    )
    active = field_of(
        QueueSettings,
        "active",
        label="Open",
        help_text="A closed queue gives nothing out; what is checked out can be submitted.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = RubricVersion.objects.values_list("number", flat=True)
        self.fields["rubric"].choices = [(number, f"version {number}") for number in versions]  # type: ignore[attr-defined]


def _initial(settings: QueueSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in SettingsForm.base_fields}


@manages
def new(request: HttpRequest) -> HttpResponse:
    newest = RubricVersion.objects.order_by("-number").values_list("number", flat=True).first() or 1
    form = SettingsForm(
        request.POST if request.method == "POST" else None,
        initial=_initial(QueueSettings(name="", rubric=newest)),
    )
    if request.method == "POST" and form.is_valid():
        try:
            queue = managing.create_queue(settings=QueueSettings(**form.cleaned_data), actor=request.user)
        except InvalidInput as error:
            put_errors(form, error)
        else:
            messages.success(request, f"The queue {queue.name} is there. Set up rules that fill it.")
            return redirect("queue_rules", queue.slug)
    return render(request, "reviews/queues/new.html", {"form": form}, status=422 if form.errors else 200)


@manages
def settings_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = queue_of(slug)
    form = SettingsForm(
        request.POST if request.method == "POST" else None, initial=_initial(QueueSettings.of(queue))
    )
    if request.method == "POST" and form.is_valid():
        try:
            moved = managing.change_queue_or_later(
                queue=queue, settings=QueueSettings(**form.cleaned_data), actor=user_of(request)
            )
        except InvalidInput as error:
            put_errors(form, error)
        else:
            messages.success(request, _moved(moved))
            return redirect("queue_settings", slug)
    context = {"queue": queue, "tab": "settings", "form": form}
    return render(request, "reviews/queues/settings.html", context, status=422 if form.errors else 200)


def _moved(moved: Rearranged | Job) -> str:
    if isinstance(moved, Job):
        return f"Many items have to be brought in step: job {moved.pk} does it. Reload this page when it is through."
    parts = [
        (moved.assignments_added, "assignment more", "assignments more"),
        (moved.assignments_removed, "open assignment fewer", "open assignments fewer"),
        (moved.reopened, "finished item open again", "finished items open again"),
        (len(moved.closed), "item done by it", "items done by it"),
    ]
    said = ", ".join(f"{number:,} {one if number == 1 else many}" for number, one, many in parts if number)
    return f"Saved: {said}." if said else "Saved."
