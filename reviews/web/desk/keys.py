"""The page where somebody chooses the keys of both desks, and the switch of their `?` sheet."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from models_app.foundation.errors import InvalidInput
from models_app.web.pages import user_of
from reviews.desk.key_preferences import choose_keys, keys_for, use_single_keys
from reviews.desk.keys import GROUPS, shown
from reviews.web.desk.requests import back_to, desk_view

ACTION = "key-"


@desk_view(require_http_methods(["GET", "POST"]))
def keys(request: HttpRequest) -> HttpResponse:
    reviewer = user_of(request)
    if request.method != "POST":
        own = keys_for(reviewer)
        return _page(request, own.by_action, own.single)
    chosen = {
        name.removeprefix(ACTION): request.POST.get(name, "")
        for name in request.POST
        if name.startswith(ACTION)
    }
    if "as_it_came" in request.POST:
        chosen = {}
    single = bool(request.POST.get("single_keys"))
    try:
        choose_keys(keys=chosen, single=single, user=reviewer)
    except InvalidInput as error:
        return _page(request, chosen, single, error)
    messages.success(request, "These are your keys now, on every computer.")
    back = back_to(request)
    return redirect("desk_item", pk=back) if back is not None else redirect("desk_keys")


def _page(
    request: HttpRequest, chosen: dict[str, str], single: bool, error: InvalidInput | None = None
) -> HttpResponse:
    errors = error.fields if error else {}
    groups = [
        (
            group,
            [
                {
                    "action": action,
                    "name": ACTION + action.name,
                    "value": chosen.get(action.name, action.key),
                    "own": shown(action.key),
                    "error": errors.get(action.name),
                }
                for action in group.actions
            ],
        )
        for group in GROUPS
    ]
    context = {
        "groups": groups,
        "single_keys": single,
        "error": error,
        "back": back_to(request),
        "unknown": [
            text
            for name, text in errors.items()
            if not any(name == a.name for g in GROUPS for a in g.actions)
        ],
    }
    return render(request, "reviews/desk/keys.html", context, status=error.status if error else 200)


@desk_view(require_POST)
def single(request: HttpRequest) -> HttpResponse:
    """On and off, from the desk's sheet."""
    wanted = bool(request.POST.get("single_keys"))
    use_single_keys(single=wanted, user=user_of(request))
    return JsonResponse({"single_keys": wanted})


urlpatterns = [
    path("", keys, name="desk_keys"),
    path("single/", single, name="desk_single_keys"),
]
