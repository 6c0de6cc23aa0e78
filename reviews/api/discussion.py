"""Conversations by program: on an item or a prompt version, to read and to write.

Who sees which of them, and under which names, is decided in `reviews.discussion.visibility`, as for the page. Reading
by program marks no notification as read: nobody has seen it yet.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.api.authentication import token_of
from models_app.api.fields import Text
from models_app.api.idempotency import PARAMETER, idempotent
from models_app.api.pagination import PARAMETERS, Pages, page_of
from models_app.foundation.errors import NotFound
from models_app.models import PromptVersion
from reviews.api.texts import Offset
from reviews.discussion import comments as talking
from reviews.discussion import panel, visibility
from reviews.discussion.panel import CommentShown
from reviews.models import QueueItem, Thread

# ---------------------------------------------------------------- what goes in and comes out


class NewCommentSerializer(serializers.Serializer):
    text = Text(help_text=f"at most {talking.LONGEST_CHARACTERS:,} characters; `@name` mentions somebody")


class NewThreadSerializer(NewCommentSerializer):
    side = serializers.ChoiceField(
        choices=Thread.Side.values, required=False, help_text="of an item: which text is quoted"
    )
    quote = Text(required=False, help_text="of an item: the words that it is about")
    start = Offset(
        required=False,
        help_text="the quote's first code point; without it, or where it is wrong, the quote is looked for",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        given = {name for name in ("side", "quote", "start") if name in values}
        missing = {"side", "quote"} - given if given else set()
        if missing:
            raise serializers.ValidationError(dict.fromkeys(missing, "A stretch has a side and a quote."))
        return values

    def span(self) -> talking.Span | None:
        values = self.validated_data
        if "quote" not in values:
            return None
        return talking.Span(values["side"], values["quote"], values.get("start"))


class CommentSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    who = serializers.CharField(
        help_text="a name, `you`, or `a reviewer` where the queue keeps reviewers' names from you"
    )
    text = serializers.SerializerMethodField(help_text="names that are kept from you are `@somebody`")
    at = serializers.DateTimeField()
    edited = serializers.BooleanField()
    editable = serializers.BooleanField(help_text="yours, and written within the last 15 minutes")

    def get_text(self, comment: CommentShown) -> str:
        return "".join(piece.text for piece in comment.pieces)


class ThreadSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    side = serializers.ChoiceField(choices=["", *Thread.Side.values], help_text="empty: on the whole of it")
    quote = serializers.CharField(allow_blank=True)
    start = serializers.IntegerField(allow_null=True, help_text="of the quote, in code points, end exclusive")
    end = serializers.IntegerField(allow_null=True)
    resolved = serializers.BooleanField()
    resolved_by = serializers.CharField(
        allow_blank=True, help_text="as `who` of a comment; empty while it is open"
    )
    resolved_at = serializers.DateTimeField(allow_null=True)
    may_resolve = serializers.BooleanField(help_text="and reopen")
    may_reply = serializers.BooleanField()
    comments = CommentSerializer(many=True)


_COMMENT = {
    "id": 31,
    "who": "you",
    "text": "Is 410 right? The source says 140.",
    "at": "2026-11-24T09:30:00Z",
    "edited": False,
    "editable": True,
}
_THREAD = {
    "id": 12,
    "side": "summary",
    "quote": "410",
    "start": 41,
    "end": 44,
    "resolved": False,
    "resolved_by": "",
    "resolved_at": None,
    "may_resolve": True,
    "may_reply": True,
    "comments": [_COMMENT],
}
_RESOLVED = {**_THREAD, "resolved": True, "resolved_by": "mila", "resolved_at": "2026-11-24T10:00:00Z"}

# ---------------------------------------------------------------- the views

_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 404: views.NOT_FOUND, 429: views.THROTTLED}
_WRONG = views.failure(
    "Nothing is written, it is too long, or the quote does not stand there.",
    "invalid",
    "These words do not stand in the summary.",
    {"quote": "These words do not stand in the summary."},
)
_LIST = extend_schema(
    description="Those that you may see, the open ones first, as they were begun.",
    tags=["comments"],
    parameters=PARAMETERS,
    responses={
        200: page_of("Threads", ThreadSerializer, _THREAD),
        **_ERRORS,
    },
)
_OPEN = extend_schema(
    tags=["comments"],
    parameters=[PARAMETER],
    request=NewThreadSerializer,
    responses={
        201: OpenApiResponse(ThreadSerializer, "It is begun.", [OpenApiExample("thread", value=_THREAD)]),
        409: views.failure(
            "You have too many open ones here, or the first request with this Idempotency-Key still runs.",
            "refused",
            f"You have {talking.MOST_OPEN_THREADS} open conversations here. Resolve some of them first.",
        ),
        422: _WRONG,
        **_ERRORS,
    },
    examples=[
        OpenApiExample("whole", request_only=True, value={"text": "What does the rubric say of rumours?"}),
        OpenApiExample(
            "stretch",
            request_only=True,
            value={"text": _COMMENT["text"], "side": "summary", "quote": "410", "start": 41},
        ),
    ],
)


def _item(pk: int) -> QueueItem:
    found = QueueItem.objects.select_related("queue", "summary__document").filter(pk=pk).first()
    if found is None:
        raise NotFound("There is nothing here.")
    return found


def _version(pk: int) -> PromptVersion:
    found = PromptVersion.objects.select_related("prompt").filter(pk=pk).first()
    if found is None:
        raise NotFound("There is nothing here.")
    return found


def _listed(view: views.ApiView, request: Request, about: QueueItem | PromptVersion) -> Response:
    user = token_of(request).user
    standing, rows = visibility.read(user=user, about=about)
    pages = Pages()
    page: Any = pages.paginate_queryset(rows, request, view=view)
    shown = panel.shown_threads(threads=page, user=user, standing=standing)
    return pages.get_paginated_response(ThreadSerializer(shown, many=True).data)


def _opened(request: Request, about: QueueItem | PromptVersion) -> Response:
    asked = NewThreadSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    user = token_of(request).user
    made = talking.open_thread(about=about, text=asked.validated_data["text"], span=asked.span(), actor=user)
    return Response(ThreadSerializer(panel.read_thread(pk=made.pk, user=user)).data, status=201)


class ItemThreadsView(views.ApiView):
    scope = "comments:write"

    @extend_schema(operation_id="items_threads_list", summary="Conversations on an item")
    @_LIST
    def get(self, request: Request, pk: int) -> Response:
        return _listed(self, request, _item(pk))

    @extend_schema(operation_id="items_threads_create", summary="Begin a conversation on an item")
    @_OPEN
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        return _opened(request, _item(pk))


class PromptThreadsView(views.ApiView):
    scope = "comments:write"

    @extend_schema(operation_id="prompt_versions_threads_list", summary="Conversations on a prompt version")
    @_LIST
    def get(self, request: Request, pk: int) -> Response:
        return _listed(self, request, _version(pk))

    @extend_schema(
        operation_id="prompt_versions_threads_create", summary="Begin a conversation on a prompt version"
    )
    @_OPEN
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        return _opened(request, _version(pk))


class CommentsView(views.ApiView):
    scope = "comments:write"

    @extend_schema(
        operation_id="threads_comments_create",
        summary="Answer in a conversation",
        tags=["comments"],
        parameters=[PARAMETER],
        request=NewCommentSerializer,
        examples=[OpenApiExample("comment", request_only=True, value={"text": "140. @mila agrees."})],
        responses={
            201: OpenApiResponse(
                CommentSerializer, "It is written.", [OpenApiExample("comment", value=_COMMENT)]
            ),
            409: views.failure(
                "It was resolved meanwhile, or the first request with this Idempotency-Key still runs.",
                "stale",
                "This conversation was resolved meanwhile. Reopen it to write more.",
            ),
            422: _WRONG,
            **_ERRORS,
        },
    )
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        asked = NewCommentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = token_of(request).user
        comment = talking.reply(thread=pk, text=asked.validated_data["text"], actor=user)
        return Response(CommentSerializer(panel.shown_comment(comment=comment, user=user)).data, status=201)


class CommentView(views.ApiView):
    scope = "comments:write"

    @extend_schema(
        operation_id="comments_update",
        summary="Change a comment of yours within 15 minutes",
        description=f"Within {visibility.EDITABLE.seconds // 60} minutes, as on the page. Those who are newly named "
        "are told. A comment cannot be taken away: others may have read it.",
        tags=["comments"],
        request=NewCommentSerializer,
        examples=[OpenApiExample("comment", request_only=True, value={"text": _COMMENT["text"]})],
        responses={
            200: OpenApiResponse(
                CommentSerializer,
                "It is changed.",
                [OpenApiExample("comment", value={**_COMMENT, "edited": True})],
            ),
            409: views.failure(
                "It is too old to be changed.",
                "refused",
                "A comment can be changed for 15 minutes. Write another one.",
            ),
            422: _WRONG,
            **_ERRORS,
        },
    )
    def put(self, request: Request, pk: int) -> Response:
        asked = NewCommentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = token_of(request).user
        comment = talking.edit_comment(comment=pk, text=asked.validated_data["text"], actor=user)
        return Response(CommentSerializer(panel.shown_comment(comment=comment, user=user)).data)


def _resolving(operation: str, summary: str, thread: Any, stale: str) -> Any:
    return extend_schema(
        operation_id=f"threads_{operation}",
        summary=summary,
        description="For the person who began it, and for managers: `may_resolve`.",
        tags=["comments"],
        parameters=[PARAMETER],
        request=None,
        responses={
            200: OpenApiResponse(ThreadSerializer, "As it is now.", [OpenApiExample("thread", value=thread)]),
            409: views.failure(
                "It is so already, or the first request with this Idempotency-Key still runs.", "stale", stale
            ),
            **_ERRORS,
        },
    )


class ResolveView(views.ApiView):
    scope = "comments:write"

    @_resolving("resolve", "Resolve a conversation", _RESOLVED, "This conversation was resolved meanwhile.")
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        user = token_of(request).user
        talking.resolve(thread=pk, actor=user)
        return Response(ThreadSerializer(panel.read_thread(pk=pk, user=user)).data)


class ReopenView(views.ApiView):
    scope = "comments:write"

    @_resolving("reopen", "Reopen a conversation", _THREAD, "This conversation was reopened meanwhile.")
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        user = token_of(request).user
        talking.reopen(thread=pk, actor=user)
        return Response(ThreadSerializer(panel.read_thread(pk=pk, user=user)).data)
