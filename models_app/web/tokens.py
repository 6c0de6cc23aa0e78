"""API tokens and service accounts: one's own, and everybody's, to see and revoke, for those who manage them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import allowed, require
from models_app.foundation.tokens import (
    close_service_account,
    create_service_account,
    create_token,
    grantable_scopes,
    revoke_token,
)
from models_app.models import ApiToken, ServiceAccount
from models_app.web.pages import capability, paginate, user_of

DAYS = [(30, "30 days"), (90, "90 days"), (180, "180 days"), (365, "a year")]
MOST_ACCOUNTS = 200


class TokenForm(forms.Form):
    """For oneself and one's service accounts; there is no field for somebody else."""

    service_account = forms.ModelChoiceField(
        ServiceAccount.objects.none(),
        required=False,
        label="For",
        empty_label="myself",
        help_text="What a service account's programs do counts as done by you.",
    )
    name = forms.CharField(
        max_length=100, label="What it is for", help_text="Such as the program that uses it."
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"}),
        help_text="Never more than your roles allow at that moment.",
    )
    days = forms.TypedChoiceField(label="How long it lasts", choices=DAYS, coerce=int, initial=90)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        scopes, account = self.fields["scopes"], self.fields["service_account"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # nosec B101
        assert isinstance(account, forms.ModelChoiceField)  # nosec B101
        scopes.choices = [
            (scope, f"{meaning} ({scope})") for scope, meaning in grantable_scopes(actor).items()
        ]
        account.queryset = ServiceAccount.objects.filter(owner=actor, closed_at=None)

    def create(self) -> tuple[ApiToken, str]:
        """Raises InvalidInput."""
        values = self.cleaned_data
        return create_token(
            user=self.actor,
            name=values["name"],
            scopes=values["scopes"],
            days=values["days"],
            service_account=values["service_account"],
            actor=self.actor,
        )


def _visible(user: User) -> QuerySet[ApiToken]:
    rows = ApiToken.objects.select_related("user", "created_by", "service_account").order_by("-created")
    return rows if allowed(user, "manage_tokens") else rows.filter(user=user)


def _visible_accounts(user: User) -> QuerySet[ServiceAccount]:
    rows = (
        ServiceAccount.objects.select_related("owner")
        .annotate(working=Count("tokens", Q(tokens__revoked_at=None, tokens__expiry__gt=Now())))
        .order_by("closed_at", "name", "pk")
    )
    return rows if allowed(user, "manage_tokens") else rows.filter(owner=user)


def _page(request: HttpRequest, status: int = 200, **values: Any) -> HttpResponse:
    user = user_of(request)
    makes = allowed(user, "own_tokens")
    context = {
        "form": TokenForm(actor=user) if makes else None,
        "page": paginate(request, _visible(user), 50),
        "accounts": list(_visible_accounts(user)[:MOST_ACCOUNTS]),
        "manages": allowed(user, "manage_tokens"),
        "now": timezone.now(),
        **values,
    }
    return render(request, "models_app/people/tokens.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The list and the form; after POST with the new token, this once."""
    user = user_of(request)
    if request.method == "POST":
        require(user, "own_tokens")
        form = TokenForm(request.POST, actor=user)
        if form.is_valid():
            try:
                made, token = form.create()
            except InvalidInput as error:
                for name, message in error.fields.items():
                    form.add_error(name, message)
            else:
                return _page(request, 201, made=made, token=token)
        return _page(request, 422, form=form)
    if not allowed(user, "manage_tokens"):
        require(user, "own_tokens")
    return _page(request)


@never_cache
@require_POST
@capability("own_tokens")
def new_account(request: HttpRequest) -> HttpResponse:
    try:
        account = create_service_account(name=request.POST.get("account", ""), actor=user_of(request))
    except InvalidInput as error:
        return _page(
            request, 422, account_error=error.message, account_name=request.POST.get("account", "")[:200]
        )
    messages.success(request, f"The service account “{account.name}” is there. Make a token for it.")
    return redirect("tokens")


@require_POST
def close_account(request: HttpRequest, pk: int) -> HttpResponse:
    user = user_of(request)
    account = get_object_or_404(_visible_accounts(user), pk=pk)
    close_service_account(account=account, actor=user)
    messages.success(request, f"The service account “{account.name}” is closed and its tokens are revoked.")
    return redirect("tokens")


@require_POST
def revoke(request: HttpRequest, token_key: str) -> HttpResponse:
    user = user_of(request)
    token = get_object_or_404(_visible(user), token_key=token_key)
    revoke_token(token=token, actor=user)
    messages.success(
        request, f"The token “{token.name}” is revoked; programs that use it are refused from now on."
    )
    return redirect("tokens")


urlpatterns = [
    path("", tokens, name="tokens"),
    path("accounts/new/", new_account, name="service_account_new"),
    path("accounts/<int:pk>/close/", close_account, name="service_account_close"),
    path("<slug:token_key>/revoke/", revoke, name="token_revoke"),
]
