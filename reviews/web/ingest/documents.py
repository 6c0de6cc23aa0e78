"""Documents: the list with its filters, a document with all that was made of it, drafts and examples asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import include, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.foundation.roles import allowed
from models_app.models.releases import live_release
from models_app.web.pages import capability, page_or_fragment, paginate, user_of
from reviews.examples.proposals import propose_from_references
from reviews.filling.drafts import start_drafting, usual_writer
from reviews.ingest import search, twins
from reviews.ingest.search import DocumentFilter
from reviews.lists import counted
from reviews.models import (
    FeedbackExample,
    ImportBatch,
    QueueItem,
    Review,
    ReviewQueue,
    SourceDocument,
    Split,
    Summary,
)
from reviews.queues import blindness

PER_PAGE = 50
MOST_AT_ONCE = 5000

SPLITS = {
    Split.TRAIN: ("training", "", "Corrections of it may become training data."),
    Split.VALIDATION: (
        "validation",
        "info",
        "Its corrections choose the best checkpoint of a training run; the weights do not learn from them.",
    ),
    Split.TEST: (
        "test",
        "maybe",
        "Test document: never trains. It judges models, and a model that had seen it would be judged by what it "
        "remembers. Final corrections of its summaries can be references in a test set.",
    ),
}


# ---------------------------------------------------------------- the list


@require_safe
@capability("view_documents")
def documents(request: HttpRequest) -> HttpResponse:
    wanted = DocumentFilter.of(request.GET.dict())
    found = search.find_documents(wanted)
    page = paginate(request, found.rows, PER_PAGE)
    rows = list(page)
    drafts = search.draft_counts(rows)
    context: dict[str, Any] = {
        "page": page,
        "rows": [(document, drafts.get(document.pk, 0)) for document in rows],
        "found": found,
        "wanted": wanted,
        "tabs": [
            ("", "All", found.everything),
            *((name, SPLITS[Split(name)][0], n) for name, n in found.splits.items()),
        ],
        "batch": ImportBatch.objects.filter(pk=wanted.batch).first() if wanted.batch else None,
        "most_at_once": MOST_AT_ONCE,
    }
    if allowed(request.user, "import_documents"):
        context |= {"may_act": True, "queues": _queues(), "live": live_release()}
    return page_or_fragment(
        request, "reviews/ingest/documents.html", "reviews/ingest/_document_list.html", context
    )


def _queues() -> list[ReviewQueue]:
    return list(ReviewQueue.objects.filter(active=True, kind__in=ReviewQueue.AT_DESK))


# ---------------------------------------------------------------- a document


@dataclass(frozen=True)
class SummaryRow:
    summary: Summary
    reviews: list[Review]
    shows_model: bool


@require_safe
@capability("view_documents")
def document_page(request: HttpRequest, pk: int) -> HttpResponse:
    document = get_object_or_404(SourceDocument.objects.select_related("batch", "created_by", "twin"), pk=pk)
    name, kind, why = SPLITS[Split(document.split)]
    # Who only reviews must not learn here what the desk hides: which model wrote it, and what others answered.
    sees_all = allowed(request.user, "view_models")
    may_act = allowed(request.user, "import_documents")
    context = {
        "document": document,
        "split": {"name": name, "kind": kind, "why": why},
        "grouped": bool(document.group_key),
        "other_fields": list(document.fields.items()),
        "twins": twins.told(document),
        "summaries": _summaries(document, user_of(request), sees_all),
        "sees_all": sees_all,
        "hides": blindness.judged(request.user).filter(summary__document=document).exists(),
        "may_act": may_act,
        "live": live_release() if may_act else None,
        "queues": _queues() if may_act else [],
        "examples": list(
            blindness.readable_examples(
                FeedbackExample.objects.filter(document=document).select_related("decided_by"), request.user
            )
        )
        if allowed(request.user, "decide_feedback")
        else None,
    }
    return render(request, "reviews/ingest/document.html", context)


def _summaries(document: SourceDocument, user: User, sees_all: bool) -> list[SummaryRow]:
    """Newest first, each with the reviews that this user may see. 3 queries.

    Of a pair that people are asked to choose from, reviewers learn nothing here: their numbers tell which is older.
    """
    found = Summary.objects.filter(document=document)
    if not sees_all:
        pairs = QueueItem.objects.filter(other__isnull=False, state=QueueItem.State.OPEN)
        found = found.exclude(Exists(pairs.filter(summary=OuterRef("pk")))).exclude(
            Exists(pairs.filter(other=OuterRef("pk")))
        )
    summaries = list(
        found.select_related("release", "model_version", "prompt_version__prompt").order_by("-pk")[:50]
    )
    reviews = Review.objects.filter(summary__in=summaries, state=Review.State.SUBMITTED).order_by(
        "submitted_at"
    )
    reviews = blindness.readable_reviews(reviews, user)
    if not sees_all:
        reviews = reviews.filter(reviewer=user)
    hidden = blindness.hidden_models(found, user) if sees_all else set()
    by_summary: dict[int, list[Review]] = {}
    for review in reviews.select_related("reviewer"):
        by_summary.setdefault(review.summary_id, []).append(review)
    return [
        SummaryRow(summary, by_summary.get(summary.pk, []), sees_all and summary.pk not in hidden)
        for summary in summaries
    ]


# ---------------------------------------------------------------- asking for drafts and examples


def chosen_documents(request: HttpRequest, scope: str) -> list[int]:
    """Those that were ticked, or with the scope "found" all that the address's filter finds. Raises InvalidInput."""
    if scope != "found":
        ids = [number for raw in request.POST.getlist("document") if (number := counted.number_of(raw))]
        if not ids:
            raise InvalidInput("Select at least one document, or take all that were found.")
        return ids
    rows = DocumentFilter.of(request.GET.dict()).rows()
    ids = list(rows.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(ids) > MOST_AT_ONCE:
        raise InvalidInput(
            f"More than {MOST_AT_ONCE:,} documents were found, too many at once. Narrow the filter."
        )
    if not ids:
        raise InvalidInput("No document was found.")
    return ids


def back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """To the page that the form says it stands on."""
    to = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(to, allowed_hosts=None) and to.startswith("/"):
        return HttpResponseRedirect(to)
    return HttpResponseRedirect(otherwise)


@require_POST
@capability("import_documents")
def draft(request: HttpRequest) -> HttpResponse:
    scope, _, queue = request.POST.get("draft", "").partition(":")
    try:
        ids = chosen_documents(request, scope)
        job = start_drafting(documents=ids, release=usual_writer(), queue=queue, actor=request.user)
    except GalleyError as error:
        messages.error(request, " ".join(error.fields.values()) or error.message)
        return back(request, reverse("documents"))
    messages.success(request, f"{_count(len(ids), 'document')} will be summarised (job {job.pk}).")
    return (
        redirect("job", job.pk)
        if allowed(request.user, "view_monitoring")
        else back(request, reverse("documents"))
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


@require_POST
@capability("import_documents")
def propose_references(request: HttpRequest) -> HttpResponse:
    try:
        ids = chosen_documents(request, request.POST.get("scope", ""))
    except InvalidInput as error:
        messages.error(request, error.message)
        return back(request, reverse("documents"))
    chosen = list(SourceDocument.objects.filter(pk__in=ids).only("pk", "split", "reference"))
    made = propose_from_references(documents=chosen, actor=request.user)
    if not made:
        messages.warning(request, f"Nothing was proposed. {_left_out(chosen, 0)}")
        return back(request, reverse("documents"))
    said = "1 reference summary is" if len(made) == 1 else f"{len(made):,} reference summaries are"
    messages.success(request, f"{said} proposed as examples. {_left_out(chosen, len(made))}".strip())
    return redirect(f"{reverse('feedback')}?origin=reference")


def _left_out(chosen: list[SourceDocument], made: int) -> str:
    """Why the others were not proposed, in a sentence; nothing where there are none."""
    tests = sum(document.split == Split.TEST for document in chosen)
    without = sum(not document.reference.strip() for document in chosen if document.split != Split.TEST)
    reasons = (
        (tests, "of the test split, which never trains"),
        (without, "without a reference summary"),
        (len(chosen) - made - tests - without, "proposed before"),
    )
    told = ", ".join(f"{number:,} {why}" for number, why in reasons if number)
    return f"Left out: {told}." if told else ""


urlpatterns = [
    path("", documents, name="documents"),
    path("<int:pk>/", document_page, name="document"),
    path("draft/", draft, name="documents_draft"),
    path("propose-references/", propose_references, name="documents_propose"),
    path("imports/", include("reviews.web.ingest.imports")),
]
