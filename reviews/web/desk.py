"""The review desk: choosing a queue, the desk itself, and what its buttons and its autosave ask for.

The buttons work without script: plain posts and redirects. A script asks for JSON (`Accept: application/json`) and
then gets every answer, refusals too, as JSON.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from models_app.evaluation.differences import word_difference
from models_app.foundation.errors import GalleyError, InvalidInput, StaleState, Unavailable
from models_app.ml.prompting import VARIABLES, PromptSpec
from models_app.models import PromptVersion, Route
from models_app.prompts.versions import check_template
from models_app.serving import client
from models_app.serving.routing import ENVIRONMENT
from models_app.web.pages import View, capability, is_fragment
from reviews import conversations, desk_keys, queries, queueing
from reviews.corrections import suggest as suggest_labels
from reviews.desk_preferences import Keys, keys_for
from reviews.marks import ERROR_TYPES, SEVERITIES, UnreadableMarks, read_marks, read_support
from reviews.models import (
    Grounding,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewReturn,
    ReviewSlot,
    Skip,
)
from reviews.queueing import Lease
from reviews.reviewing import AlreadySubmitted, Answers, StaleDraft, revise_review, save_draft, submit_review
from reviews.rubrics import criteria_of
from reviews.spans import sentences
from reviews.suggestions import suggest_prompt
from reviews.taking_back import OFFERED, take_back, take_back_skip

RATING = "rating-"
Read = TypeVar("Read")
#: Reading a longer article for the labels would keep others waiting.
MOST_WORDS_LABELLED = 12_000
#: How long the item that is fetched ahead stays mine without a sign of life.
AHEAD = timedelta(minutes=3)
TRIAL_SALT = "reviews.desk.trial"
HANDED_IN = (Review.State.SUBMITTED, Review.State.RETURNED)
VERDICTS = (("poor", "Poor", "bad"), ("fair", "Fair", "maybe"), ("good", "Good", "ok"))
_INTEGER = re.compile(r"-?\d{1,9}")


# ---------------------------------------------------------------- asked by script or by browser


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def error_json(error: GalleyError) -> JsonResponse:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "fields": error.fields}
    if isinstance(error, StaleDraft | AlreadySubmitted):
        body["current"] = answers_json(error.review)
    return JsonResponse({"error": body}, status=error.status)


def json_errors(view: View) -> View:
    @wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except GalleyError as error:
            if wants_json(request):
                return error_json(error)
            raise

    return answering


def desk_view(*methods: Callable[[View], View]) -> Callable[[View], View]:
    """For reviewers; never kept by browsers, since each look may show another item."""

    def decorate(view: View) -> View:
        guarded = json_errors(capability("review")(view))
        for method in methods:
            guarded = method(guarded)
        return never_cache(guarded)

    return decorate


def reviewer_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # nosec B101 (for the types: the middleware lets nobody else in)
    return request.user


# ---------------------------------------------------------------- what the form says


def integer(values: Mapping[str, str], name: str, errors: dict[str, str]) -> int | None:
    raw = values.get(name, "").strip()
    if not raw:
        return None
    if not _INTEGER.fullmatch(raw):
        errors[name.removeprefix(RATING)] = "Not a whole number."
        return None
    return int(raw)


def _json_of(
    values: Mapping[str, str], name: str, read: Callable[[Any], tuple[Read, ...]], errors: dict[str, str]
) -> tuple[Read, ...]:
    raw = values.get(name, "").strip()
    if not raw:
        return ()
    try:
        return read(json.loads(raw))
    except UnreadableMarks as error:
        errors[name] = str(error)
    except ValueError:
        errors[name] = "Not JSON."
    return ()


def answers_of(values: Mapping[str, str]) -> Answers:
    """Shape only; the use cases know the rules."""
    errors: dict[str, str] = {}
    ratings = {
        name.removeprefix(RATING): value
        for name in values
        if name.startswith(RATING) and (value := integer(values, name, errors)) is not None
    }
    answers = Answers(
        stars=integer(values, "stars", errors),
        verdict=values.get("verdict", "").strip(),
        ratings=ratings,
        overall_from_ratings=bool(values.get("overall_from_ratings")),
        edited_text=values.get("edited_text", ""),
        comment=values.get("comment", ""),
        wants_retrain=bool(values.get("wants_retrain")),
        wants_refine=bool(values.get("wants_refine")),
        active_seconds=max(0, integer(values, "active_seconds", errors) or 0),
        rubric=integer(values, "rubric", errors),
        marks=_json_of(values, "marks", read_marks, errors),
        support=_json_of(values, "support", read_support, errors),
    )
    if errors:
        raise InvalidInput("Some answers cannot be read.", fields=errors)
    return answers


def answers_json(review: Review) -> dict[str, Any]:
    """What is saved, for the script that has to put it beside what is typed."""
    return {
        "revision": review.revision,
        "stars": review.stars,
        "verdict": review.verdict,
        "ratings": review.ratings,
        "overall_from_ratings": review.overall_from_ratings,
        "edited_text": review.edited_text if review.revision else review.summary.text,
        "comment": review.comment,
        "wants_retrain": review.wants_retrain,
        "wants_refine": review.wants_refine,
        "active_seconds": review.active_seconds,
        "marks": review.marks,
        "support": review.support,
    }


def seat_of(values: Mapping[str, str], item: QueueItem) -> tuple[ReviewSlot, uuid.UUID]:
    """The seat that the form was given. Raises StaleState where it carries none."""
    errors: dict[str, str] = {}
    number = integer(values, "slot", errors)
    try:
        token = uuid.UUID(values.get("token", ""))
    except ValueError as error:
        raise StaleState("This page holds no seat at the item. Open it again.") from error
    slot = ReviewSlot.objects.select_related("queue", "item").filter(pk=number or 0, item=item).first()
    if slot is None:
        raise StaleState("This page holds no seat at the item. Open it again.")
    return slot, token


def _item(pk: int) -> QueueItem:
    return get_object_or_404(QueueItem.objects.select_related("queue__rubric", "summary__document"), pk=pk)


# ---------------------------------------------------------------- pages


@desk_view(require_GET)
def index(request: HttpRequest) -> HttpResponse:
    reviewer = reviewer_of(request)
    context = {
        "rows": queries.queues_for(reviewer),
        "drafts": queries.drafts_of(reviewer),
        "returned": queries.returned_to(reviewer),
        "assigned": queries.assigned_to(reviewer),
    }
    if reviewer.has_perm("models_app.manage_queues"):
        context["flagged"] = queries.set_aside()
    return render(request, "reviews/desk_index.html", context)


@desk_view(require_GET)
def next_item(request: HttpRequest, slug: str) -> HttpResponse:
    """The item that I hold in this queue, else the next one. `?ahead=ID`: the one after that, fetched by the script."""
    queue = get_object_or_404(ReviewQueue, slug=slug)
    if queue.kind == ReviewQueue.Kind.PAIRWISE:
        return redirect("pairwise_next", queue.slug)
    reviewer = reviewer_of(request)
    ahead = request.GET.get("ahead", "")
    if ahead.isdecimal() and len(ahead) < 19:
        lease = queueing.claim_next(queue=queue, reviewer=reviewer, but_not=int(ahead), lease=AHEAD)
    else:
        lease = queueing.claim_next(queue=queue, reviewer=reviewer)
    if lease is None:
        return _nothing_left(request, queue)
    return _desk(request, lease.slot.item, lease)


def _nothing_left(request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    reviewer = reviewer_of(request)
    rows = queries.queues_for(reviewer)
    done = next((row.done_today for row in rows if row.queue.pk == queue.pk), 0)
    others = [row for row in rows if row.waiting and row.queue.pk != queue.pk]
    context = {
        "queue": queue,
        "others": others,
        "done": done,
        "drafts": queries.drafts_of(reviewer, 5),
        "undo": _undo(request),
        **_keys_context(keys_for(reviewer)),
    }
    return render(request, "reviews/desk_empty.html", context)


@desk_view(require_GET)
def item_page(request: HttpRequest, pk: int) -> HttpResponse:
    """This very item: mine to review, mine to correct, mine to hand in late, or somebody else's."""
    item = _item(pk)
    if item.queue.kind == ReviewQueue.Kind.PAIRWISE:
        return redirect("pairwise_item", item.pk)
    lease = queueing.hold(item=item, reviewer=reviewer_of(request))
    review = Review.objects.filter(item=item, reviewer=reviewer_of(request)).first()
    if lease is None and review is None:
        return render(request, "reviews/desk_taken.html", {"item": item, "queue": item.queue}, status=409)
    return _desk(request, item, lease)


def _desk(
    request: HttpRequest,
    item: QueueItem,
    lease: Lease | None,
    *,
    typed: Answers | None = None,
    error: GalleyError | None = None,
) -> HttpResponse:
    """The desk; with `typed` as the browser sent it and why it was refused, for browsers without script."""
    reviewer = reviewer_of(request)
    review = Review.objects.filter(item=item, reviewer=reviewer).first()
    begun = review if review is not None and review.revision else None
    saved = _saved(begun, item)
    shown = typed or saved
    rubric = begun.rubric_id if begun else item.queue.rubric_id
    errors = error.fields if error else {}
    done = queries.done_today(reviewer).get(item.queue_id, 0)
    waiting = queueing.waiting(reviewer=reviewer, queue=item.queue).get(item.queue_id, 0)
    context = {
        "item": item,
        "queue": item.queue,
        "document": item.summary.document,
        "summary": item.summary,
        "paragraphs": placed_paragraphs(item.summary.document.text),
        "proof": placed_paragraphs(item.summary.text),
        "lease": lease,
        "review": begun,
        "submitted": begun is not None and begun.state in HANDED_IN,
        "returned": _return_of(begun),
        "answers": shown,
        "revision": begun.revision if begun else 0,
        "rubric": rubric,
        "scales": [
            {
                "name": RATING + criterion.key,
                "label": criterion.name,
                "question": criterion.question,
                "points": list(enumerate(criterion.anchors, start=1)),
                "value": shown.ratings.get(criterion.key),
                "error": errors.get(criterion.key),
            }
            for criterion in criteria_of(rubric)
        ],
        "marks_json": json.dumps([mark.to_dict() for mark in shown.marks]),
        "support_json": json.dumps([[one.start, one.end, one.supported] for one in shown.support]),
        "grounding_json": json.dumps(_grounding(item)),
        "error_types": list(enumerate(ERROR_TYPES, start=1)),
        "severities": list(enumerate(SEVERITIES, start=1)),
        "verdicts": VERDICTS,
        "errors": errors,
        "error": error,
        "conflict": isinstance(error, StaleDraft | AlreadySubmitted),
        "already": isinstance(error, AlreadySubmitted),
        "done": done,
        "whole": done + waiting,
        "waiting": waiting,
        "more": waiting >= queueing.COUNTED,
        "prompt": live_prompt(),
        "variables": VARIABLES,
        "kept_share": _kept_share(item),
        "talk": conversations.drawer(item=item, user=reviewer),
        "undo": _undo(request),
        "back": back_to(request),
        **_keys_context(keys_for(reviewer)),
    }
    return render(request, "reviews/desk.html", context, status=error.status if error else 200)


def _return_of(review: Review | None) -> ReviewReturn | None:
    """Why it was sent back, while that waits for a correction."""
    if review is None or review.state != Review.State.RETURNED:
        return None
    return review.returns.filter(answered_at=None).select_related("returned_by").first()


def _keys_context(keys: Keys) -> dict[str, Any]:
    return {
        "keys": {action: desk_keys.shown(key) for action, key in keys.by_action.items()},
        "keys_json": json.dumps(keys.by_action),
        "sheet": [
            (group.name, [(action, desk_keys.shown(keys.by_action[action.name])) for action in group.actions])
            for group in desk_keys.GROUPS
        ],
        "single_keys": keys.single,
    }


def back_to(request: HttpRequest) -> int | None:
    """The item that somebody left to look at an earlier review, and comes back to."""
    values = request.POST if request.method == "POST" else request.GET
    return integer(values, "back", {})


def _undo(request: HttpRequest) -> dict[str, Any] | None:
    """What was handed in or passed by on the page before, while it can be taken back."""
    item = integer(request.GET, "undo", {})
    if item is None:
        return None
    reviewer, since = reviewer_of(request), timezone.now() - OFFERED
    handed_in = Review.objects.filter(
        item=item, reviewer=reviewer, state=Review.State.SUBMITTED, submitted_at__gt=since
    )
    at = handed_in.values_list("submitted_at", flat=True).first()
    if at is not None:
        said = "Handed in."
    else:
        at = (
            Skip.objects.filter(item=item, reviewer=reviewer, at__gt=since)
            .values_list("at", flat=True)
            .first()
        )
        said = "Passed by."
    if at is None:
        return None
    left = (at - since).total_seconds()
    return {"url": reverse("desk_undo", args=[item]), "said": said, "seconds": max(1, round(left))}


def _saved(review: Review | None, item: QueueItem) -> Answers:
    if review is None:
        return Answers(edited_text=item.summary.text)
    return Answers(
        stars=review.stars,
        verdict=review.verdict,
        ratings=review.ratings,
        overall_from_ratings=review.overall_from_ratings,
        edited_text=review.edited_text,
        comment=review.comment,
        wants_retrain=review.wants_retrain,
        wants_refine=review.wants_refine,
        active_seconds=review.active_seconds,
        marks=read_marks(review.marks),
        support=read_support(review.support),
    )


def _kept_share(item: QueueItem) -> float | None:
    """Which part of the article the model read, where it was cut."""
    summary = item.summary
    if not summary.truncated or not summary.total_tokens or summary.kept_tokens is None:
        return None
    return summary.kept_tokens / summary.total_tokens


def placed_paragraphs(text: str) -> list[tuple[int, str]]:
    """The lines with something in them, each with where it begins, in code points."""
    found, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            found.append((at, line))
        at += len(line) + 1
    return found


def paragraphs(text: str) -> list[str]:
    return [paragraph for _, paragraph in placed_paragraphs(text)]


def _grounding(item: QueueItem) -> dict[str, Any]:
    """The proof's sentences, with what supports them once that has been computed; it never is here."""
    grounding = Grounding.objects.filter(summary=item.summary_id).first()
    if grounding is not None:
        return {"linked": True, "sentences": grounding.data["sentences"]}
    spans = sentences(item.summary.text)
    return {
        "linked": False,
        "sentences": [{"start": start, "end": end, "links": [], "unsupported": []} for start, end in spans],
    }


def live_prompt() -> PromptVersion | None:
    """The prompt of the release that is live; None where nothing is."""
    route = (
        Route.objects.filter(environment__name=ENVIRONMENT, release__isnull=False)
        .select_related("release__prompt_version__prompt")
        .first()
    )
    return route.release.prompt_version if route is not None and route.release is not None else None


# ---------------------------------------------------------------- autosave and lease


@desk_view(require_POST)
def save(request: HttpRequest, pk: int) -> HttpResponse:
    """Autosave; keeps the seat as well. Without script: the 'Save draft' button."""
    item = _item(pk)
    errors: dict[str, str] = {}
    review = save_draft(
        item=item,
        answers=answers_of(request.POST),
        reviewer=reviewer_of(request),
        base_revision=integer(request.POST, "base_revision", errors) or 0,
        overwrite=bool(request.POST.get("overwrite")),
    )
    if wants_json(request) or request.POST.get("quiet"):  # a page that goes away can set no header
        return JsonResponse({"revision": review.revision, "held": renewed(request, item)})
    messages.success(request, "Your draft is saved.")
    return redirect("desk_item", pk=item.pk)


@desk_view(require_POST)
def labels(request: HttpRequest, pk: int) -> HttpResponse:
    """Which errors the correction as it stands suggests. For whoever works on the item; nothing is kept."""
    item = _item(pk)
    if not Review.objects.filter(item=item, reviewer=reviewer_of(request)).exists() and not (
        ReviewSlot.objects.filter(item=item, reviewer=reviewer_of(request)).exists()
    ):
        raise StaleState("You do not hold this item.", code="not_yours")
    document, edited = item.summary.document, request.POST.get("edited_text", "").replace("\r\n", "\n")
    if max(document.words, len(edited) // 4) > MOST_WORDS_LABELLED:
        return JsonResponse({"labels": []})
    changes = suggest_labels(source=document.text, draft=item.summary.text, edited=edited)
    return JsonResponse({"labels": [asdict(change.label) for change in changes if change.label]})


@desk_view(require_POST)
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    """A sign of life: the seat stays mine; the one fetched ahead only for a little while."""
    return JsonResponse({"held": renewed(request, _item(pk), AHEAD if request.POST.get("ahead") else None)})


def renewed(request: HttpRequest, item: QueueItem, lease: timedelta | None = None) -> bool:
    try:
        slot, token = seat_of(request.POST, item)
        queueing.renew_lease(slot=slot, token=token, reviewer=reviewer_of(request), lease=lease)
    except StaleState:
        return False
    return True


# ---------------------------------------------------------------- handing in, passing by


def _next_url(queue: ReviewQueue) -> str:
    return reverse("desk_next", args=[queue.slug]) if queue.active else reverse("desk")


def _onwards(request: HttpRequest, item: QueueItem, message: str) -> HttpResponse:
    """To the next item, with the way back offered for a moment."""
    if wants_json(request):
        undo = {"url": reverse("desk_undo", args=[item.pk]), "seconds": int(OFFERED.total_seconds())}
        return JsonResponse({"next": _next_url(item.queue), "message": message, "undo": undo})
    messages.success(request, message)
    return HttpResponseRedirect(f"{_next_url(item.queue)}?undo={item.pk}")


def _explained(request: HttpRequest, review: Review, message: str) -> HttpResponse:
    """In a calibration round: to the known answer, beside the one just handed in."""
    to = reverse("gold_answer", args=[review.pk])
    if wants_json(request):
        return JsonResponse({"next": to, "message": message})
    messages.success(request, message)
    return HttpResponseRedirect(to)


def _lease_again(request: HttpRequest, item: QueueItem) -> Lease | None:
    return queueing.hold(item=item, reviewer=reviewer_of(request))


@desk_view(require_POST)
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(pk)
    errors: dict[str, str] = {}
    typed: Answers | None = None
    try:
        typed = answers_of(request.POST)
        review = submit_review(
            item=item,
            answers=typed,
            reviewer=reviewer_of(request),
            base_revision=integer(request.POST, "base_revision", errors),
        )
    except (InvalidInput, StaleDraft, AlreadySubmitted) as error:
        if wants_json(request) or typed is None:
            raise
        return _desk(request, item, _lease_again(request, item), typed=typed, error=error)
    message = "Handed in."
    if review.late:
        message = "Handed in. Others had finished this item meanwhile, so yours is kept as an extra review."
    if item.queue.calibration:
        return _explained(request, review, message)
    return _onwards(request, item, message)


@desk_view(require_POST)
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what I handed in."""
    item = _item(pk)
    errors: dict[str, str] = {}
    review = get_object_or_404(
        Review.objects.select_related("item__queue", "item__summary"), item=item, reviewer=request.user
    )
    typed: Answers | None = None
    try:
        typed = answers_of(request.POST)
        revise_review(
            review=review,
            answers=typed,
            reviewer=reviewer_of(request),
            base_revision=integer(request.POST, "base_revision", errors),
        )
    except (InvalidInput, StaleDraft) as error:
        if wants_json(request) or typed is None:
            raise
        return _desk(request, item, None, typed=typed, error=error)
    message = "Corrected. What you had handed in before is kept as an earlier revision."
    back = back_to(request)
    onwards = reverse("desk_item", args=[back]) if back is not None else reverse("my_feedback")
    if wants_json(request):
        return JsonResponse({"next": onwards, "message": message})
    messages.success(request, message)
    return HttpResponseRedirect(onwards)


@desk_view(require_POST)
def pass_by(request: HttpRequest, pk: int) -> HttpResponse:
    """Later, not for me, or flagged. What was typed is kept as a draft first."""
    item = _item(pk)
    slot, token = seat_of(request.POST, item)
    if "edited_text" in request.POST:
        answers = answers_of(request.POST)
        if touched(answers, item):
            errors: dict[str, str] = {}
            save_draft(
                item=item,
                answers=answers,
                reviewer=reviewer_of(request),
                base_revision=integer(request.POST, "base_revision", errors) or 0,
            )
    meaning = request.POST.get("meaning", "")
    queueing.skip(
        slot=slot,
        token=token,
        meaning=meaning,
        reason=request.POST.get("reason", ""),
        reviewer=reviewer_of(request),
    )
    said = {
        Skip.Meaning.LATER: "Put off: it comes back to you in two hours.",
        Skip.Meaning.NOT_FOR_ME: "Left to others: you will not be asked again.",
        Skip.Meaning.BAD_ITEM: "Flagged and set aside. An engineer will look at it.",
    }
    return _onwards(request, item, said[Skip.Meaning(meaning)])


def touched(answers: Answers, item: QueueItem) -> bool:
    text = answers.edited_text.replace("\r\n", "\n")
    return bool(
        answers.stars or answers.verdict or answers.ratings or answers.comment.strip() or answers.marks
        or answers.wants_retrain or answers.wants_refine or answers.support
        or text.strip() != item.summary.text.strip()
    )  # fmt: skip


@desk_view(require_POST)
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back what I handed in or passed by a moment ago, and open it again."""
    item, reviewer = _item(pk), reviewer_of(request)
    review = Review.objects.filter(item=item, reviewer=reviewer, state=Review.State.SUBMITTED).first()
    try:
        if review is not None:
            take_back(review=review, reviewer=reviewer)
            messages.success(request, "Taken back: it is a draft again.")
        else:
            take_back_skip(item=item, reviewer=reviewer)
            messages.success(request, "Taken back: the item is yours again.")
    except StaleState as error:
        if wants_json(request):
            raise
        messages.error(request, error.message)
        return redirect("desk_item", pk=item.pk) if review is not None else redirect("desk")
    return redirect("desk_item", pk=item.pk)


@desk_view(require_POST)
def put_back(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(pk)
    queueing.put_back(item=item, actor=request.user)
    messages.success(request, "Put back: others are asked for it again.")
    return redirect("desk")


# ---------------------------------------------------------------- trying another prompt


def _wanted_prompt(request: HttpRequest) -> tuple[PromptVersion, str, str]:
    based_on = get_object_or_404(
        PromptVersion.objects.select_related("prompt"), pk=integer(request.POST, "based_on", {}) or 0
    )
    template = request.POST.get("template", "").replace("\r\n", "\n").strip("\n")
    system = request.POST.get("system", "").replace("\r\n", "\n").strip()
    return based_on, template, system


def _trial(request: HttpRequest, item: QueueItem, context: dict[str, Any], status: int = 200) -> HttpResponse:
    page = "reviews/_trial.html" if is_fragment(request) else "reviews/trial.html"
    common = {
        "item": item,
        "summary": item.summary,
        "document": item.summary.document,
        "queue": item.queue,
        "variables": VARIABLES,
    }
    return render(request, page, {**common, **context}, status=status)


@desk_view(require_POST)
def try_prompt(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the live model write this article's summary with another prompt, now."""
    item = _item(pk)
    prompt, template, system = _wanted_prompt(request)
    changed = (template, system) != (prompt.template, prompt.system)
    context: dict[str, Any] = {"prompt": prompt, "template": template, "system": system, "changed": changed}
    document = item.summary.document
    try:
        check_template(kind=prompt.prompt.kind, system=system, template=template)
        spec = PromptSpec(prompt.prompt.kind, system, template)  # type: ignore[arg-type]
        served = client.generate(
            text=document.text, title=document.title, domain=document.domain, prompt=spec
        )
    except (InvalidInput, Unavailable) as error:
        answer = _trial(
            request, item, {**context, "error": error, "errors": error.fields}, status=error.status
        )
        if isinstance(error, Unavailable):
            answer["Retry-After"] = str(error.retry_after)
        return answer
    context |= {
        "output": served.text,
        "seconds": served.latency_ms / 1000,
        "words": len(served.text.split()),
        "cut": served.kept_text_tokens / served.total_text_tokens if served.truncated else None,
        "same": word_difference(item.summary.text, served.text)
        and served.text.strip() == item.summary.text.strip(),
        # what the model wrote comes back with the suggestion; signed, so that it is what the model wrote
        "trial": signing.dumps([item.pk, template, system, served.text], salt=TRIAL_SALT, compress=True),
    }
    return _trial(request, item, context)


@desk_view(require_POST)
def suggest(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(pk)
    prompt, template, system = _wanted_prompt(request)
    trial = request.POST.get("trial", "")
    output = _output_of(trial, item, template, system)
    note = request.POST.get("note", "")
    context: dict[str, Any] = {
        "prompt": prompt, "template": template, "system": system, "output": output, "trial": trial, "note": note,
        "words": len(output.split()), "changed": True,
    }  # fmt: skip
    try:
        suggest_prompt(
            document=item.summary.document,
            based_on=prompt,
            template=template,
            system=system,
            output=output,
            note=note,
            review=Review.objects.filter(item=item, reviewer=reviewer_of(request)).first(),
            actor=reviewer_of(request),
        )
    except InvalidInput as error:
        return _trial(request, item, {**context, "error": error, "errors": error.fields}, status=error.status)
    return _trial(request, item, {**context, "kept": True})


def _output_of(trial: str, item: QueueItem, template: str, system: str) -> str:
    """What the model wrote with exactly this prompt for this item, else nothing."""
    if not trial:
        return ""
    try:
        tried = signing.loads(trial, salt=TRIAL_SALT, max_age=timedelta(days=1))
    except signing.BadSignature:
        return ""
    return tried[3] if tried[:3] == [item.pk, template, system] else ""


urlpatterns = [
    path("", index, name="desk"),
    path("item/<int:pk>/", item_page, name="desk_item"),
    path("item/<int:pk>/draft/", save, name="desk_save"),
    path("item/<int:pk>/labels/", labels, name="desk_labels"),
    path("item/<int:pk>/keep/", keep, name="desk_keep"),
    path("item/<int:pk>/submit/", submit, name="desk_submit"),
    path("item/<int:pk>/correct/", correct, name="desk_correct"),
    path("item/<int:pk>/pass/", pass_by, name="desk_pass"),
    path("item/<int:pk>/undo/", undo, name="desk_undo"),
    path("item/<int:pk>/put-back/", put_back, name="desk_put_back"),
    path("item/<int:pk>/try/", try_prompt, name="desk_try"),
    path("item/<int:pk>/suggest/", suggest, name="desk_suggest"),
    path("<slug:slug>/", next_item, name="desk_next"),
]
