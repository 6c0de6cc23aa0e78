"""Managing review queues: settings, rules, who is to review what, and what became of each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.models import Job
from models_app.texts.comment_classes import COMPLAINTS
from models_app.texts.normalise import one_line
from models_app.web.pages import capability, paginate, user_of
from reviews.desk import assignment, claims, returns
from reviews.filling import rule_runs
from reviews.models import QueueItem, QueueRule, Review, ReviewQueue, ReviewSlot, RubricVersion
from reviews.queues import queries, rules
from reviews.queues import settings as managing
from reviews.queues.seats import Rearranged
from reviews.queues.settings import MOST_CRITERIA, POINTS, Question, QueueSettings

manages = capability("manage_queues")


def _put_errors(form: forms.Form, error: GalleyError) -> None:
    for name, message in (error.fields or {"": error.message}).items():
        form.add_error(name if name in form.fields else None, message)


def _queue(slug: str) -> ReviewQueue:
    return get_object_or_404(ReviewQueue.objects.select_related("rubric"), slug=slug)


def _say(request: HttpRequest, error: GalleyError) -> None:
    messages.error(request, " ".join(dict.fromkeys([error.message, *error.fields.values()])))


# ---------------------------------------------------------------- all of them


@require_safe
@manages
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "reviews/queues/index.html", {"rows": queries.queues()})


class SettingsForm(forms.Form):
    name = forms.CharField(max_length=100)
    description = forms.CharField(
        max_length=300, required=False, help_text="Reviewers read it where they choose a queue."
    )
    kind = forms.ChoiceField(
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
    reviews_per_item = forms.IntegerField(
        label="Reviews per item",
        min_value=1,
        max_value=20,
        help_text="By different people. More add seats and open finished items again; fewer take free seats away.",
    )
    overlap_percent = forms.IntegerField(
        label="Share that gets all of them",
        min_value=0,
        max_value=100,
        help_text="Per cent of the items, drawn by a hash; the others get one review.",
    )
    lease_minutes = forms.IntegerField(
        label="Minutes an item stays somebody's",
        min_value=1,
        max_value=1440,
        help_text="Without a sign of life. Then others may get it; what was typed is kept.",
    )
    order = forms.ChoiceField(
        choices=[
            (ReviewQueue.Order.OLDEST, "Oldest first"),
            (ReviewQueue.Order.PRIORITY, "By priority"),
            (ReviewQueue.Order.RANDOM, "Random, another order for each reviewer"),
            (ReviewQueue.Order.CONFIDENCE, "Lowest confidence of the model first"),
            (ReviewQueue.Order.DISAGREEMENT, "Most disagreement first"),
        ],
    )
    blind_to_peers = forms.BooleanField(
        label="Hide others' answers", required=False, help_text="Nobody sees what others answered before."
    )
    blind_to_model = forms.BooleanField(
        label="Hide the model", required=False, help_text="Nobody sees which model wrote the summary."
    )
    calibration = forms.BooleanField(
        label="A calibration round",
        required=False,
        help_text="On gold items: answers are explained, nothing is learnt from them.",
    )
    active = forms.BooleanField(
        label="Open",
        required=False,
        help_text="A closed queue gives nothing out; what is held can be handed in.",
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
            _put_errors(form, error)
        else:
            messages.success(request, f"The queue {queue.name} is there. Say what fills it.")
            return redirect("queue_rules", queue.slug)
    return render(request, "reviews/queues/new.html", {"form": form}, status=422 if form.errors else 200)


# ---------------------------------------------------------------- one queue


@require_safe
@manages
def queue_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = _queue(slug)
    state = request.GET.get("state", "")
    if state not in queries.STATES:
        state = ""
    name = request.GET.get("person", "").strip()
    person = User.objects.filter(username=name).first() if name else None
    found = queries.items(queue, state=state, person=person)
    context = {
        "queue": queue,
        "tab": "items",
        "page": paginate(request, [] if name and person is None else found.rows, 50),
        "state": state,
        "person": name,
        "found": found,
        "now": timezone.now(),
    }
    return render(request, "reviews/queues/queue.html", context)


@manages
def settings_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = _queue(slug)
    form = SettingsForm(
        request.POST if request.method == "POST" else None, initial=_initial(QueueSettings.of(queue))
    )
    if request.method == "POST" and form.is_valid():
        try:
            moved = managing.change_queue_or_later(
                queue=queue, settings=QueueSettings(**form.cleaned_data), actor=user_of(request)
            )
        except InvalidInput as error:
            _put_errors(form, error)
        else:
            messages.success(request, _moved(moved))
            return redirect("queue_settings", slug)
    context = {"queue": queue, "tab": "settings", "form": form}
    return render(request, "reviews/queues/settings.html", context, status=422 if form.errors else 200)


def _moved(moved: Rearranged | Job) -> str:
    if isinstance(moved, Job):
        return f"Many items have to be brought in step: job {moved.pk} does it. Reload this page when it is through."
    parts = [
        (moved.seats_added, "seat more", "seats more"),
        (moved.seats_removed, "free seat fewer", "free seats fewer"),
        (moved.reopened, "finished item open again", "finished items open again"),
        (len(moved.closed), "item done by it", "items done by it"),
    ]
    said = ", ".join(f"{number:,} {one if number == 1 else many}" for number, one, many in parts if number)
    return f"Saved: {said}." if said else "Saved."


# ---------------------------------------------------------------- people


class SpreadForm(forms.Form):
    people = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), widget=forms.CheckboxSelectMultiple, to_field_name="username"
    )
    most = forms.IntegerField(
        label="At most",
        required=False,
        min_value=1,
        max_value=assignment.MOST_ITEMS,
        help_text="Seats in all, in the queue's order. Empty: every free one.",
    )


@manages
def people_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = _queue(slug)
    reviewers = queries.reviewers()
    form = SpreadForm(request.POST if request.method == "POST" else None)
    form.fields["people"].queryset = User.objects.filter(pk__in=[row.pk for row in reviewers]).order_by(  # type: ignore[attr-defined]
        "username"
    )
    if request.method == "POST" and form.is_valid():
        try:
            counts = assignment.assign_evenly(
                queue=queue,
                people=list(form.cleaned_data["people"]),
                most=form.cleaned_data["most"],
                actor=request.user,
            )
        except InvalidInput as error:
            _put_errors(form, error)
        else:
            got = [
                f"{person.username} {counts[person.pk]:,}"
                for person in form.cleaned_data["people"]
                if counts.get(person.pk)
            ]
            if got:
                messages.success(request, f"New seats kept: {', '.join(got)}.")
            else:
                messages.info(request, "No free seat is left for them.")
            return redirect("queue_people", slug)
    context = {
        "queue": queue,
        "tab": "people",
        "form": form,
        "rows": queries.people_of(queue, reviewers),
        "now": timezone.now(),
    }
    return render(request, "reviews/queues/people.html", context, status=422 if form.errors else 200)


@require_POST
@manages
def unassign(request: HttpRequest, slug: str, username: str) -> HttpResponse:
    person = get_object_or_404(User, username=username)
    count = assignment.unassign(queue=_queue(slug), person=person, actor=request.user)
    messages.success(request, f"{count:,} seat{'s are' if count != 1 else ' is'} anybody's again.")
    return redirect("queue_people", slug)


@require_POST
@manages
def release(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    slot = get_object_or_404(ReviewSlot, pk=pk, queue__slug=slug)
    try:
        assignment.release_seat(slot=slot, actor=request.user)
    except GalleyError as error:
        _say(request, error)
    else:
        messages.success(request, "The seat is free for others. What was typed is kept as a draft.")
    if request.POST.get("to") == "people":
        return redirect("queue_people", slug)
    return redirect("queue_item", slug, slot.item_id)


# ---------------------------------------------------------------- rules


class FewStarsForm(forms.Form):
    at_most = forms.IntegerField(label="Stars or fewer", min_value=1, max_value=4)


class ComplaintForm(forms.Form):
    classes = forms.MultipleChoiceField(
        label="About",
        choices=[(str(name), str(name)) for name in COMPLAINTS],
        widget=forms.CheckboxSelectMultiple,
    )


class WantsForm(forms.Form):
    retrain = forms.BooleanField(label="Retraining", required=False)
    refine = forms.BooleanField(label="A better prompt", required=False)


SOURCES = [("both", "drafts and live requests"), ("drafts", "drafts"), ("requests", "live requests")]


class CheckForm(forms.Form):
    of = forms.ChoiceField(label="Of", choices=SOURCES)
    numbers = forms.BooleanField(label="Numbers that the article does not have", required=False)
    names = forms.BooleanField(
        label="Names that the article does not have",
        required=False,
        help_text="Other spellings of a name are flagged too.",
    )
    repetition = forms.FloatField(
        label="More repeated than",
        required=False,
        min_value=0.01,
        max_value=1,
        help_text="Share of repeated groups of three words, such as 0.2. Empty: not looked at.",
    )
    shortest = forms.IntegerField(label="Fewer words than", required=False, min_value=1, max_value=5000)
    longest = forms.IntegerField(label="More words than", required=False, min_value=1, max_value=5000)


class ShareForm(forms.Form):
    of = forms.ChoiceField(label="Of", choices=SOURCES)
    percent = forms.FloatField(label="Per cent", min_value=0.01, max_value=100)


class DriftForm(forms.Form):
    by = forms.ChoiceField(label="By", choices=[("domain", "domain"), ("length", "length of the article")])
    days = forms.IntegerField(label="Days", min_value=1, max_value=90)
    reference_days = forms.IntegerField(label="Compared with the days before", min_value=1, max_value=365)
    least = forms.IntegerField(
        label="Requests needed in either",
        min_value=20,
        max_value=100_000,
        help_text="With fewer nothing is said.",
    )
    most = forms.IntegerField(label="Items at most", min_value=1, max_value=1000)
    certainty = forms.FloatField(label="Certainty", min_value=0.9, max_value=0.9999)


RULES: dict[str, tuple[type[forms.Form], str]] = {
    rules.FewStars.kind: (FewStarsForm, "Clients' feedback with few stars."),
    rules.Complaint.kind: (ComplaintForm, "Clients' comments that complain."),
    rules.Wants.kind: (WantsForm, "Clients' wishes."),
    rules.Check.kind: (CheckForm, "What can be counted about a summary, without judging its words."),
    rules.Share.kind: (ShareForm, "A fair sample: what nobody complained about has to be looked at too."),
    rules.Drift.kind: (DriftForm, "Kinds of articles that come more often than they did."),
}


@manages
def rules_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = _queue(slug)
    there = queries.rules_of(queue)
    sent = request.POST.get("kind", "") if request.method == "POST" else ""
    if sent and sent not in RULES:
        raise InvalidInput("There is no such rule.", fields={"kind": ", ".join(RULES)})
    forms_by_kind = {
        kind: form(
            request.POST if kind == sent else None,
            initial=there[kind].rule.params if kind in there else rules.to_json(rules.KINDS[kind]()),
            prefix=kind.split()[0],
        )
        for kind, (form, _) in RULES.items()
    }
    form = forms_by_kind.get(sent)
    if form is not None and form.is_valid():
        try:
            rule_runs.set_rule(
                queue=queue,
                kind=sent,
                params=form.cleaned_data,
                active=bool(request.POST.get("active")),
                actor=request.user,
            )
        except InvalidInput as error:
            _put_errors(form, error)
        else:
            messages.success(request, "Saved. It looks at what comes every five minutes.")
            return redirect("queue_rules", slug)
    context = {
        "queue": queue,
        "tab": "rules",
        "rows": [
            {
                "kind": kind,
                "about": about,
                "form": forms_by_kind[kind],
                "there": there.get(kind),
                "sent": kind == sent,
            }
            for kind, (_, about) in RULES.items()
        ],
    }
    invalid = form is not None and form.errors
    return render(request, "reviews/queues/rules.html", context, status=422 if invalid else 200)


@require_POST
@manages
def rule_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    rule = get_object_or_404(QueueRule.objects.select_related("queue"), pk=pk, queue__slug=slug)
    rule_runs.remove_rule(rule=rule, actor=request.user)
    messages.success(request, "Removed. What it put in stays in.")
    return redirect("queue_rules", slug)


# ---------------------------------------------------------------- one item


def _item(slug: str, pk: int) -> QueueItem:
    rows = QueueItem.objects.select_related("queue__rubric", "summary__document", "other")
    return get_object_or_404(rows, pk=pk, queue__slug=slug)


@require_safe
@manages
def item_page(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    return _item_page(request, _item(slug, pk))


def _item_page(
    request: HttpRequest, item: QueueItem, *, error: GalleyError | None = None, of: int = 0, typed: str = ""
) -> HttpResponse:
    context = {
        "queue": item.queue,
        "item": item,
        "document": item.summary.document,
        "found": queries.item_page(item, user_of(request)),
        "reviewers": queries.reviewers(),
        "error": error,
        "error_of": of,
        "typed": typed,
        "longest": returns.LONGEST_COMMENT_CHARACTERS,
        "now": timezone.now(),
    }
    return render(request, "reviews/queues/item.html", context, status=error.status if error else 200)


@require_POST
@manages
def assign(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    item = _item(slug, pk)
    person = User.objects.filter(username=one_line(request.POST.get("person", ""))).first()
    try:
        if person is None:
            raise InvalidInput("Choose who is to review it.", fields={"person": "Choose a person."})
        assignment.assign(item=item, to=person, actor=request.user)
    except GalleyError as error:
        _say(request, error)
    else:
        messages.success(request, f"{person.username} is asked for it first, and nobody else for that seat.")
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def put_back(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    try:
        claims.put_back(item=_item(slug, pk), actor=request.user)
    except GalleyError as error:
        _say(request, error)
    else:
        messages.success(request, "Put back: others are asked for it again.")
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def step_aside(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    try:
        claims.step_aside(item=_item(slug, pk), reviewer=user_of(request))
    except GalleyError as error:
        _say(request, error)
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def send_back(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    review = get_object_or_404(
        Review.objects.select_related("item", "reviewer"), pk=pk, item__queue__slug=slug
    )
    comment = request.POST.get("comment", "")
    try:
        returns.return_review(review=review, comment=comment, actor=request.user)
    except GalleyError as error:
        return _item_page(request, _item(slug, review.item_id), error=error, of=review.pk, typed=comment)
    messages.success(request, f"Sent back to {review.reviewer.username}.")
    return redirect("queue_item", slug, review.item_id)


# ---------------------------------------------------------------- rubrics


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
        max_length=managing.LONGEST_INSTRUCTIONS,
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
        help_text="Reviewers read it above the questions.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for place in range(MOST_CRITERIA):
            self.fields[f"name-{place}"] = forms.CharField(label="Name", required=False, max_length=60)
            self.fields[f"question-{place}"] = forms.CharField(
                label="Question", required=False, max_length=200
            )
            for point in range(1, POINTS + 1):
                self.fields[f"point-{place}-{point}"] = forms.CharField(
                    label=str(point),
                    required=False,
                    max_length=200,
                    widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
                )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "number": place + 1,
                "name": self[f"name-{place}"],
                "question": self[f"question-{place}"],
                "points": [self[f"point-{place}-{point}"] for point in range(1, POINTS + 1)],
                "used": bool(self[f"name-{place}"].value() or self[f"question-{place}"].value()),
            }
            for place in range(MOST_CRITERIA)
        ]


def _questions(values: Mapping[str, Any]) -> tuple[list[Question], list[int]]:
    """The questions that are not empty, and at which place of the form each stands."""
    found, places = [], []
    for place in range(MOST_CRITERIA):
        points = [values.get(f"point-{place}-{point}", "") for point in range(1, POINTS + 1)]
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


urlpatterns = [
    path("", index, name="queues"),
    path("new/", new, name="queue_new"),
    path("rubrics/", rubrics, name="rubrics"),
    path("rubrics/new/", rubric_new, name="rubric_new"),
    path("<slug:slug>/", queue_page, name="queue"),
    path("<slug:slug>/settings/", settings_page, name="queue_settings"),
    path("<slug:slug>/rules/", rules_page, name="queue_rules"),
    path("<slug:slug>/rules/<int:pk>/remove/", rule_remove, name="queue_rule_remove"),
    path("<slug:slug>/people/", people_page, name="queue_people"),
    path("<slug:slug>/people/<str:username>/unassign/", unassign, name="queue_unassign"),
    path("<slug:slug>/seats/<int:pk>/release/", release, name="queue_release"),
    path("<slug:slug>/items/<int:pk>/", item_page, name="queue_item"),
    path("<slug:slug>/items/<int:pk>/assign/", assign, name="queue_assign"),
    path("<slug:slug>/items/<int:pk>/put-back/", put_back, name="queue_put_back"),
    path("<slug:slug>/items/<int:pk>/step-aside/", step_aside, name="queue_step_aside"),
    path("<slug:slug>/reviews/<int:pk>/send-back/", send_back, name="queue_send_back"),
]
