"""The pairwise desk: two summaries of one article side by side, and which one is better.

As the review desk: the buttons work without script, a script asks for JSON. Nothing that is sent says which text is
which or who wrote it; left and right is all that a page and its forms know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from models_app.evaluation.differences import Part, word_difference
from models_app.foundation.errors import GalleyError, InvalidInput, StaleState
from models_app.foundation.roles import require
from models_app.models import Comparison, Release
from models_app.web.pages import capability
from reviews import queueing
from reviews.desk_preferences import keys_for
from reviews.models import Preference, QueueItem, ReviewQueue, Skip
from reviews.pairing import MOST_PAIRS, available, pair_comparison, pair_releases, pairwise_queue
from reviews.pairwise import (
    ANSWERS,
    STRENGTHS,
    TAKE_BACK,
    Judgement,
    StaleChoice,
    begin,
    choose,
    revise_choice,
    save_choice,
    seen,
    take_back,
)
from reviews.preferring import choices_of, done_today, pairs_for
from reviews.queueing import Lease
from reviews.web.desk import AHEAD, desk_view, integer, paragraphs, renewed, reviewer_of, seat_of, wants_json

PAIRWISE = ReviewQueue.Kind.PAIRWISE
SUGGESTED_PAIRS = 50
# value of the form, key, words, side
POINTS = (
    ("left 3", "1", "much better", "left"),
    ("left 2", "2", "clearly", "left"),
    ("left 1", "3", "slightly", "left"),
    ("tie", "T", "no difference", ""),
    ("right 1", "4", "slightly", "right"),
    ("right 2", "5", "clearly", "right"),
    ("right 3", "6", "much better", "right"),
)


# ---------------------------------------------------------------- what the form says


def judgement_of(values: Mapping[str, str]) -> Judgement:
    """Shape only; the use cases know the rules."""
    errors: dict[str, str] = {}
    chosen = values.get("choice", "").strip()
    answer, _, degree = chosen.partition(" ") if chosen.startswith(("left", "right")) else (chosen, "", "")
    judgement = Judgement(
        answer=answer,
        strength=integer({"strength": degree}, "strength", errors),
        reason=values.get("reason", "").replace("\r\n", "\n"),
        active_seconds=max(0, integer(values, "active_seconds", errors) or 0),
    )
    if errors:
        raise InvalidInput("Some answers are no numbers.", fields=errors)
    return judgement


def choice_value(judgement: Judgement) -> str:
    if judgement.answer in ("left", "right") and judgement.strength:
        return f"{judgement.answer} {judgement.strength}"
    return judgement.answer if judgement.answer in ANSWERS else ""


def in_words(judgement: Judgement) -> str:
    if judgement.answer in ("left", "right") and judgement.strength:
        return f"{judgement.answer}, {STRENGTHS[judgement.strength]}"
    return {"tie": "no difference", "both bad": "both bad"}.get(judgement.answer, judgement.answer)


# ---------------------------------------------------------------- pages


@desk_view(require_GET)
def index(request: HttpRequest) -> HttpResponse:
    reviewer = reviewer_of(request)
    context = {
        "rows": pairs_for(reviewer),
        "choices": [(row, in_words(seen(row))) for row in choices_of(reviewer)],
        "may_make": reviewer.has_perm("models_app.manage_queues"),
    }
    return render(request, "reviews/pairwise_index.html", context)


@desk_view(require_GET)
def next_pair(request: HttpRequest, slug: str) -> HttpResponse:
    """The pair that I hold in this queue, else the next one. `?ahead=ID`: the one after that, fetched by the script."""
    queue = get_object_or_404(ReviewQueue, slug=slug, kind=PAIRWISE)
    reviewer = reviewer_of(request)
    ahead = request.GET.get("ahead", "")
    options: dict[str, Any] = {}
    if ahead.isdecimal() and len(ahead) < 19:
        options = {"but_not": int(ahead), "lease": AHEAD}
    lease = queueing.claim_next(queue=queue, reviewer=reviewer, kind=PAIRWISE, **options)
    if lease is None:
        rows = pairs_for(reviewer)
        context = {
            "queue": queue,
            "done": done_today(reviewer).get(queue.pk, 0),
            "others": [row for row in rows if row.waiting and row.queue.pk != queue.pk],
        }
        return render(request, "reviews/pairwise_empty.html", context)
    return _page(request, _pair(lease.slot.item_id), lease)


@desk_view(require_GET)
def pair_page(request: HttpRequest, pk: int) -> HttpResponse:
    """This very pair: mine to choose, mine to correct, mine to hand in late, or somebody else's."""
    item = _pair(pk)
    lease = queueing.hold(item=item, reviewer=reviewer_of(request))
    if lease is None and begin(item=item, reviewer=reviewer_of(request)) is None:
        return render(request, "reviews/pairwise_taken.html", {"item": item, "queue": item.queue}, status=409)
    return _page(request, item, lease)


def _pair(pk: int) -> QueueItem:
    return get_object_or_404(
        QueueItem.objects.select_related("queue", "summary__document", "other"), pk=pk, queue__kind=PAIRWISE
    )


def _page(
    request: HttpRequest,
    item: QueueItem,
    lease: Lease | None,
    *,
    typed: Judgement | None = None,
    error: GalleyError | None = None,
) -> HttpResponse:
    """With `typed` as the browser sent it and why it was refused, for browsers without script."""
    reviewer = reviewer_of(request)
    mine = begin(item=item, reviewer=reviewer)
    if mine is None or item.other is None:
        raise StaleState("You do not hold this pair.", code="not_yours")
    shown = typed or seen(mine)
    texts = (item.other.text, item.summary.text)
    left, right = texts if mine.after_was_left else texts[::-1]
    parts = word_difference(left, right)
    done = done_today(reviewer).get(item.queue_id, 0)
    waiting = queueing.waiting(reviewer=reviewer, queue=item.queue).get(item.queue_id, 0)
    document = item.summary.document
    context = {
        # plain values only: a template that had the rows could say too much
        "pair": {"id": item.pk, "left": _side(parts, "deleted"), "right": _side(parts, "inserted")},
        "queue": item.queue,
        "document": document,
        "paragraphs": paragraphs(document.text),
        "lease": lease,
        "submitted": mine.state == Preference.State.SUBMITTED,
        "submitted_at": mine.submitted_at,
        "revision": mine.revision,
        "points": POINTS,
        "single_keys": keys_for(reviewer).single,
        "choice": choice_value(shown),
        "judgement": shown,
        "error": error,
        "errors": error.fields if error else {},
        "conflict": isinstance(error, StaleChoice),
        "already": isinstance(error, StaleChoice) and error.code == "submitted",
        "done": done,
        "whole": done + waiting,
        "more": waiting >= queueing.COUNTED,
    }
    return render(request, "reviews/pairwise.html", context, status=error.status if error else 200)


def _side(parts: list[Part], own: str) -> list[tuple[str, bool]]:
    """One side's text in pieces, each with whether the other side lacks it."""
    return [(part.text, part.kind == own) for part in parts if part.kind in ("same", own)]


# ---------------------------------------------------------------- autosave and lease


@desk_view(require_POST)
def save(request: HttpRequest, pk: int) -> HttpResponse:
    """Autosave; keeps the seat as well. Without script: the 'Save draft' button."""
    item = _pair(pk)
    kept = save_choice(
        item=item,
        judgement=judgement_of(request.POST),
        reviewer=reviewer_of(request),
        base_revision=integer(request.POST, "base_revision", {}) or 0,
        overwrite=bool(request.POST.get("overwrite")),
    )
    if wants_json(request) or request.POST.get("quiet"):
        return JsonResponse({"revision": kept.revision, "held": renewed(request, item)})
    messages.success(request, "Your draft is saved.")
    return redirect("pairwise_item", pk=item.pk)


@desk_view(require_POST)
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    """A sign of life: the seat stays mine; the one fetched ahead only for a little while."""
    return JsonResponse({"held": renewed(request, _pair(pk), AHEAD if request.POST.get("ahead") else None)})


# ---------------------------------------------------------------- handing in, taking back, passing by


def _onwards(request: HttpRequest, queue: ReviewQueue, message: str, **more: Any) -> HttpResponse:
    url = reverse("pairwise_next", args=[queue.slug]) if queue.active else reverse("pairwise")
    if wants_json(request):
        return JsonResponse({"next": url, "message": message, **more})
    messages.success(request, message)
    return HttpResponseRedirect(url)


@desk_view(require_POST)
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    item = _pair(pk)
    typed: Judgement | None = None
    try:
        typed = judgement_of(request.POST)
        kept = choose(
            item=item,
            judgement=typed,
            reviewer=reviewer_of(request),
            base_revision=integer(request.POST, "base_revision", {}),
        )
    except (InvalidInput, StaleChoice) as error:
        if wants_json(request) or typed is None:
            raise
        lease = queueing.hold(item=item, reviewer=reviewer_of(request))
        return _page(request, item, lease, typed=typed, error=error)
    message = f"Handed in: {in_words(typed)}."
    if kept.late:
        message += " Others had finished this pair meanwhile, so yours is kept as an extra choice."
    back = {"url": reverse("pairwise_take_back", args=[item.pk]), "seconds": TAKE_BACK.seconds}
    return _onwards(request, item.queue, message, undo=back)


@desk_view(require_POST)
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what I handed in."""
    item = _pair(pk)
    typed: Judgement | None = None
    try:
        typed = judgement_of(request.POST)
        revise_choice(
            item=item,
            judgement=typed,
            reviewer=reviewer_of(request),
            base_revision=integer(request.POST, "base_revision", {}),
        )
    except (InvalidInput, StaleChoice) as error:
        if wants_json(request) or typed is None:
            raise
        return _page(request, item, None, typed=typed, error=error)
    message = f"Corrected: {in_words(typed)}."
    if wants_json(request):
        return JsonResponse({"next": reverse("pairwise"), "message": message})
    messages.success(request, message)
    return redirect("pairwise")


@desk_view(require_POST)
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Take my choice back, within ten seconds."""
    item = _pair(pk)
    take_back(item=item, reviewer=reviewer_of(request))
    if wants_json(request):
        return JsonResponse({"next": reverse("pairwise_item", args=[item.pk]), "message": "Taken back."})
    messages.success(request, "Taken back.")
    return redirect("pairwise_item", pk=item.pk)


@desk_view(require_POST)
def pass_by(request: HttpRequest, pk: int) -> HttpResponse:
    """Later, not for me, or flagged. What was typed is kept as a draft first."""
    item = _pair(pk)
    slot, token = seat_of(request.POST, item)
    if request.POST.get("choice") or request.POST.get("reason", "").strip():
        save_choice(
            item=item,
            judgement=judgement_of(request.POST),
            reviewer=reviewer_of(request),
            base_revision=integer(request.POST, "base_revision", {}) or 0,
        )
    meaning = request.POST.get("meaning", "")
    why = request.POST.get("why", "")
    queueing.skip(slot=slot, token=token, meaning=meaning, reason=why, reviewer=reviewer_of(request))
    said = {
        Skip.Meaning.LATER: "Put off: it comes back to you in two hours.",
        Skip.Meaning.NOT_FOR_ME: "Left to others: you will not be asked again.",
        Skip.Meaning.BAD_ITEM: "Flagged and set aside. An engineer will look at it.",
    }
    return _onwards(request, item.queue, said[Skip.Meaning(meaning)])


# ---------------------------------------------------------------- making pairs


class _ReleaseChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj}, {obj.state}: {obj.model_version.name} · {obj.prompt_version}"


class PairsForm(forms.Form):
    queue = forms.ModelChoiceField(
        ReviewQueue.objects.filter(active=True, kind=PAIRWISE),
        required=False,
        label="Queue",
        empty_label=None,
    )
    limit = forms.IntegerField(
        min_value=1, max_value=MOST_PAIRS, initial=SUGGESTED_PAIRS, label="Documents",
        help_text="A clear preference shows within about a hundred.",
    )  # fmt: skip
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=7, label="Seed",
        help_text="Says which documents are taken. More documents of the same seed add to those there are.",
    )  # fmt: skip


class DraftPairsForm(PairsForm):
    before = _ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="Before"
    )
    after = _ReleaseChoice(
        Release.objects.select_related("model_version", "prompt_version__prompt"), label="After"
    )
    field_order = ["before", "after"]


@capability("manage_queues")
def new_pairs(request: HttpRequest) -> HttpResponse:
    """From `?comparison=ID`, or from the drafts of two releases."""
    require(request.user, "view_models")
    comparison = _comparison(request)
    form = (PairsForm if comparison else DraftPairsForm)(request.POST or None)
    has_queue = form.fields["queue"].queryset.exists()  # type: ignore[attr-defined]
    if not has_queue:
        del form.fields["queue"]
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            queue = data.get("queue") or pairwise_queue(actor=request.user)
            common = {"queue": queue, "limit": data["limit"], "seed": data["seed"], "actor": request.user}
            report = (
                pair_comparison(comparison=comparison, **common)
                if comparison
                else pair_releases(before=data["before"], after=data["after"], **common)
            )
        except GalleyError as error:
            for name, text in error.fields.items():
                form.add_error(name if name in form.fields else None, text)
            if not error.fields:
                form.add_error(None, error.message)
        else:
            messages.success(request, f"{report.sentence()} They wait in “{queue.name}”.")
            return redirect("comparison", comparison.pk) if comparison else redirect("pairwise")
    context: dict[str, Any] = {"form": form, "comparison": comparison, "has_queue": has_queue}
    if comparison:
        context["documents"], context["differing"] = available(comparison=comparison)
    return render(request, "reviews/pairwise_new.html", context, status=422 if form.errors else 200)


def _comparison(request: HttpRequest) -> Comparison | None:
    number = integer(request.GET, "comparison", {})
    if number is None:
        return None
    return get_object_or_404(
        Comparison.objects.select_related("candidate__release", "baseline__release"), pk=number
    )


urlpatterns = [
    path("", index, name="pairwise"),
    path("new/", new_pairs, name="pairwise_new"),
    path("item/<int:pk>/", pair_page, name="pairwise_item"),
    path("item/<int:pk>/draft/", save, name="pairwise_save"),
    path("item/<int:pk>/keep/", keep, name="pairwise_keep"),
    path("item/<int:pk>/submit/", submit, name="pairwise_submit"),
    path("item/<int:pk>/correct/", correct, name="pairwise_correct"),
    path("item/<int:pk>/take-back/", undo, name="pairwise_take_back"),
    path("item/<int:pk>/pass/", pass_by, name="pairwise_pass"),
    path("<slug:slug>/", next_pair, name="pairwise_next"),
]
