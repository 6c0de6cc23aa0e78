"""People: accounts, their roles, and what an administrator does for somebody who cannot get in or has left.

People who act here have shown their password or code within the last quarter of an hour.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import ROLES, allowed
from models_app.models import AuditEvent, PasswordLink
from models_app.models.access import CAPABILITIES
from models_app.people import accounts, factors, links, sessions
from models_app.web.pages import View, capability, page_or_fragment, paginate, user_of
from models_app.web.trail import tell

PER_PAGE = 50
EVENTS = 20
# What each role is for, in words; what it may do exactly is in the table of the foundation.
MEANINGS = {
    "reviewer": "reads and corrects summaries",
    "ml engineer": "data, training, evaluation, submits releases",
    "approver": "approves or rejects releases",
    "policy editor": "edits the policy that releases are judged by, and does not approve what it then judges",
    "operator": "deploys, rolls back, watches",
    "administrator": "may do everything, and makes accounts",
}
STATES = (("", "everybody"), ("active", "active"), ("deactivated", "deactivated"))


class RolesForm(forms.Form):
    roles = forms.MultipleChoiceField(
        required=False,
        label="Roles",
        choices=[(role, f"{role}: {MEANINGS[role]}") for role in ROLES],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"}),
    )


class PersonForm(RolesForm):
    name = forms.CharField(
        max_length=150, help_text="To sign in with, and in the audit trail; it stays.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )  # fmt: skip
    field_order = ("name", "roles")


class FilterForm(forms.Form):
    q = forms.CharField(
        required=False, max_length=150, label="Name", widget=forms.TextInput(attrs={"type": "search"})
    )
    role = forms.ChoiceField(required=False, choices=[("", "any"), *((role, role) for role in ROLES)])
    state = forms.ChoiceField(required=False, choices=STATES)

    def rows(self) -> QuerySet[User]:
        rows = accounts.people()
        if not self.is_valid():
            return rows.none()
        values = self.cleaned_data
        if values["q"]:
            rows = rows.filter(username__icontains=values["q"])
        if values["role"]:
            rows = rows.filter(pk__in=User.objects.filter(groups__name=values["role"]).values("pk"))
        if values["state"]:
            rows = rows.filter(is_active=values["state"] == "active")
        return rows


def _listed(rows: QuerySet[User]) -> QuerySet[User]:
    factor = Authenticator.objects.filter(user=OuterRef("pk"))
    return (
        rows.annotate(has_second_factor=Exists(factor)).prefetch_related("groups").order_by("username", "pk")
    )


def _people(
    request: HttpRequest, form: PersonForm, status: int = 200, made: tuple[PasswordLink, str] | None = None
) -> HttpResponse:
    """After making an account with its link, this once."""
    filters = FilterForm(request.GET)
    context = {
        "form": form,
        "filters": filters,
        "filtered": any(request.GET.get(name) for name in FilterForm.base_fields),
        "page": paginate(request, _listed(filters.rows()), PER_PAGE),
        **_shown_link(request, made),
    }
    return page_or_fragment(
        request, "models_app/people/index.html", "models_app/people/_list.html", context, status=status
    )


def _shown_link(request: HttpRequest, made: tuple[PasswordLink, str] | None) -> dict[str, Any]:
    if made is None:
        return {}
    link, secret = made
    address = request.build_absolute_uri(reverse("password_link_opened", args=[secret]))
    return {"link": link, "link_address": address}


def recently_signed_in(view: View) -> View:
    """Asks for the password or a code once more, unless this person signed in with it, or gave it again, within the
    last quarter of an hour."""
    guarded: View = reauthentication_required(view)

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return (view if _signed_in_just_now(request) else guarded)(request, *args, **kwargs)

    return asked


def _signed_in_just_now(request: HttpRequest) -> bool:
    """allauth counts only what was asked for again, and would ask who signed in a minute ago."""
    records = get_authentication_records(request, user_of(request))
    latest = max((record.get("at") or 0 for record in records), default=0)
    return bool(time.time() - latest < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


@require_safe
@capability("manage_people")
def people(request: HttpRequest) -> HttpResponse:
    return _people(request, PersonForm())


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("manage_people")
@recently_signed_in
def invite(request: HttpRequest) -> HttpResponse:
    form = PersonForm(request.POST or None)
    if request.method != "POST":
        return redirect("people")
    if form.is_valid():
        try:
            made = links.invite(**form.cleaned_data, actor=user_of(request))
        except InvalidInput as error:
            for name, message in error.fields.items():
                form.add_error(name, message)
        else:
            return _people(request, PersonForm(), status=201, made=made)
    return _people(request, form, status=422)


# ---------------------------------------------------------------- one person


def _person(
    request: HttpRequest,
    person: User,
    form: RolesForm | None = None,
    status: int = 200,
    made: tuple[PasswordLink, str] | None = None,
) -> HttpResponse:
    roles = accounts.roles_of(person)
    events = AuditEvent.objects.filter(subject=f"user:{person.pk}").order_by("-id")[:EVENTS]
    context = {
        "person": person,
        "roles": roles,
        "may": [words for code, words in CAPABILITIES.items() if allowed(person, code)],
        "form": form or RolesForm({"roles": roles}),
        "has_second_factor": Authenticator.objects.filter(user=person).exists(),
        "sessions": sessions.signed_in(person),
        "waiting_link": PasswordLink.objects.filter(
            user=person, used_at=None, voided_at=None, expires_at__gt=timezone.now()
        ).first(),
        "oneself": person.pk == request.user.pk,
        "told": tell(events) if allowed(user_of(request), "view_audit") else [],
        **_shown_link(request, made),
    }
    return render(request, "models_app/people/person.html", context, status=status)


def _find(pk: int) -> User:
    return get_object_or_404(accounts.people(), pk=pk)


@require_safe
@capability("manage_people")
def person(request: HttpRequest, pk: int) -> HttpResponse:
    return _person(request, _find(pk))


@require_POST
@capability("manage_people")
@recently_signed_in
def roles(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find(pk)
    form = RolesForm(request.POST)
    if not form.is_valid():
        return _person(request, found, form=form, status=422)
    accounts.change_roles(person=found, roles=form.cleaned_data["roles"], actor=user_of(request))
    messages.success(request, f"The roles of {found.get_username()} are changed.")
    return redirect("person", pk)


@never_cache
@require_POST
@capability("manage_people")
@recently_signed_in
def password_link(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find(pk)
    made = links.make_password_link(person=found, actor=user_of(request))
    return _person(request, _find(pk), status=201, made=made)


@require_POST
@capability("manage_people")
@recently_signed_in
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    found = accounts.deactivate(
        person=_find(pk), actor=user_of(request), reason=request.POST.get("reason", "")
    )
    messages.success(
        request, f"{found.get_username()} is deactivated: signed out, and refused from now on, tokens too."
    )
    return redirect("person", pk)


@require_POST
@capability("manage_people")
@recently_signed_in
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    found = accounts.activate(person=_find(pk), actor=user_of(request), reason=request.POST.get("reason", ""))
    messages.success(request, f"{found.get_username()} may sign in again.")
    return redirect("person", pk)


@require_POST
@capability("manage_people")
@recently_signed_in
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find(pk)
    ended = sessions.end_sessions(person=found, actor=user_of(request))
    if found == request.user:
        return redirect("account_login")
    messages.success(request, f"{found.get_username()} is signed out ({ended} ended).")
    return redirect("person", pk)


@require_POST
@capability("manage_people")
@recently_signed_in
def remove_second_factor(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find(pk)
    factors.remove_second_factor(person=found, actor=user_of(request))
    messages.success(
        request, f"{found.get_username()} signs in with the password alone until they set up a new one."
    )
    return redirect("person", pk)


urlpatterns = [
    path("", people, name="people"),
    path("new/", invite, name="person_new"),
    path("<int:pk>/", person, name="person"),
    path("<int:pk>/roles/", roles, name="person_roles"),
    path("<int:pk>/password-link/", password_link, name="person_password_link"),
    path("<int:pk>/deactivate/", deactivate, name="person_deactivate"),
    path("<int:pk>/activate/", activate, name="person_activate"),
    path("<int:pk>/end-sessions/", end_sessions, name="person_end_sessions"),
    path("<int:pk>/second-factor/remove/", remove_second_factor, name="person_second_factor_remove"),
]
