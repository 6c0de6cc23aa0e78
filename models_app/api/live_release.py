from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.foundation.errors import NotFound
from models_app.models.releases import live_deployment
from models_app.serving.readiness import readiness

EXAMPLE = {
    "release": 7,
    "digest": "9f3c0f8e1d6b4a57a2c4e6f8091b3d5f7a9cbedf1032547698badcfe10213243",
    "origin": "retraining",
    "model_version": 5,
    "model": "SmolLM2 tuned on snapshot 3",
    "prompt_version": 2,
    "prompt": "news summary v1",
    "decoding": {"max_new_tokens": 96, "max_words": 60, "beams": 1},
    "environment": "production",
    "live_since": "2026-11-24T08:00:00Z",
    "ready": True,
    "status": "Release 7 is served.",
}


class LiveReleaseSerializer(serializers.Serializer):
    release = serializers.IntegerField()
    digest = serializers.CharField(help_text="over model, prompt and decoding settings")
    origin = serializers.CharField()
    model_version = serializers.IntegerField()
    model = serializers.CharField()
    prompt_version = serializers.IntegerField()
    prompt = serializers.CharField()
    decoding = serializers.DictField()
    environment = serializers.CharField()
    live_since = serializers.DateTimeField()
    ready = serializers.BooleanField(help_text="whether summaries can be served now")
    status = serializers.CharField(help_text="the same in words")


class LiveReleaseView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_live",
        summary="What is live",
        tags=["releases"],
        responses={
            200: OpenApiResponse(LiveReleaseSerializer, "", [OpenApiExample("live", value=EXAMPLE)]),
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            404: views.failure("Nothing is live.", "not_found", "No release is live yet."),
            429: views.THROTTLED,
        },
    )
    def get(self, request: Request) -> Response:
        live = live_deployment()
        ready, status = readiness()
        if live is None:
            raise NotFound(status)
        release = live.release
        answer = Response(
            LiveReleaseSerializer(
                {
                    "release": release.pk,
                    "digest": release.digest,
                    "origin": release.origin,
                    "model_version": release.model_version_id,
                    "model": release.model_version.name,
                    "prompt_version": release.prompt_version_id,
                    "prompt": str(release.prompt_version),
                    "decoding": release.decoding,
                    "environment": live.environment.name,
                    "live_since": live.live_from,
                    "ready": ready,
                    "status": status,
                }
            ).data
        )
        answer["X-Release"] = str(release.pk)
        answer["X-Model-Version"] = str(release.model_version_id)
        return answer
