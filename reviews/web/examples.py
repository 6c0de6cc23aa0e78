"""Feedback examples: decided one by one or many at once, then frozen into a snapshot; the test set beside it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import allowed
from models_app.models import DatasetSnapshot
from models_app.web.pages import capability, is_fragment, page_or_fragment, paginate
from reviews.examples import search
from reviews.examples.decisions import (
    TEST_SPLIT,
    approve_example,
    approve_examples,
    decline_example,
    decline_examples,
)
from reviews.examples.references import SOURCES, count_corrections, freeze_test_set
from reviews.examples.search import ExampleFilter
from reviews.examples.snapshots import Selection, freeze_snapshot, preview_snapshot
from reviews.lists import counted
from reviews.lists.statements import distinct_values
from reviews.models import FeedbackExample, SourceDocument, Split
from reviews.queues.blindness import readable_examples
from reviews.web.ingest.documents import back

PER_PAGE = 20
REFUSALS_TOLD = 3
ORIGINS = {
    "review": "reviews",
    "reference": "reference summaries",
    "client": "client corrections",
    "adjudication": "resolved disputes",
}
LONGEST_REASON = FeedbackExample.LONGEST_REASON_CHARACTERS
REASONS = (
    "Says what the article does not say",
    "Leaves out the main point",
    "Keeps a mistake of the draft",
    "Too long",
    "Not in our style",
    "Contains personal data",
)


# ---------------------------------------------------------------- the list


@require_safe
@capability("decide_feedback")
def examples(request: HttpRequest) -> HttpResponse:
    wanted = ExampleFilter.of(request.GET.dict())
    found = search.find_examples(wanted, request.user)
    page = paginate(request, found.rows, PER_PAGE)
    context = {
        "page": page,
        "examples": list(page),
        "found": found,
        "wanted": wanted,
        "tabs": _tabs(found.states, found.everything),
        "origins": ORIGINS,
        "reasons": REASONS,
        "longest_reason": LONGEST_REASON,
        "test_split": TEST_SPLIT,
        "may_freeze": allowed(request.user, "freeze_snapshot"),
    }
    return page_or_fragment(request, "reviews/examples/index.html", "reviews/examples/_list.html", context)


def _tabs(states: dict[str, int], everything: int) -> list[tuple[str, str, str]]:
    names = {"proposed": "waiting", "approved": "approved", "declined": "declined"}
    counts = [*((key, name, states[key]) for key, name in names.items()), ("all", "all", everything)]
    return [
        (key, name, f"{search.COUNTED:,}+" if count >= search.COUNTED else f"{count:,}")
        for key, name, count in counts
    ]


def _example(request: HttpRequest, pk: int) -> FeedbackExample:
    return get_object_or_404(readable_examples(search.example_rows(), request.user), pk=pk)


@require_safe
@capability("decide_feedback")
def example_page(request: HttpRequest, pk: int) -> HttpResponse:
    context = {"example": _example(request, pk), "reasons": REASONS, "test_split": TEST_SPLIT}
    return render(request, "reviews/examples/example.html", context)


@require_safe
@capability("decide_feedback")
def article(request: HttpRequest, pk: int) -> HttpResponse:
    """The article, fetched when somebody unfolds it."""
    example = _example(request, pk)
    return render(request, "reviews/examples/_article.html", {"document": example.document})


# ---------------------------------------------------------------- deciding


@require_POST
@capability("decide_feedback")
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    approve_example(example=_example(request, pk), actor=request.user)
    return _decided(request, pk)


@require_POST
@capability("decide_feedback")
def decline(request: HttpRequest, pk: int) -> HttpResponse:
    decline_example(
        example=_example(request, pk),
        actor=request.user,
        reason=request.POST.get("reason", "")[:LONGEST_REASON],
    )
    return _decided(request, pk)


def _decided(request: HttpRequest, pk: int) -> HttpResponse:
    if not is_fragment(request):
        return back(request, reverse("feedback_example", args=[pk]))
    shown = dict(parse_qsl(urlsplit(request.headers.get("HX-Current-URL", "")).query))
    wanted = ExampleFilter.of(shown)
    states, everything = search.example_states(wanted, request.user)
    context = {
        "example": _example(request, pk),
        "reasons": REASONS,
        "test_split": TEST_SPLIT,
        "wanted": wanted,
        "tabs": _tabs(states, everything),
        "decided": True,
    }
    return render(request, "reviews/examples/_decided.html", context)


@require_POST
@capability("decide_feedback")
def decide_many(request: HttpRequest) -> HttpResponse:
    ids = [number for raw in request.POST.getlist("example") if (number := counted.number_of(raw))]
    asked = FeedbackExample.objects.filter(pk__in=ids).select_related("document").order_by("pk")
    chosen = list(readable_examples(asked, request.user))
    if not chosen:
        messages.error(request, "Select at least one example.")
        return back(request, reverse("feedback"))
    approving = request.POST.get("decision") == "approve"
    try:
        if approving:
            decided, refusals = approve_examples(examples=chosen, actor=request.user)
        else:
            reason = request.POST.get("reason", "")[:LONGEST_REASON]
            decided, refusals = decline_examples(examples=chosen, actor=request.user, reason=reason)
    except GalleyError as error:
        messages.error(request, error.message)
        return back(request, reverse("feedback"))
    word = "approved" if approving else "declined"
    if decided:
        messages.success(request, f"{decided:,} example{'s are' if decided > 1 else ' is'} {word}.")
    for refusal in refusals[:REFUSALS_TOLD]:
        messages.warning(request, refusal)
    if len(refusals) > REFUSALS_TOLD:
        messages.warning(request, f"{len(refusals) - REFUSALS_TOLD:,} more could not be {word}.")
    return back(request, reverse("feedback"))


# ---------------------------------------------------------------- freezing


class FreezeForm(forms.Form):
    name = forms.CharField(max_length=120, help_text="How it is called in lists.")
    note = forms.CharField(max_length=300, required=False, help_text="What is special about it.")
    origins = forms.MultipleChoiceField(
        choices=[*ORIGINS.items()],
        required=False,
        label="From",
        widget=forms.CheckboxSelectMultiple,
        help_text="None selected: from everywhere.",
    )
    domains = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="None selected: all domains."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = self.fields["domains"]
        assert isinstance(domains, forms.ChoiceField)  # nosec B101 (for the types)
        domains.choices = [(name, name) for name in distinct_values(SourceDocument, "domain")]

    def selection(self) -> Selection:
        """Of what is valid so far."""
        values = getattr(self, "cleaned_data", {})
        return Selection(domains=tuple(values.get("domains", ())), origins=tuple(values.get("origins", ())))


@capability("freeze_snapshot")
def freeze(request: HttpRequest) -> HttpResponse:
    """What would be in, and the button. A fragment shows what would be in once a choice changes."""
    status = 200
    if request.method == "POST":
        form = FreezeForm(request.POST)
        if form.is_valid():
            answer = _freeze(request, form)
            if answer is not None:
                return answer
        status = 422
    else:
        form = FreezeForm(request.GET if is_fragment(request) else None, initial={"name": _next_name()})
        if form.is_bound:
            form.full_clean()
    context = {
        "form": form,
        "preview": preview_snapshot(form.selection()),
        "waiting": FeedbackExample.objects.filter(state="proposed", kind="demonstration").count(),
        "test_split": TEST_SPLIT,
    }
    template = (
        "reviews/examples/_freeze_preview.html"
        if is_fragment(request) and status == 200
        else "reviews/examples/freeze.html"
    )
    return render(request, template, context, status=status)


def _next_name() -> str:
    newest = DatasetSnapshot.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return f"Snapshot {newest + 1}"


def _freeze(request: HttpRequest, form: FreezeForm) -> HttpResponse | None:
    asked_at = timezone.now()
    try:
        snapshot = freeze_snapshot(
            name=form.cleaned_data["name"],
            note=form.cleaned_data["note"],
            selection=form.selection(),
            actor=request.user,
        )
    except GalleyError as error:
        form.add_error(None, error.message)
        return None
    if snapshot.created_at < asked_at:
        messages.info(request, f"Exactly these examples are frozen already, as {snapshot.name}.")
    else:
        messages.success(request, f"{snapshot.name} is frozen.")
    return redirect("snapshot", snapshot.pk)


class TestSetForm(forms.Form):
    name = forms.CharField(max_length=120, required=False, help_text="By its size unless given.")
    limit = forms.IntegerField(
        min_value=1,
        max_value=10_000_000,
        required=False,
        label="At most",
        help_text="All unless given. The lowest content hashes are taken, so that the same number gives the same set.",
    )
    references = forms.ChoiceField(
        choices=tuple(SOURCES.items()),
        required=False,
        label="References",
        help_text="A correction began as some release's summary, so it favours that release. The test set and every "
        "comparison on it say so.",
    )
    words = forms.ChoiceField(
        choices=(
            ("", "what its references are written in"),
            ("latin", "words of a–z and 0–9, stemmed, as rouge-score has them"),
            ("unicode", "words of any script"),
        ),
        required=False,
        label="ROUGE counts",
        help_text="Chinese, Russian or Arabic has no word of a–z and would score zero. Scores of the two are never "
        "compared.",
    )


@capability("evaluate")
def test_set(request: HttpRequest) -> HttpResponse:
    tests = SourceDocument.objects.filter(split=Split.TEST)
    imported, (corrected, corrections) = tests.exclude(reference="").count(), count_corrections()
    sources = "imported" if imported else "corrections"
    form = TestSetForm(request.POST or None, initial={"references": sources})
    if request.method == "POST" and form.is_valid():
        asked_at = timezone.now()
        try:
            frozen = freeze_test_set(
                actor=request.user,
                name=form.cleaned_data["name"],
                limit=form.cleaned_data["limit"],
                references=form.cleaned_data["references"] or "imported",
                words=form.cleaned_data["words"] or None,
            )
        except GalleyError as error:
            form.add_error(None, error.message)
        else:
            known = frozen.created_at < asked_at
            said = (
                "Exactly these documents are frozen already"
                if known
                else f"{frozen.rows:,} test documents are frozen"
            )
            messages.success(request, f"{said}, as {frozen.name}.")
            return redirect("test_set", frozen.pk)
    context = {
        "form": form,
        "imported": imported,
        "corrected": corrected,
        "corrections": corrections,
        "documents": tests.count(),
    }
    return render(request, "reviews/examples/test_set_new.html", context, status=422 if form.errors else 200)


urlpatterns = [
    path("", examples, name="feedback"),
    path("<int:pk>/", example_page, name="feedback_example"),
    path("<int:pk>/article/", article, name="feedback_article"),
    path("<int:pk>/approve/", approve, name="feedback_approve"),
    path("<int:pk>/decline/", decline, name="feedback_decline"),
    path("decide/", decide_many, name="feedback_decide"),
    path("freeze/", freeze, name="snapshot_freeze"),
    path("test-set/", test_set, name="test_set_freeze"),
]
