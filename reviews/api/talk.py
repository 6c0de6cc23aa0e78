"""Conversations by program: on an item or a prompt version, to read and to write.

Who sees which of them, and under which names, is decided in `reviews.conversations`, as for the page. Reading by
program marks no notification as read: nobody has seen it yet.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.api.authentication import token_of
from models_app.api.fields import Text
from models_app.api.idempotency import PARAMETER, idempotent
from models_app.foundation.errors import NotFound
from models_app.models import PromptVersion
from reviews import conversations, talking
from reviews.api.marks import Offset
from reviews.conversations import CommentShown, ThreadShown
from reviews.models import QueueItem, Thread

# ---------------------------------------------------------------- what goes in and comes out


class NewCommentSerializer(serializers.Serializer):
    text = Text(help_text=f"at most {talking.LONGEST_CHARACTERS:,} characters; `@name` names somebody")


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

    def get_text(self, comment: CommentShown) -> str:
        return "".join(piece.text for piece in comment.pieces)


class ThreadSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    side = serializers.ChoiceField(choices=["", *Thread.Side.values], help_text="empty: on the whole of it")
    quote = serializers.CharField(allow_blank=True)
    start = serializers.IntegerField(allow_null=True, help_text="of the quote, in code points, end exclusive")
    end = serializers.IntegerField(allow_null=True)
    resolved = serializers.BooleanField()
    may_reply = serializers.BooleanField()
    comments = CommentSerializer(many=True)


_COMMENT = {
    "id": 31,
    "who": "you",
    "text": "Is 410 right? The source says 140.",
    "at": "2026-11-24T09:30:00Z",
    "edited": False,
}
_THREAD = {
    "id": 12,
    "side": "summary",
    "quote": "410",
    "start": 41,
    "end": 44,
    "resolved": False,
    "may_reply": True,
    "comments": [_COMMENT],
}

# ---------------------------------------------------------------- the views

_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 404: views.NOT_FOUND, 429: views.THROTTLED}
_WRONG = views.failure(
    "Nothing is written, it is too long, or the quote does not stand there.",
    "invalid",
    "These words do not stand in the summary.",
    {"quote": "These words do not stand in the summary."},
)
_LIST = extend_schema(
    tags=["comments"],
    responses={
        200: OpenApiResponse(
            inline_serializer("Threads", {"results": ThreadSerializer(many=True)}),
            "Those that you may see, the open ones first.",
            [OpenApiExample("threads", value={"results": [_THREAD]})],
        ),
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


def _shown(request: Request, about: QueueItem | PromptVersion) -> list[ThreadShown]:
    return conversations.panel(about=about, user=token_of(request).user).threads


def _listed(request: Request, about: QueueItem | PromptVersion) -> Response:
    return Response({"results": ThreadSerializer(_shown(request, about), many=True).data})


def _opened(request: Request, about: QueueItem | PromptVersion) -> Response:
    asked = NewThreadSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    made = talking.open_thread(
        about=about, text=asked.validated_data["text"], span=asked.span(), actor=token_of(request).user
    )
    shown = next(thread for thread in _shown(request, about) if thread.pk == made.pk)
    return Response(ThreadSerializer(shown).data, status=201)


class ItemThreadsView(views.ApiView):
    scope = "comments:write"

    @extend_schema(operation_id="items_threads_list", summary="Conversations on an item")
    @_LIST
    def get(self, request: Request, pk: int) -> Response:
        return _listed(request, _item(pk))

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
        return _listed(request, _version(pk))

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
        return Response(
            CommentSerializer(conversations.shown_comment(comment=comment, user=user)).data, status=201
        )
