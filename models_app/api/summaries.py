"""Summaries and feedback on them, for client programs."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.api.authentication import token_of
from models_app.api.fields import LONGEST_TEXT, Text
from models_app.api.idempotency import PARAMETER, idempotent
from models_app.foundation.errors import NotFound
from models_app.models import ClientFeedback, InferenceRequest
from models_app.serving.client_feedback import give_feedback
from models_app.serving.summarizing import summarize

ARTICLE = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months. "
    "Divers found that 140 of its piles are rotten. The work will cost 3.2 million euros, half of it paid by the "
    "region."
)
_TIME = serializers.DateTimeField()
NOT_KEPT = "not_kept"
#: Characters of the fields beside the text.
LONGEST = {"title": 300, "domain": 40, "user": 200, "session": 200}
FEWEST_WORDS, MOST_WORDS = 5, 500


class SummaryRequestSerializer(serializers.Serializer):
    text = Text(max_length=LONGEST_TEXT, help_text="the article; HTML is taken as text")
    title = Text(max_length=LONGEST["title"], required=False, default="", allow_blank=True)
    domain = Text(
        max_length=LONGEST["domain"],
        required=False,
        default="",
        allow_blank=True,
        help_text="such as news or business",
    )
    user = Text(
        max_length=LONGEST["user"],
        required=False,
        default="",
        allow_blank=True,
        help_text="who asks in your program; kept as a keyed hash only",
    )
    session = Text(
        max_length=LONGEST["session"],
        required=False,
        default="",
        allow_blank=True,
        help_text="kept as a keyed hash only",
    )
    max_words = serializers.IntegerField(
        min_value=FEWEST_WORDS,
        max_value=MOST_WORDS,
        required=False,
        allow_null=True,
        default=None,
        help_text="length that the model is asked for; the release's unless given",
    )


class SummarySerializer(serializers.Serializer):
    id = serializers.UUIDField()
    summary = serializers.CharField(
        allow_null=True, help_text="null where it was not kept; never in the answer to the request itself"
    )
    summary_missing = serializers.ChoiceField(
        choices=[NOT_KEPT],
        allow_null=True,
        help_text=f"why `summary` is null: `{NOT_KEPT}`, since this installation keeps no texts of requests",
    )
    release = serializers.IntegerField()
    model_version = serializers.IntegerField()
    prompt_version = serializers.IntegerField()
    input_words = serializers.IntegerField()
    summary_words = serializers.IntegerField()
    latency_ms = serializers.FloatField(help_text="until the model had written it, waiting included")
    flags = serializers.ListField(
        child=serializers.CharField(),
        help_text="`truncated`: the text was too long for the model and was cut; `length_limit`: the summary was; "
        "`unsupported_number`: it has a number that the text does not have",
    )
    created_at = serializers.DateTimeField()


class FeedbackRequestSerializer(serializers.Serializer):
    stars = serializers.IntegerField(min_value=1, max_value=5)
    comment = Text(max_length=5000, required=False, default="", allow_blank=True)
    edited_summary = Text(
        max_length=20000, required=False, default="", allow_blank=True, help_text="how it should have read"
    )
    wants = serializers.ChoiceField(choices=ClientFeedback.Wants.choices, required=False, default="none")


class FeedbackSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    summary_id = serializers.UUIDField()
    stars = serializers.IntegerField()
    wants = serializers.CharField()
    sentiment = serializers.CharField(allow_blank=True)
    category = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": "0b9e1f86-5d7e-4a30-9c8d-0d5f1c3a7e21",
    "summary": "Nordhaven closes its old pier for nine months. 140 rotten piles are replaced for 3.2 million euros.",
    "summary_missing": None,
    "release": 7,
    "model_version": 5,
    "prompt_version": 2,
    "input_words": 45,
    "summary_words": 17,
    "latency_ms": 812.4,
    "flags": [],
    "created_at": "2026-11-24T09:30:00Z",
}
_ANSWER = OpenApiResponse(
    SummarySerializer,
    "The summary. The headers `X-Release` and `X-Model-Version` say what wrote it, `X-Kept-Answer: yes` that it had "
    "been written before, for an equal text.",
    [OpenApiExample("summary", value=SUMMARY_EXAMPLE)],
)
_READ_AGAIN = OpenApiResponse(
    SummarySerializer,
    "The summary, or what is kept of it.",
    [
        OpenApiExample("summary", value=SUMMARY_EXAMPLE),
        OpenApiExample("not kept", value={**SUMMARY_EXAMPLE, "summary": None, "summary_missing": NOT_KEPT}),
    ],
)
_ONCE = views.failure(
    "The first request with this Idempotency-Key still runs (`in_progress`), or its answer was not kept "
    "(`answer_not_kept`).",
    "in_progress",
    "The first request with this Idempotency-Key is still running. Try again in a moment.",
)
_TOO_SHORT = "The text has 1 word; at least 20 are needed."
_TOO_MANY_STARS = "Ensure this value is less than or equal to 5."
_UNAVAILABLE = views.failure(
    "No model can answer now; `Retry-After` says when to try again. Codes: `unavailable`, `overloaded`, `timeout`, "
    "`error`.",
    "overloaded",
    "Too many requests wait for the model. Try again in a moment.",
)


def data_of(row: InferenceRequest) -> dict[str, Any]:
    """In the shape of SummarySerializer, written out: building one for each request costs more than all else here."""
    missing = not row.summary and bool(row.summary_hash)
    return {
        "id": str(row.pk),
        "summary": None if missing else row.summary,
        "summary_missing": NOT_KEPT if missing else None,
        "release": row.release_id,
        "model_version": row.model_version_id,
        "prompt_version": row.prompt_version_id,
        "input_words": row.input_words,
        "summary_words": row.summary_words,
        "latency_ms": round(row.latency_ms or 0, 1),
        "flags": row.flags,
        "created_at": _TIME.to_representation(row.created_at),
    }


def headers_of(row: InferenceRequest) -> dict[str, str]:
    kept = {"X-Kept-Answer": "yes"} if row.kept else {}
    return {"X-Release": str(row.release_id), "X-Model-Version": str(row.model_version_id), **kept}


def _answer(row: InferenceRequest, status: int) -> Response:
    return Response(data_of(row), status=status, headers=headers_of(row))


def _own(request: Request, pk: uuid.UUID) -> InferenceRequest:
    """A summary that one of this user's tokens asked for; somebody else's does not exist for it."""
    mine = InferenceRequest.objects.filter(
        client_id=token_of(request).user_id, outcome=InferenceRequest.Outcome.OK
    )
    row = mine.filter(pk=pk).first()
    if row is None:
        raise NotFound("There is no summary with this id, or another client asked for it.")
    return row


class SummariesView(views.ApiView):
    scope = "summaries:write"
    answer_quotes_texts = True

    @extend_schema(
        operation_id="summaries_create",
        summary="Ask for a summary",
        description="Written by the live release. Try again after `Retry-After` seconds where 429 or 503 is answered; "
        "with an `Idempotency-Key`, a repeated request is not computed twice.",
        tags=["summaries"],
        parameters=[PARAMETER],
        request=SummaryRequestSerializer,
        responses={
            201: _ANSWER,
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            409: _ONCE,
            413: views.TOO_LARGE,
            422: views.failure("Some fields are wrong.", "invalid", _TOO_SHORT, {"text": _TOO_SHORT}),
            429: views.THROTTLED,
            503: _UNAVAILABLE,
        },
        examples=[
            OpenApiExample(
                "an article",
                request_only=True,
                value={
                    "text": ARTICLE,
                    "title": "Old pier to close",
                    "domain": "news",
                    "user": "reader-1204",
                    "max_words": 40,
                },
            ),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        asked = SummaryRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token = token_of(request)
        row = summarize(**asked.validated_data, client_id=token.user_id, token_key=token.token_key)
        return _answer(row, 201)


class SummaryView(views.ApiView):
    scope = "summaries:write"

    @extend_schema(
        operation_id="summaries_retrieve",
        summary="Read a summary again",
        tags=["summaries"],
        description="Where `GALLEY_KEEP_REQUEST_TEXT` is `no`, `summary` is null and `summary_missing` says so; all "
        "else is there.",
        responses={
            200: _READ_AGAIN,
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            404: views.NOT_FOUND,
            429: views.THROTTLED,
        },
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return _answer(_own(request, pk), 200)


class SummaryFeedbackView(views.ApiView):
    scope = "feedback:write"

    @extend_schema(
        operation_id="summaries_feedback",
        summary="Say how good a summary is",
        description="Summaries with few stars, a complaint, or a wish go to the review desk.",
        tags=["summaries"],
        parameters=[PARAMETER],
        request=FeedbackRequestSerializer,
        responses={
            201: FeedbackSerializer,
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            404: views.NOT_FOUND,
            409: views.IN_PROGRESS,
            422: views.failure(
                "Some fields are wrong.",
                "invalid",
                "Some fields are wrong: stars.",
                {"stars": _TOO_MANY_STARS},
            ),
            429: views.THROTTLED,
        },
        examples=[
            OpenApiExample(
                "a complaint",
                request_only=True,
                value={"stars": 2, "comment": "It says 410 piles; there are 140.", "wants": "retrain"},
            ),
        ],
    )
    @idempotent
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        said = FeedbackRequestSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        feedback = give_feedback(request=_own(request, pk), **said.validated_data)
        names = ("id", "stars", "wants", "sentiment", "category", "created_at")
        values = {**{name: getattr(feedback, name) for name in names}, "summary_id": pk}
        return Response(FeedbackSerializer(values).data, status=201)
