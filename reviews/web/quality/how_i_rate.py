"""How I rate: beside others and beside gold answers. Everybody sees their own alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from models_app.web.pages import capability, user_of
from reviews.quality import agreement_report, gold
from reviews.quality.agreement_report import LEAST_OWN_ITEMS, STARS, Beside, question_names
from reviews.quality.gold import Share


@dataclass(frozen=True)
class Mine:
    """One question: how I rate beside the others, and how well I hit gold."""

    key: str
    name: str
    beside: Beside | None
    gold: Share | None


def _mine(beside: Mapping[str, Beside], shares: Mapping[str, Share]) -> list[Mine]:
    keys = {*beside, *shares} or {STARS}
    names = question_names(sorted(keys))
    return [Mine(key, name, beside.get(key), shares.get(key)) for key, name in names.items() if key in keys]


@never_cache
@require_safe
@capability("review")
def how_i_rate(request: HttpRequest) -> HttpResponse:
    me = user_of(request)
    shares = gold.results(reviewer=me).get(me.pk, {})
    beside = agreement_report.beside_others(me)
    context = {
        "rows": _mine(beside, shares),
        "some": bool(beside or shares),
        "least": LEAST_OWN_ITEMS,
        "answers": gold.my_answers(me),
    }
    return render(request, "reviews/quality/how_i_rate.html", context)


@never_cache
@require_safe
@capability("review")
def gold_answer(request: HttpRequest, pk: int) -> HttpResponse:
    """My answer to a gold item beside the right one."""
    found = gold.explained(review_id=pk, reviewer=user_of(request))
    names = question_names([question.key for question in found.questions])
    context = {
        "found": found,
        "review": found.review,
        "queue": found.review.item.queue,
        "document": found.review.summary.document,
        "rows": [
            (name, question)
            for key, name in names.items()
            for question in found.questions
            if question.key == key
        ],
    }
    return render(request, "reviews/quality/gold_answer.html", context)


urlpatterns = [
    path("", how_i_rate, name="how_i_rate"),
    path("<int:pk>/", gold_answer, name="gold_answer"),
]
