"""API tokens: one's own, and everybody's for those who manage them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.roles import allowed
from models_app.foundation.tokens import create_token, grantable_scopes, revoke_token
from models_app.models import ApiToken
from models_app.web.pages import paginate

DAYS = [(30, "30 days"), (90, "90 days"), (180, "180 days"), (365, "a year")]


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=100, label="What it is for", help_text="Such as the program that uses it."
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do", widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"})
    )
    days = forms.TypedChoiceField(label="How long it lasts", choices=DAYS, coerce=int, initial=90)

    def __init__(self, *args: Any, actor: User, manages: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        granted = ApiToken.SCOPES if manages else grantable_scopes(actor)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # nosec B101
        scopes.choices = [(scope, f"{meaning} ({scope})") for scope, meaning in granted.items()]
        if manages:
            users = User.objects.filter(is_active=True).order_by("username")
            self.fields["user"] = forms.ModelChoiceField(
                users, label="Whose it is", initial=actor, empty_label=None,
                help_text="The token can do no more than this user's role allows.",
            )  # fmt: skip
            self.order_fields(["user", "name", "scopes", "days"])

    def create(self) -> tuple[ApiToken, str]:
        """Raises InvalidInput."""
        values = self.cleaned_data
        return create_token(
            user=values.get("user") or self.actor,
            name=values["name"],
            scopes=values["scopes"],
            days=values["days"],
            actor=self.actor,
        )


def _visible(user: User) -> QuerySet[ApiToken]:
    rows = ApiToken.objects.select_related("user", "created_by").order_by("-created")
    return rows if allowed(user, "manage_tokens") else rows.filter(user=user)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The list and the form; after POST with the new token, this once."""
    user = request.user
    assert isinstance(user, User)  # held by the sign-in middleware  # nosec B101
    manages = allowed(user, "manage_tokens")
    if not manages and not allowed(user, "own_tokens"):
        raise NotAllowed("Your role does not allow this: make API tokens. Ask an administrator.")
    form = TokenForm(request.POST or None, actor=user, manages=manages)
    made, token, status = None, "", 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made, token = form.create()
            except InvalidInput as error:
                for name, message in error.fields.items():
                    form.add_error(name, message)
            else:
                form, status = TokenForm(actor=user, manages=manages), 201
    context = {
        "form": form,
        "made": made,
        "token": token,
        "page": paginate(request, _visible(user), 50),
        "manages": manages,
        "now": timezone.now(),
    }
    return render(request, "models_app/tokens.html", context, status=status)


@require_POST
def revoke(request: HttpRequest, token_key: str) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # nosec B101
    token = get_object_or_404(_visible(user), token_key=token_key)
    revoke_token(token=token, actor=user)
    messages.success(
        request, f"The token “{token.name}” is revoked; programs that use it are refused from now on."
    )
    return redirect("tokens")


urlpatterns = [
    path("", tokens, name="tokens"),
    path("<slug:token_key>/revoke/", revoke, name="token_revoke"),
]
