"""The page behind a link that sets a password. It is for nobody in particular: it asks for the link alone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.password_validation import password_validators_help_text_html
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from models_app.foundation.errors import InvalidInput
from models_app.people.links import open_link, set_password_by_link

KEPT_AS = "password_link"


class PasswordForm(forms.Form):
    password = forms.CharField(
        label="New password",
        strip=False,
        help_text=password_validators_help_text_html,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label="The same again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "password" in values and "again" in values and values["password"] != values["again"]:
            self.add_error("again", "This is not the same.")
        return values


@login_not_required
@never_cache
def opened(request: HttpRequest, secret: str) -> HttpResponse:
    """Out of the address at once: addresses end in logs and in the browser's history."""
    open_link(secret)
    request.session[KEPT_AS] = secret
    return redirect("password_link")


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def set_password(request: HttpRequest) -> HttpResponse:
    secret = request.session.get(KEPT_AS, "")
    person = open_link(secret).user
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            set_password_by_link(secret=secret, password=form.cleaned_data["password"])
        except InvalidInput as error:
            form.add_error("password", error.fields["password"])
        else:
            request.session.flush()  # the person who is signed in here may be somebody else
            messages.success(request, f"The password of {person.get_username()} is set. Sign in with it.")
            return redirect("account_login")
    status = 422 if request.method == "POST" else 200
    return render(request, "account/password_link.html", {"form": form, "person": person}, status=status)


urlpatterns = [
    path("link/", set_password, name="password_link"),
    path("link/<str:secret>/", opened, name="password_link_opened"),
]
