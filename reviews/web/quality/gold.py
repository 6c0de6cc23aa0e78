"""Gold items: which there are, how well each reviewer answered them, their share of each queue, calibration rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.web.pages import capability, paginate, user_of
from reviews.models import (
    Adjudication,
    Assignment,
    Criterion,
    GoldAnswer,
    QueueItem,
    ReviewQueue,
    RubricVersion,
    Summary,
)
from reviews.models.queues import GOLD_PERCENT
from reviews.quality import gold
from reviews.quality.agreement_report import question_names
from reviews.quality.gold import Known, Share
from reviews.queues.queries import reviewers
from reviews.queues.rubrics import LONGEST_EXPLANATION_CHARACTERS
from reviews.web.desk.answers import VERDICTS
from reviews.web.desk.form_values import integer, ratings_of, scales
from reviews.web.desk.placed_text import paragraphs

PER_PAGE = 20
MOST_IN_A_ROUND = 50
TOLERANCES = ((0, "only if it is exactly this"), (1, "up to 1 point off"), (2, "up to 2 points off"))


@dataclass(frozen=True)
class ResultRow:
    name: str
    shares: list[tuple[str, Share | None]]  # by the name of the question


def _results() -> tuple[list[str], list[ResultRow]]:
    found = gold.results()
    names = question_names(sorted({key for shares in found.values() for key in shares}))
    people = {user.pk: user.get_username() for user in User.objects.filter(pk__in=found)}
    rows = [
        ResultRow(people.get(pk, "?"), [(name, shares.get(key)) for key, name in names.items()])
        for pk, shares in found.items()
    ]
    return list(names.values()), sorted(rows, key=lambda row: row.name)


@never_cache
@require_safe
@capability("manage_queues")
def index(request: HttpRequest) -> HttpResponse:
    page = paginate(request, gold.gold_rows(), PER_PAGE)
    questions, results = _results()
    context = {
        "tab": "gold",
        "page": page,
        "questions": questions,
        "results": results,
        "rounds": gold.round_rows(),
        "reviewers": reviewers(),
        "queues": ReviewQueue.objects.filter(
            active=True, calibration=False, kind__in=ReviewQueue.AT_DESK
        ).order_by("name"),
        "most": GOLD_PERCENT[1],
    }
    return render(request, "reviews/quality/gold.html", context)


# ---------------------------------------------------------------- making one


def _number(request: HttpRequest, name: str) -> int:
    values = request.POST if request.method == "POST" else request.GET
    return integer(values, name) or 0


def _rubric(summary: Summary) -> RubricVersion:
    """The questions that were asked of it last, else the newest ones."""
    item = QueueItem.objects.filter(summary=summary).select_related("queue__rubric").order_by("-pk").first()
    return item.queue.rubric if item is not None else RubricVersion.objects.latest("number")


def _suggested(request: HttpRequest, summary: Summary) -> Known:
    """Its final answer, where the link came from a dispute."""
    made = Adjudication.objects.filter(item=_number(request, "from"), item__summary=summary).first()
    if made is None:
        return Known(None, "")
    return Known(made.stars, made.verdict, made.ratings, 1, made.explanation)


def _known(request: HttpRequest) -> Known:
    errors: dict[str, str] = {}
    known = Known(
        stars=integer(request.POST, "stars", errors),
        verdict=request.POST.get("verdict", "").strip(),
        ratings=ratings_of(request.POST, errors),
        tolerance=integer(request.POST, "tolerance", errors) or 0,
        explanation=request.POST.get("explanation", ""),
    )
    if errors:
        raise InvalidInput("Some answers are no numbers.", fields=errors)
    return known


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("manage_queues")
def new(request: HttpRequest) -> HttpResponse:
    summary = get_object_or_404(Summary.objects.select_related("document"), pk=_number(request, "summary"))
    rubric = _rubric(summary)
    if request.method == "POST":
        rubric = get_object_or_404(RubricVersion, pk=_number(request, "rubric"))
        known = Known(None, "")
        try:
            known = _known(request)
            gold.mark_gold(summary=summary, rubric=rubric, known=known, actor=user_of(request))
        except InvalidInput as error:
            return _form(request, summary, rubric, known, error)
        messages.success(
            request, "It is gold now. Reviewers meet it once you give a queue a share, or start a round."
        )
        return redirect("gold")
    if why := gold.objection(summary):  # before a whole form is filled in for nothing
        messages.warning(request, why.message)
        return redirect("document", summary.document_id)
    return _form(request, summary, rubric, _suggested(request, summary))


def _form(
    request: HttpRequest,
    summary: Summary,
    rubric: RubricVersion,
    known: Known,
    error: GalleyError | None = None,
) -> HttpResponse:
    errors = error.fields if error else {}
    context = {
        "summary": summary,
        "document": summary.document,
        "paragraphs": paragraphs(summary.document.text),
        "summary_paragraphs": paragraphs(summary.text),
        "rubric": rubric,
        "known": known,
        "verdicts": VERDICTS,
        "tolerances": TOLERANCES,
        "scales": scales(Criterion.objects.filter(rubric=rubric), known.ratings, errors),
        "errors": errors,
        "error": error,
        "longest_explanation": LONGEST_EXPLANATION_CHARACTERS,
    }
    return render(request, "reviews/quality/gold_new.html", context, status=error.status if error else 200)


@require_POST
@capability("manage_queues")
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    gold.retire_gold(
        gold=get_object_or_404(GoldAnswer, pk=pk),
        reason=request.POST.get("reason", ""),
        actor=user_of(request),
    )
    messages.success(request, "Retired: nobody is asked it any more, and answers to it no longer count.")
    return redirect("gold")


@require_POST
@capability("manage_queues")
def percent(request: HttpRequest, pk: int) -> HttpResponse:
    queue = get_object_or_404(ReviewQueue, pk=pk)
    wanted = integer(request.POST, "percent")
    if wanted is None:
        raise InvalidInput("Say what share is to be gold.", fields={"percent": gold.PERCENT_WORDS})
    gold.set_gold_percent(queue=queue, percent=wanted, actor=request.user)
    messages.success(request, f"Saved for {queue.name}.")
    return redirect("gold")


# ---------------------------------------------------------------- rounds


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("manage_queues")
def start(request: HttpRequest) -> HttpResponse:
    people, golds = reviewers(), list(gold.gold_rows().filter(active=True)[:MOST_IN_A_ROUND])
    chosen = {name: set(request.POST.getlist(name)) for name in ("golds", "reviewers")}
    error: GalleyError | None = None
    if request.method == "POST":
        asked = [person for person in people if str(person.pk) in chosen["reviewers"]]
        try:
            queue = gold.start_round(
                name=request.POST.get("name", ""),
                golds=[row for row in golds if str(row.pk) in chosen["golds"]],
                reviewers=asked,
                actor=user_of(request),
            )
        except GalleyError as refusal:
            error = refusal
        else:
            _say_begun(request, queue, asked)
            return redirect("gold")
    context: dict[str, Any] = {
        "golds": golds,
        "people": people,
        "chosen_golds": chosen["golds"],
        "chosen_people": chosen["reviewers"],
        "name": request.POST.get("name", ""),
        "error": error,
        "errors": error.fields if error else {},
        "everything": request.method != "POST",
    }
    return render(request, "reviews/quality/gold_round.html", context, status=error.status if error else 200)


def _say_begun(request: HttpRequest, queue: ReviewQueue, chosen: Sequence[User]) -> None:
    seated = set(Assignment.objects.filter(queue=queue).values_list("assigned_to", flat=True))
    asked = [person.get_username() for person in chosen if person.pk in seated]
    messages.success(request, f"{queue.name} has begun. It waits at the desk for {', '.join(asked)}.")
    if left := [person.get_username() for person in chosen if person.pk not in seated]:
        messages.warning(request, f"Left out, since they know all of these items already: {', '.join(left)}.")


@require_POST
@capability("manage_queues")
def invite(request: HttpRequest, pk: int) -> HttpResponse:
    queue = get_object_or_404(ReviewQueue, pk=pk, calibration=True)
    person = get_object_or_404(User, pk=_number(request, "reviewer"), is_active=True)
    assignments = gold.invite(queue=queue, reviewer=person, actor=user_of(request))
    messages.success(
        request,
        f"{person.get_username()} has {assignments} item{'' if assignments == 1 else 's'} in {queue.name}.",
    )
    return redirect("gold")


urlpatterns = [
    path("", index, name="gold"),
    path("new/", new, name="gold_new"),
    path("<int:pk>/retire/", retire, name="gold_retire"),
    path("queues/<int:pk>/", percent, name="gold_percent"),
    path("rounds/new/", start, name="gold_round"),
    path("rounds/<int:pk>/invite/", invite, name="gold_invite"),
]
