"""Rollouts for programs: how one stands, and holding, resuming or moving it on. None of it walks round what the policy
asks for."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import idempotency, views
from models_app.api.fields import refuse_unknown
from models_app.api.releases import READ_ERRORS, release_of
from models_app.models import Release, Rollout, RolloutLook
from models_app.releases.composing import LONGEST_REASON
from models_app.rollouts import stepping
from models_app.rollouts.deciding import Act
from models_app.rollouts.telling import document, open_rollout_of, rollout_of

LOOK = {
    "measure": "errors",
    "looks": 3,
    "canary_requests": 60,
    "canary_events": 1,
    "live_requests": 540,
    "live_events": 5,
    "stops_at": 6,
    "next_look": 80,
}
EXAMPLE: dict[str, Any] = {
    "rollout": 4,
    "release": 14,
    "beside": 12,
    "environment": "production",
    "state": "canary",
    "outcome": None,
    "act": "wait",
    "reasons": ["64 of 200 requests."],
    "weight": 10,
    "step": 1,
    "steps": 3,
    "requests": 64,
    "requests_needed": 200,
    "minutes": 16.5,
    "minutes_needed": 15,
    "paused_by": None,
    "latency_ratio": 1.04,
    "looks": [LOOK, {**LOOK, "measure": "complaints"}, {**LOOK, "measure": "wishes"}],
    "fuse_used": 0,
    "fuse_allowed": 2,
    "began_at": "2026-11-24T10:02:00Z",
    "ended_at": None,
}


class LookSerializer(serializers.Serializer):
    measure = serializers.ChoiceField(choices=RolloutLook.Measure.choices)
    looks = serializers.IntegerField(help_text="how often it was looked at")
    canary_requests = serializers.IntegerField(help_text="at the newest look, since the rollout began")
    canary_events = serializers.IntegerField()
    live_requests = serializers.IntegerField(help_text="to the live release in the same time")
    live_events = serializers.IntegerField()
    stops_at = serializers.IntegerField(
        allow_null=True, help_text="events of the canary that stop it; null: none can"
    )
    next_look = serializers.IntegerField(allow_null=True, help_text="at so many requests to the canary")


class RolloutSerializer(serializers.Serializer):
    rollout = serializers.IntegerField()
    release = serializers.IntegerField()
    beside = serializers.IntegerField(help_text="the release that is live, or was when it began")
    environment = serializers.CharField()
    state = serializers.ChoiceField(choices=Release.State.choices, help_text="of the release")
    outcome = serializers.ChoiceField(
        choices=Rollout.Outcome.choices, allow_null=True, help_text="null while it goes on"
    )
    act = serializers.ChoiceField(
        choices=[act.value for act in Act],
        allow_null=True,
        help_text="what is decided now; null once it is over",
    )
    reasons = serializers.ListField(child=serializers.CharField(), help_text="why, or why it ended")
    weight = serializers.IntegerField(help_text="percent of the requests")
    step = serializers.IntegerField(help_text="from 1; in the last one it has all requests")
    steps = serializers.IntegerField()
    requests = serializers.IntegerField(help_text="to it in this step")
    requests_needed = serializers.IntegerField()
    minutes = serializers.FloatField(help_text="in this step")
    minutes_needed = serializers.IntegerField()
    paused_by = serializers.CharField(allow_null=True)
    latency_ratio = serializers.FloatField(
        allow_null=True, help_text="95th percentile, to the live release's; null with too few requests"
    )
    looks = LookSerializer(many=True)
    fuse_used = serializers.IntegerField(help_text="rollbacks in a day in this environment")
    fuse_allowed = serializers.IntegerField(help_text="with so many of them nothing starts")
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class HoldRolloutSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=LONGEST_REASON, help_text="the record keeps it")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class MoveRolloutSerializer(serializers.Serializer):
    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


def _answer(description: str, **values: Any) -> OpenApiResponse:
    return OpenApiResponse(
        RolloutSerializer, description, [OpenApiExample("rollout", value={**EXAMPLE, **values})]
    )


_ERRORS = {
    404: views.NOT_FOUND,
    413: views.TOO_LARGE,
    422: views.failure(
        "A field is wrong.",
        "invalid",
        "Some fields are wrong: reason.",
        {"reason": "This field is required."},
    ),
    **READ_ERRORS,
}


def _refused(description: str, code: str, words: str) -> OpenApiResponse:
    return views.failure(description, code, words)


def _told(pk: int) -> Response:
    return Response(RolloutSerializer(document(rollout_of(release_of(pk)))).data)


class RolloutView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_rollout",
        summary="How the rollout of a release stands, or ended",
        tags=["releases"],
        responses={200: _answer("Its newest rollout."), 404: views.NOT_FOUND, **READ_ERRORS},
    )
    def get(self, request: Request, pk: int) -> Response:
        return _told(pk)


class HoldView(views.ApiView):
    scope = "releases:deploy"

    @extend_schema(
        operation_id="releases_hold",
        summary="Hold a rollout: it keeps its share of the requests and gets no more",
        description="What stops it by itself goes on stopping it.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=HoldRolloutSerializer,
        examples=[OpenApiExample("hold", value={"reason": "We read the texts first."}, request_only=True)],
        responses={
            200: _answer("It is held.", state="held", act="hold", reasons=["It is paused."], paused_by="otto"),
            409: _refused(
                "It is not rolling out, or is held already (`stale`).", "stale",
                "Release 14 is live; it is not rolling out.",
            ),
            **_ERRORS,
        },
    )  # fmt: skip
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        given = HoldRolloutSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        stepping.pause(rollout=open_rollout_of(release_of(pk)), actor=request.user, **given.validated_data)
        return _told(pk)


class ResumeView(views.ApiView):
    scope = "releases:deploy"

    @extend_schema(
        operation_id="releases_resume",
        summary="Let a rollout go on that somebody holds",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=MoveRolloutSerializer,
        responses={
            200: _answer("It goes on."),
            409: _refused("Nobody holds it (`stale`).", "stale", "Rollout 4 is not paused."),
            **_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        MoveRolloutSerializer(data=request.data).is_valid(raise_exception=True)
        stepping.resume(rollout=open_rollout_of(release_of(pk)), actor=request.user)
        return _told(pk)


class AdvanceView(views.ApiView):
    scope = "releases:deploy"

    @extend_schema(
        operation_id="releases_advance",
        summary="Give a release its next share, where everything that the policy asks for holds",
        description="Where the policy moves rollouts on by hand. No condition is walked round: while one is open, it "
        "is refused with what is open.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=MoveRolloutSerializer,
        responses={
            200: _answer("It has its next share.", weight=50, step=2, requests=0, minutes=0.0),
            409: _refused(
                "A condition is open (`not_yet`), or it is not rolling out (`stale`).", "not_yet",
                "64 of 200 requests.",
            ),
            **_ERRORS,
        },
    )  # fmt: skip
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        MoveRolloutSerializer(data=request.data).is_valid(raise_exception=True)
        stepping.advance(rollout=open_rollout_of(release_of(pk)), actor=request.user)
        return _told(pk)
