"""Requests for retraining and for another prompt by program: read them, open one. Deciding is for people, on pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import pagination, views
from models_app.api.authentication import token_of
from models_app.api.idempotency import PARAMETER, idempotent
from reviews.improvement import following, requests
from reviews.models import ImprovementRequest


class NewImprovementSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=ImprovementRequest.Kind.choices)
    reason = serializers.CharField(max_length=ImprovementRequest.LONGEST_REASON, help_text="on one line")


class ImprovementSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=ImprovementRequest.Kind.choices)
    state = serializers.ChoiceField(choices=ImprovementRequest.State.choices)
    trigger = serializers.ChoiceField(
        choices=ImprovementRequest.Trigger.choices,
        help_text="`person`, or the threshold at which Galley opened it",
    )
    reason = serializers.CharField()
    evidence = serializers.DictField(help_text="the figures when it was opened")
    votes = serializers.SerializerMethodField(help_text="with that of the person who opened it")
    opened_by = serializers.SerializerMethodField(help_text="null: Galley itself")
    opened_at = serializers.DateTimeField()
    decision = serializers.CharField(help_text="why it was accepted or declined")
    decided_at = serializers.DateTimeField(allow_null=True)
    training_run = serializers.IntegerField(
        source="training_run_id", allow_null=True, help_text="what answers it"
    )
    prompt_version = serializers.IntegerField(source="prompt_version_id", allow_null=True)
    releases = serializers.SerializerMethodField(help_text="what it led to, the newest first")

    def get_votes(self, row: ImprovementRequest) -> int:
        votes: dict[int, int] = self.context["votes"]
        return votes[row.pk]

    def get_opened_by(self, row: ImprovementRequest) -> str | None:
        return row.opened_by.get_username() if row.opened_by else None

    @extend_schema_field(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "state": {"type": "string"}},
                "required": ["id", "state"],
            },
        }
    )
    def get_releases(self, row: ImprovementRequest) -> list[dict[str, Any]]:
        return [{"id": one.pk, "state": one.state} for one in self.context["releases"][row.pk]]


def _shown(rows: Sequence[ImprovementRequest]) -> Any:
    """As many queries for many as for one."""
    context = {"votes": requests.votes_of(rows), "releases": following.releases_of(rows)}
    return ImprovementSerializer(rows, many=True, context=context).data


_ONE = {
    "id": 3,
    "kind": "retraining",
    "state": "open",
    "trigger": "person",
    "reason": "Numbers of injured people are often wrong.",
    "evidence": {
        "release": 2, "since": "2026-11-20T08:00:00+00:00", "train_pairs": 64, "validation_pairs": 9,
        "least_pairs": 20, "new_pairs": 73, "reviews": 120, "stars": 3.4, "ask_for_retraining": 31,
        "ask_for_a_prompt": 4, "client_answers": 40, "client_stars": 3.1, "complaints": 12, "open_suggestions": 2,
    },
    "votes": 4,
    "opened_by": "rita",
    "opened_at": "2026-11-24T09:30:00Z",
    "decision": "",
    "decided_at": None,
    "training_run": None,
    "prompt_version": None,
    "releases": [],
}  # fmt: skip
_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 429: views.THROTTLED}


class ImprovementsView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="improvement_requests_list",
        summary="Requests for retraining and for another prompt, the newest first",
        tags=["improvement requests"],
        parameters=pagination.PARAMETERS,
        responses={200: pagination.page_of("ImprovementRequests", ImprovementSerializer, _ONE), **_ERRORS},
    )
    def get(self, request: Request) -> Response:
        pages = pagination.Pages()
        rows = ImprovementRequest.objects.select_related("opened_by")
        page = pages.paginate_queryset(rows, request, view=self) or []
        return pages.get_paginated_response(_shown(page))

    @extend_schema(
        operation_id="improvement_requests_create",
        summary="Ask for retraining or for another prompt",
        description="Where one of this kind is open, the reason is your vote for it, and that one is the answer (200). "
        "Deciding on requests is for people.",
        tags=["improvement requests"],
        parameters=[PARAMETER],
        request=NewImprovementSerializer,
        examples=[
            OpenApiExample(
                "retraining", request_only=True, value={"kind": "retraining", "reason": str(_ONE["reason"])}
            )
        ],
        responses={
            200: OpenApiResponse(
                ImprovementSerializer,
                "One was open: you have voted for it.",
                [OpenApiExample("open", value=_ONE)],
            ),
            201: OpenApiResponse(ImprovementSerializer, "It is open.", [OpenApiExample("open", value=_ONE)]),
            409: views.failure(
                "The first request with this Idempotency-Key still runs, or the open one was just decided.",
                "stale",
                "The request that was open has just been decided. Send yours again.",
            ),
            413: views.TOO_LARGE,
            422: views.failure(
                "A field is wrong.", "invalid", "Give a reason.", {"reason": "Write what is wrong."}
            ),
            **_ERRORS,
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        asked = NewImprovementSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = token_of(request).user
        last = ImprovementRequest.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        row = requests.open_request(**asked.validated_data, actor=user)
        answer = Response(_shown([row])[0], status=201 if row.pk > last else 200)
        answer["Location"] = reverse("api_improvement", args=[row.pk])
        return answer


class ImprovementView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="improvement_requests_retrieve",
        summary="One request, and what it led to",
        tags=["improvement requests"],
        responses={
            200: OpenApiResponse(ImprovementSerializer, "The request.", [OpenApiExample("open", value=_ONE)]),
            404: views.NOT_FOUND,
            **_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        row = get_object_or_404(ImprovementRequest.objects.select_related("opened_by"), pk=pk)
        return Response(_shown([row])[0])
