"""Who reviews in a queue, and what is kept for whom."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from models_app.foundation.errors import GalleyError, InvalidInput
from reviews.desk import assigning
from reviews.models import Assignment
from reviews.queues import queries
from reviews.web.queues.shared import manages, put_errors, queue_of, say


class SpreadForm(forms.Form):
    people = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), widget=forms.CheckboxSelectMultiple, to_field_name="username"
    )
    most = forms.IntegerField(
        label="At most",
        required=False,
        min_value=1,
        max_value=assigning.MOST_ITEMS,
        help_text="Assignments in all, in the queue's order. Empty: every open one.",
    )


@manages
def people_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = queue_of(slug)
    reviewers = queries.reviewers()
    form = SpreadForm(request.POST if request.method == "POST" else None)
    form.fields["people"].queryset = User.objects.filter(pk__in=[row.pk for row in reviewers]).order_by(  # type: ignore[attr-defined]
        "username"
    )
    if request.method == "POST" and form.is_valid():
        try:
            counts = assigning.assign_evenly(
                queue=queue,
                people=list(form.cleaned_data["people"]),
                most=form.cleaned_data["most"],
                actor=request.user,
            )
        except InvalidInput as error:
            put_errors(form, error)
        else:
            got = [
                f"{person.username} {counts[person.pk]:,}"
                for person in form.cleaned_data["people"]
                if counts.get(person.pk)
            ]
            if got:
                messages.success(request, f"New assignments: {', '.join(got)}.")
            else:
                messages.info(request, "No open assignment is left for them.")
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
    count = assigning.unassign(queue=queue_of(slug), person=person, actor=request.user)
    messages.success(request, f"{count:,} assignment{'s are' if count != 1 else ' is'} anybody's again.")
    return redirect("queue_people", slug)


@require_POST
@manages
def take_back(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    assignment = get_object_or_404(Assignment, pk=pk, queue__slug=slug)
    try:
        assigning.free_assignment(assignment=assignment, actor=request.user)
    except GalleyError as error:
        say(request, error)
    else:
        messages.success(request, "The assignment is open for others. What was typed is kept as a draft.")
    if request.POST.get("to") == "people":
        return redirect("queue_people", slug)
    return redirect("queue_item", slug, assignment.item_id)
