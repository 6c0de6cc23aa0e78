"""What people do with a release: decide, comment, review an emergency, withdraw."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from models_app.foundation.errors import GalleyError, InvalidInput, Refused, TooManyTries
from models_app.models import Incident, Release
from models_app.releases.approving import approve, ask_for_changes, reject
from models_app.releases.commenting import comment_on_release
from models_app.releases.composing import withdraw_release
from models_app.releases.emergency import put_live_in_emergency, review_incident
from models_app.web.pages import capability, user_of
from models_app.web.releases.forms import CommentForm, DecisionForm, ReviewForm
from models_app.web.releases.page import page_context, release_for_page

#: What a person may do with a release that waits, by the value of the button.
DECISIONS: dict[str, Any] = {
    "approve": approve,
    "reject": reject,
    "changes": ask_for_changes,
    "emergency": put_live_in_emergency,
}


@require_POST
@capability("approve_release")
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    release = release_for_page(pk)
    form = DecisionForm(request.POST, release=release, user=request.user)
    act = DECISIONS.get(request.POST.get("decision", ""))
    if act is None:
        raise InvalidInput("Say whether you approve, reject or ask for changes.")
    problem: GalleyError | None = None
    if form.is_valid():
        problem = _decided_by(request, release, form, act)
        if problem is None:
            # its top, which says what became of it: a browser would go on to the place of the form
            return redirect(f"{reverse('release', args=[pk])}#main")
    return _refused(request, problem, page_context(request, release_for_page(pk), decision=form))


def _refused(request: HttpRequest, problem: GalleyError | None, context: dict[str, Any]) -> HttpResponse:
    """The long page, whose address ends at the form, as it was filled in. `problem`: None where the form itself says
    what is wrong."""
    status = 422 if problem is None else problem.status
    answer = render(request, "models_app/releases/release.html", context, status=status)
    if isinstance(problem, TooManyTries):
        answer["Retry-After"] = str(problem.retry_after)
    return answer


def _decided_by(request: HttpRequest, release: Release, form: DecisionForm, act: Any) -> GalleyError | None:
    """None where the decision stands; what is wrong is put on the form."""
    given = form.signed
    if act not in (approve, put_live_in_emergency):
        given.pop("said", None)
    try:
        act(release=release, actor=request.user, **given)
    except (InvalidInput, Refused, TooManyTries) as error:
        form.add_refusal(error)
        # what is shown now is what the next try is about
        digest = Release.objects.values_list("evidence_digest", flat=True).get(pk=release.pk)
        form.data = {**{name: form.data.get(name) for name in form.data}, "evidence_digest": digest}
        return error
    release.refresh_from_db(fields=["state"])
    said = {
        "awaiting approval": "Your approval is recorded; it takes another one.",
        "approved": f"Release {release.pk} is approved and starts when the freeze window is over.",
        "changes requested": f"Release {release.pk} went back to who asked for it, with what you wrote.",
        "rejected": f"Release {release.pk} is rejected. What is live stays live.",
    }
    messages.success(
        request,
        said.get(release.state, f"Release {release.pk} is approved and goes live when its model answers."),
    )
    return None


@require_POST
@capability("view_models")
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    release = release_for_page(pk)
    form = CommentForm(request.POST)
    if form.is_valid():
        try:
            comment_on_release(release=release, text=form.cleaned_data["text"], actor=request.user)
        except InvalidInput as error:
            form.add_error("text", error.message)
        else:
            return redirect(f"{reverse('release', args=[pk])}#comments")
    return _refused(request, None, page_context(request, release, comment=form))


@require_POST
@capability("approve_release")
def review(request: HttpRequest, pk: int) -> HttpResponse:
    incident = get_object_or_404(Incident.objects.select_related("release"), pk=pk)
    form = ReviewForm(request.POST, user=request.user, auto_id=f"incident_{incident.pk}_%s")
    problem: GalleyError | None = None
    if form.is_valid():
        try:
            given = form.signed
            review_incident(incident=incident, actor=user_of(request), words=given.pop("reason"), **given)
        except (InvalidInput, TooManyTries) as error:
            form.add_refusal(error)
            problem = error
        else:
            messages.success(request, f"Incident {pk} is reviewed.")
            return redirect(f"{reverse('release', args=[incident.release_id])}#main")
    release = release_for_page(incident.release_id)
    return _refused(request, problem, page_context(request, release, review=(incident.pk, form)))


@require_POST
@capability("submit_release")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    release = get_object_or_404(Release, pk=pk)
    withdraw_release(release=release, actor=request.user, reason=request.POST.get("reason", ""))
    messages.success(request, f"Release {pk} is withdrawn.")
    return redirect("release", pk)
