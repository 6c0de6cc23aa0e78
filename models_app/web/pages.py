"""What the pages of both apps share: rights, page numbers, one view for page and fragment."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.core.paginator import EmptyPage, Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import require

View = Callable[..., HttpResponse]


def capability(name: str) -> Callable[[View], View]:
    """The view is for users with this capability; others get the 'not allowed' page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            require(request.user, name)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def user_of(request: HttpRequest) -> User:
    """Who is signed in; the middleware lets nobody else in."""
    assert isinstance(request.user, User)  # nosec B101 (for the types)
    return request.user


def is_fragment(request: HttpRequest) -> bool:
    """True where htmx asks for a part of the page (not for a whole one by hx-boost or history)."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    return render(request, fragment if is_fragment(request) else page, context, status=status)


def paginate(request: HttpRequest, rows: Any, per_page: int = 50) -> Page[Any]:
    """The page named by `?page=`; the last one where the number is beyond it. Raises InvalidInput for nonsense."""
    raw = request.GET.get("page", "1")
    if not raw.isdecimal() or len(raw) > 18 or int(raw) < 1:
        raise InvalidInput(f"There is no page {raw[:20]!r}.")
    paginator = Paginator(rows, per_page)
    try:
        return paginator.page(int(raw))
    except EmptyPage:
        return paginator.page(paginator.num_pages)
