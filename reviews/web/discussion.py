"""Conversations on an item or a prompt version: one panel, on its own page or inside another."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from models_app.foundation.errors import InvalidInput
from models_app.models import PromptVersion
from models_app.web.pages import is_fragment, user_of
from reviews.discussion import comments, panel, visibility
from reviews.discussion.visibility import Standing, about_of, visible_thread
from reviews.models import Comment, QueueItem, Thread
from reviews.notifications.notices import mark_read_about

MOST_PEOPLE = 8


def _item(pk: int) -> QueueItem:
    return get_object_or_404(QueueItem.objects.select_related("queue", "summary__document"), pk=pk)


def _version(pk: int) -> PromptVersion:
    return get_object_or_404(PromptVersion.objects.select_related("prompt"), pk=pk)


# ---------------------------------------------------------------- the panel


def _panel(
    request: HttpRequest, about: QueueItem | PromptVersion, status: int = 200, **more: Any
) -> HttpResponse:
    """`more`: the text that was refused and why, at which form (`at`: new, or a thread's or comment's id)."""
    user = user_of(request)
    shown = panel.panel(about=about, user=user)
    if shown.threads:
        mark_read_about(user=user, subjects=[f"thread:{thread.pk}" for thread in shown.threads])
    context = {"panel": shown, "longest": comments.LONGEST_CHARACTERS, **more}
    page = "reviews/discussion/_talk_panel.html" if is_fragment(request) else "reviews/discussion/talk.html"
    return render(request, page, context, status=status)


def _answer(
    request: HttpRequest, about: QueueItem | PromptVersion, thread: int | None = None
) -> HttpResponse:
    """The panel as it is now; without script, its page."""
    if is_fragment(request):
        return _panel(request, about)
    place = "talk_prompt" if isinstance(about, PromptVersion) else "talk_item"
    mark = f"#thread-{thread}" if thread else ""
    return redirect(reverse(place, args=[about.pk]) + mark)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def item_talk(request: HttpRequest, pk: int) -> HttpResponse:
    return _talk(request, _item(pk))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def prompt_talk(request: HttpRequest, pk: int) -> HttpResponse:
    return _talk(request, _version(pk))


def _talk(request: HttpRequest, about: QueueItem | PromptVersion) -> HttpResponse:
    if request.method != "POST":
        return _panel(request, about)
    text, side, quote = (request.POST.get(name, "") for name in ("text", "side", "quote"))
    span = comments.Span(side, quote) if quote.strip() else None
    try:
        thread = comments.open_thread(about=about, text=text, span=span, actor=user_of(request))
    except InvalidInput as error:
        typed = {"typed": text, "quote": quote, "side": side}
        return _panel(request, about, 422, at="new", errors=error.fields, **typed)
    return _answer(request, about, thread.pk)


@require_GET
def thread(request: HttpRequest, pk: int) -> HttpResponse:
    """To where the conversation is shown."""
    row, _ = visible_thread(pk=pk, user=user_of(request))
    return _to(row)


def _to(row: Thread) -> HttpResponse:
    place, key = (
        ("talk_prompt", row.prompt_version_id) if row.prompt_version_id else ("talk_item", row.item_id)
    )
    return redirect(f"{reverse(place, args=[key])}#thread-{row.pk}")


# ---------------------------------------------------------------- what is written


@require_POST
def reply(request: HttpRequest, pk: int) -> HttpResponse:
    row, _ = visible_thread(pk=pk, user=user_of(request))
    try:
        comments.reply(thread=pk, text=request.POST.get("text", ""), actor=user_of(request))
    except InvalidInput as error:
        typed = request.POST.get("text", "")
        return _panel(request, about_of(row), 422, at=f"reply-{pk}-text", errors=error.fields, typed=typed)
    return _answer(request, about_of(row), pk)


@require_POST
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    comment = get_object_or_404(Comment, pk=pk, author=user_of(request))
    row, _ = visible_thread(pk=comment.thread_id, user=user_of(request))
    try:
        comments.edit_comment(comment=pk, text=request.POST.get("text", ""), actor=user_of(request))
    except InvalidInput as error:
        typed = request.POST.get("text", "")
        return _panel(request, about_of(row), 422, at=f"comment-{pk}-text", errors=error.fields, typed=typed)
    return _answer(request, about_of(row), row.pk)


@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    row = comments.resolve(thread=pk, actor=user_of(request))
    return _changed(request, row, "Resolved.")


@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    row = comments.reopen(thread=pk, actor=user_of(request))
    return _changed(request, row, "Open again.")


def _changed(request: HttpRequest, row: Thread, said: str) -> HttpResponse:
    if not is_fragment(request):
        messages.success(request, said)
    return _answer(request, about_of(row), row.pk)


# ---------------------------------------------------------------- whom one may name


@never_cache
@require_GET
def item_people(request: HttpRequest, pk: int) -> JsonResponse:
    return _people(request, _item(pk))


@never_cache
@require_GET
def prompt_people(request: HttpRequest, pk: int) -> JsonResponse:
    return _people(request, _version(pk))


def _people(request: HttpRequest, about: QueueItem | PromptVersion) -> JsonResponse:
    user = user_of(request)
    place = visibility.standing(user=user, about=about)
    if place in (Standing.NONE, Standing.READING):
        return JsonResponse({"people": []})
    people = visibility.mentionable(user=user, about=about, standing=place).exclude(pk=user.pk)
    begins = request.GET.get("q", "")[:150]
    names = (
        people.filter(username__istartswith=begins).order_by("username").values_list("username", flat=True)
    )
    return JsonResponse({"people": list(names[:MOST_PEOPLE])})


urlpatterns = [
    path("item/<int:pk>/", item_talk, name="talk_item"),
    path("item/<int:pk>/people/", item_people, name="talk_item_people"),
    path("prompt/<int:pk>/", prompt_talk, name="talk_prompt"),
    path("prompt/<int:pk>/people/", prompt_people, name="talk_prompt_people"),
    path("<int:pk>/", thread, name="talk_thread"),
    path("<int:pk>/reply/", reply, name="talk_reply"),
    path("<int:pk>/resolve/", resolve, name="talk_resolve"),
    path("<int:pk>/reopen/", reopen, name="talk_reopen"),
    path("comment/<int:pk>/", edit, name="talk_edit"),
]
