"""Webhooks: which programs are told of what, every delivery with its attempts, and what can be done about one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.foundation.errors import InvalidInput
from models_app.models import WebhookDelivery, WebhookEndpoint
from models_app.texts.normalise import row_number
from models_app.web.pages import capability, user_of
from models_app.web.people import recently_signed_in
from models_app.webhooks import deliveries, endpoints
from models_app.webhooks.catalogue import CATALOGUE
from models_app.webhooks.job import send_soon
from models_app.webhooks.targets import LONGEST

PER_PAGE = 50


class WebhookForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Such as the program that is told.")
    url = forms.CharField(
        max_length=LONGEST,
        label="Address",
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="With https://. Where it is not public, GALLEY_WEBHOOK_HOSTS has to name it.",
    )
    events = forms.MultipleChoiceField(
        label="Events",
        choices=[(told.name, told.name) for told in CATALOGUE],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"}),
        help_text="What each tells stands in docs/webhooks.md.",
    )

    def take_over(self, error: InvalidInput) -> None:
        for name, message in error.fields.items():
            self.add_error(name, message)


def _listed() -> QuerySet[WebhookEndpoint]:
    of_this = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"))
    waiting = of_this.filter(state=WebhookDelivery.State.WAITING).order_by().values("endpoint")
    last = of_this.exclude(state=WebhookDelivery.State.WAITING).order_by("-pk")
    return WebhookEndpoint.objects.annotate(
        waiting=Coalesce(
            Subquery(waiting.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0
        ),
        last_state=Subquery(last.values("state")[:1]),
        last_at=Subquery(last.values("ended_at")[:1]),
    )


def _list(request: HttpRequest, form: WebhookForm, status: int = 200, **values: Any) -> HttpResponse:
    context = {"form": form, "endpoints": list(_listed()[:500]), **values}
    return render(request, "models_app/webhooks/index.html", context, status=status)


@require_safe
@capability("manage_webhooks")
def webhooks(request: HttpRequest) -> HttpResponse:
    return _list(request, WebhookForm())


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("manage_webhooks")
@recently_signed_in
def new(request: HttpRequest) -> HttpResponse:
    """After making one, its page with the secret, this once."""
    if request.method != "POST":
        return redirect("webhooks")
    form = WebhookForm(request.POST)
    if form.is_valid():
        try:
            endpoint, secret = endpoints.create_endpoint(**form.cleaned_data, actor=user_of(request))
        except InvalidInput as error:
            form.take_over(error)
        else:
            return _one(request, endpoint, status=201, secret=secret)
    return _list(request, form, status=422)


# ---------------------------------------------------------------- one


def _one(
    request: HttpRequest,
    endpoint: WebhookEndpoint,
    form: WebhookForm | None = None,
    status: int = 200,
    **values: Any,
) -> HttpResponse:
    state, before = request.GET.get("state", ""), row_number(request.GET.get("before", ""))
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-pk")
    if state in WebhookDelivery.State.values:
        rows = rows.filter(state=state)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.select_related("asked_by").prefetch_related("tries")[: PER_PAGE + 1])
    shown = found[:PER_PAGE]
    context = {
        "endpoint": endpoint,
        "form": form or WebhookForm(vars(endpoint)),
        "deliveries": shown,
        "older": shown[-1].pk if len(found) > PER_PAGE else None,
        "beyond": before is not None,
        "given_up": 0 if endpoint.disabled_at else deliveries.given_up(endpoint).count(),
        "state": state,
        "states": WebhookDelivery.State.values,
        "key_is_known": endpoints.key_is_known(endpoint),
        "paused": endpoint.paused_until is not None and endpoint.paused_until > timezone.now(),
        **values,
    }
    return render(request, "models_app/webhooks/webhook.html", context, status=status)


def _find(pk: int) -> WebhookEndpoint:
    return get_object_or_404(WebhookEndpoint.objects.select_related("made_by"), pk=pk)


@require_safe
@capability("manage_webhooks")
def webhook(request: HttpRequest, pk: int) -> HttpResponse:
    return _one(request, _find(pk))


@require_POST
@capability("manage_webhooks")
@recently_signed_in
def change(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint, form = _find(pk), WebhookForm(request.POST)
    if form.is_valid():
        try:
            endpoints.change_endpoint(endpoint=endpoint, **form.cleaned_data, actor=user_of(request))
        except InvalidInput as error:
            form.take_over(error)
        else:
            messages.success(request, "Saved.")
            return redirect("webhook", pk)
    return _one(request, endpoint, form=form, status=422)


@never_cache
@require_POST
@capability("manage_webhooks")
@recently_signed_in
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint, secret = endpoints.rotate_secret(endpoint=_find(pk), actor=user_of(request))
    return _one(request, endpoint, status=201, secret=secret)


@require_POST
@capability("manage_webhooks")
def test(request: HttpRequest, pk: int) -> HttpResponse:
    deliveries.send_test(endpoint=_find(pk), actor=user_of(request))
    send_soon()
    messages.success(request, "A test is on its way; its outcome shows below.")
    return redirect("webhook", pk)


@require_POST
@capability("manage_webhooks")
def replay(request: HttpRequest, pk: int, delivery: int) -> HttpResponse:
    row = get_object_or_404(WebhookDelivery.objects.select_related("endpoint"), pk=delivery, endpoint=pk)
    deliveries.replay(delivery=row, actor=user_of(request))
    send_soon()
    messages.success(request, f"Delivery {row.pk} is sent once more.")
    return redirect("webhook", pk)


@require_POST
@capability("manage_webhooks")
def replay_given_up(request: HttpRequest, pk: int) -> HttpResponse:
    sent, left = deliveries.replay_given_up(endpoint=_find(pk), actor=user_of(request))
    send_soon()
    more = f" {left:,} more are left: press again." if left else ""
    messages.success(request, f"{sent:,} deliver{'y is' if sent == 1 else 'ies are'} sent once more.{more}")
    return redirect("webhook", pk)


@require_POST
@capability("manage_webhooks")
def disable(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = endpoints.disable_endpoint(
        endpoint=_find(pk), actor=user_of(request), reason=request.POST.get("reason", "")
    )
    messages.success(request, f"The webhook “{endpoint.name}” is told of nothing more.")
    return redirect("webhook", pk)


@require_POST
@capability("manage_webhooks")
@recently_signed_in
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = endpoints.enable_endpoint(endpoint=_find(pk), actor=user_of(request))
    messages.success(request, f"The webhook “{endpoint.name}” is told of what happens from now on.")
    return redirect("webhook", pk)


urlpatterns = [
    path("", webhooks, name="webhooks"),
    path("new/", new, name="webhook_new"),
    path("<int:pk>/", webhook, name="webhook"),
    path("<int:pk>/change/", change, name="webhook_change"),
    path("<int:pk>/secret/", rotate, name="webhook_rotate"),
    path("<int:pk>/test/", test, name="webhook_test"),
    path("<int:pk>/deliveries/replay/", replay_given_up, name="webhook_replay_given_up"),
    path("<int:pk>/disable/", disable, name="webhook_disable"),
    path("<int:pk>/enable/", enable, name="webhook_enable"),
    path("<int:pk>/deliveries/<int:delivery>/replay/", replay, name="webhook_replay"),
]
