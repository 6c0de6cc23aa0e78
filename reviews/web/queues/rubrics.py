"""Versions of the rubric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from models_app.foundation.errors import InvalidInput
from models_app.web.fields import field_of
from models_app.web.pages import paginate
from reviews.models import Criterion, RubricVersion
from reviews.models.answers import POINTS
from reviews.queues import queries
from reviews.queues import settings as managing
from reviews.queues.settings import Question
from reviews.web.queues.shared import manages


@require_safe
@manages
def rubrics(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "reviews/queues/rubrics.html",
        {"page": paginate(request, queries.rubric_versions(), 10)},
    )


class RubricForm(forms.Form):
    """The questions one after another, each with five worded points; an empty one is left out."""

    instructions = forms.CharField(
        required=False,
        max_length=RubricVersion.LONGEST_INSTRUCTIONS_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
        help_text="Reviewers read it above the questions.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for place in range(RubricVersion.MOST_CRITERIA):
            self.fields[f"name-{place}"] = field_of(Question, "name", label="Name", required=False)
            self.fields[f"question-{place}"] = field_of(
                Question, "question", label="Question", required=False
            )
            for point in POINTS:
                self.fields[f"point-{place}-{point}"] = forms.CharField(
                    label=str(point),
                    required=False,
                    max_length=Criterion.LONGEST_ANCHOR_CHARACTERS,
                    widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
                )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "number": place + 1,
                "name": self[f"name-{place}"],
                "question": self[f"question-{place}"],
                "points": [self[f"point-{place}-{point}"] for point in POINTS],
                "used": bool(self[f"name-{place}"].value() or self[f"question-{place}"].value()),
            }
            for place in range(RubricVersion.MOST_CRITERIA)
        ]


def _questions(values: Mapping[str, Any]) -> tuple[list[Question], list[int]]:
    """The questions that are not empty, and at which place of the form each stands."""
    found, places = [], []
    for place in range(RubricVersion.MOST_CRITERIA):
        points = [values.get(f"point-{place}-{point}", "") for point in POINTS]
        name, question = values.get(f"name-{place}", ""), values.get(f"question-{place}", "")
        if name or question or any(points):
            found.append(Question(name, question, points))
            places.append(place)
    return found, places


def _rubric_initial(rubric: RubricVersion | None) -> dict[str, str]:
    initial = {} if rubric is None else {"instructions": rubric.instructions}
    for place, criterion in enumerate(rubric.criteria.order_by("position") if rubric else ()):
        initial[f"name-{place}"], initial[f"question-{place}"] = criterion.name, criterion.question
        for point, words in enumerate(criterion.anchors, start=1):
            initial[f"point-{place}-{point}"] = words
    return initial


@manages
def rubric_new(request: HttpRequest) -> HttpResponse:
    """Begins with the newest version's questions."""
    newest = RubricVersion.objects.order_by("-number").first()
    form = RubricForm(request.POST if request.method == "POST" else None, initial=_rubric_initial(newest))
    if request.method == "POST" and form.is_valid():
        questions, places = _questions(form.cleaned_data)
        try:
            made = managing.create_rubric_version(
                instructions=form.cleaned_data["instructions"], questions=questions, actor=request.user
            )
        except InvalidInput as error:
            for name, message in error.fields.items():
                field, _, place = name.rpartition("-")
                here = (
                    f"{'point' if field == 'anchors' else field}-{places[int(place)]}"
                    if place.isdigit()
                    else name
                )
                here += "-1" if field == "anchors" else ""
                form.add_error(here if here in form.fields else None, message)
        else:
            messages.success(
                request, f"Version {made.number} is there. Queues ask it once their settings say so."
            )
            return redirect("rubrics")
    context = {"form": form, "rows": form.rows(), "newest": newest}
    return render(request, "reviews/queues/rubric_new.html", context, status=422 if form.errors else 200)
