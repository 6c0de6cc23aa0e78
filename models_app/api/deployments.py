"""Taking a release back, starting one that people approved, and going back to an earlier one, by program. Deciding on a
release is for people, on its page."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import idempotency, views
from models_app.api.fields import refuse_unknown
from models_app.api.jobs import LARGEST
from models_app.api.releases import EXAMPLE, READ_ERRORS, ReleaseSerializer, release_of
from models_app.foundation.errors import InvalidInput
from models_app.models import Release
from models_app.releases.composing import LONGEST_REASON, withdraw_release
from models_app.releases.deploying import roll_back, start_deployment
from models_app.rollouts import stepping
from models_app.rollouts.telling import open_rollout_of


class WithdrawSerializer(serializers.Serializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=LONGEST_REASON)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class StartSerializer(serializers.Serializer):
    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class RollbackSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=LONGEST_REASON, help_text="the record keeps it")
    to = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="further back than the release before, or although its files are missing",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


def _stale(words: str) -> OpenApiResponse:
    return views.failure(
        "It is in another state by now (`stale`), or a rule forbids it (`refused`).", "stale", words
    )


_WRONG = views.failure(
    "A field is wrong.", "invalid", "Some fields are wrong: reason.", {"reason": "This field is required."}
)
_ERRORS = {404: views.NOT_FOUND, 413: views.TOO_LARGE, 422: _WRONG, **READ_ERRORS}


def _answer(description: str, **values: Any) -> OpenApiResponse:
    return OpenApiResponse(
        ReleaseSerializer, description, [OpenApiExample("release", value={**EXAMPLE, **values})]
    )


class WithdrawView(views.ApiView):
    scope = "releases:submit"

    @extend_schema(
        operation_id="releases_withdraw",
        summary="Take a draft or a waiting release back for good",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=WithdrawSerializer,
        examples=[
            OpenApiExample("withdraw", value={"reason": "Superseded by release 15."}, request_only=True)
        ],
        responses={
            200: _answer("It is withdrawn.", state="withdrawn"),
            409: views.failure(
                "It has ended, or is live.", "refused", "A release that is live does not become withdrawn."
            ),
            **_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        given = WithdrawSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        withdraw_release(release=release_of(pk), actor=request.user, **given.validated_data)
        return Response(ReleaseSerializer(release_of(pk)).data)


class StartView(views.ApiView):
    scope = "releases:deploy"

    @extend_schema(
        operation_id="releases_start",
        summary="Start an approved release",
        description="The last approval starts it by itself; this is for one that came back from warming up. It rolls "
        "out or goes live once its model answers. One that is warming up, rolling out or live already is answered as "
        "it is.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=StartSerializer,
        responses={
            200: _answer("It warms up, or is live.", state="warming"),
            409: _stale("Release 14 is awaiting approval; only what is approved can be started."),
            **_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        StartSerializer(data=request.data).is_valid(raise_exception=True)
        release = release_of(pk)
        if release.state not in (Release.State.WARMING, *Release.ROLLING_OUT, Release.State.LIVE):
            start_deployment(release=release, actor=request.user)
        return Response(ReleaseSerializer(release_of(pk)).data)


class RollbackView(views.ApiView):
    scope = "releases:deploy"

    @extend_schema(
        operation_id="releases_rollback",
        summary="Take a release away for good: the live one, or one that rolls out",
        description="Of the live release, an earlier one is live again; of one that rolls out, all requests go to what "
        "is live. Asking twice goes back once. No gate and no approval is needed for what was live before.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=RollbackSerializer,
        examples=[OpenApiExample("rollback", value={"reason": "Clients complain."}, request_only=True)],
        responses={
            200: _answer("The release that is live now.", id=12, state="live"),
            409: _stale("Release 15 is live meanwhile, not 14. Look again."),
            503: views.failure(
                "Another session of the database keeps it waiting.", "unavailable", "Try again in a moment."
            ),
            **_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request, pk: int) -> Response:
        given = RollbackSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        release = release_of(pk)
        if release.state in Release.ROLLING_OUT:
            if given.validated_data.get("to") is not None:
                raise InvalidInput(
                    "What is live stays live.",
                    fields={"to": "Only the live release is rolled back to another."},
                )
            rollout = open_rollout_of(release)
            stepping.roll_back(rollout=rollout, actor=request.user, reason=given.validated_data["reason"])
            answer = Response(ReleaseSerializer(release_of(rollout.beside_id)).data)
            answer["X-Release"] = str(rollout.beside_id)
            return answer
        deployment = roll_back(
            environment=release.environment, actor=request.user, expected=pk, **given.validated_data
        )
        answer = Response(ReleaseSerializer(release_of(deployment.release_id)).data)
        answer["X-Release"] = str(deployment.release_id)
        return answer
