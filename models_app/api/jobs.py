"""How far the work is that a pipeline started. Other jobs are not told here: their reasons are somebody's."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.foundation.errors import NotFound
from models_app.models import Job

KINDS = ("train", "evaluate", "compare", "judge_release")
LARGEST = 2**63 - 1

EXAMPLE = {
    "id": 51,
    "kind": "compare",
    "state": "running",
    "phase": "waiting for the evaluations",
    "step": 0,
    "total": 0,
    "reason": "",
    "result": {},
    "created_at": "2026-11-24T09:31:00Z",
    "started_at": "2026-11-24T09:31:01Z",
    "finished_at": None,
}
DONE = {
    **EXAMPLE,
    "state": "succeeded",
    "phase": "comparing",
    "result": {"comparison": 31, "verdict": "improved"},
    "finished_at": "2026-11-24T09:44:20Z",
}
READ_ERRORS: dict[int, Any] = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 429: views.THROTTLED}


class JobSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField(help_text=", ".join(f"`{kind}`" for kind in KINDS))
    state = serializers.ChoiceField(choices=Job.State.choices)
    phase = serializers.CharField()
    step = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0 where it is not known")
    reason = serializers.CharField(help_text="how it ended, for people")
    result = serializers.DictField(
        help_text="once it succeeded, what it made: `comparison` and `verdict`, `model_version` …"
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="jobs_read",
        summary="A job that trains, evaluates, compares or judges",
        tags=["pipelines"],
        responses={
            200: OpenApiResponse(
                JobSerializer, "", [OpenApiExample("running", value=EXAMPLE), OpenApiExample("done", value=DONE)]
            ),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        job = Job.objects.filter(pk=pk, kind__in=KINDS).first() if pk <= LARGEST else None
        if job is None:
            raise NotFound(f"There is no job {pk}.")
        return Response(JobSerializer(job).data)
