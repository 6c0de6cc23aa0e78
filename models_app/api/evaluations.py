"""Evaluations and comparisons for programs: starting them, and what they came to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from models_app import queries
from models_app.api import idempotency, views
from models_app.api.fields import refuse_unknown
from models_app.api.jobs import EXAMPLE as JOB
from models_app.api.jobs import LARGEST, READ_ERRORS, JobSerializer
from models_app.evaluation.comparing import start_comparison
from models_app.evaluation.running import start_evaluation
from models_app.foundation.errors import NotFound
from models_app.gates.comparing import usual_test_set
from models_app.models import Comparison, EvaluationRun, EvaluationSet, Release
from models_app.models.jobs import RunState
from models_app.models.releases import live_release
from models_app.releases.composing import lead_release

VERDICTS = ("improved", "not worse", "worse", "inconclusive")
EVALUATION = {
    "id": 22,
    "release": 14,
    "test_set": 3,
    "state": "queued",
    "signature": "rouge-score 0.1.2, stemmer",
    "means": {},
    "seconds": None,
    "reason": "",
    "job": 52,
    "created_at": "2026-11-24T09:31:00Z",
    "finished_at": None,
}
EVALUATED = {
    **EVALUATION,
    "state": "succeeded",
    "means": {"rouge1": 0.351, "rouge2": 0.144, "latency_ms": 180.0},
    "seconds": 412.0,
    "finished_at": "2026-11-24T09:38:00Z",
}
COMPARISON = {
    "comparison": 31,
    "candidate": 14,
    "baseline": 12,
    "baseline_is_live": True,
    "test_set": 3,
    "n": 300,
    "verdict": "improved",
    "sentence": "ROUGE-2 improved by 2.1 points (95 % interval 1.2 … 3.0, n = 300).",
    "seed": 7,
    "resamples": 10000,
    "signature": "rouge-score 0.1.2, stemmer",
    "digest": "9f3c0f8e1d6b4a57a2c4e6f8091b3d5f7a9cbedf1032547698badcfe10213243",
    "lines": [
        {
            "metric": "rouge2",
            "label": "ROUGE-2",
            "decimals": 2,
            "n": 300,
            "before": 12.31,
            "after": 14.4,
            "delta": 2.09,
            "low": 1.2,
            "high": 3.0,
            "mde": 1.1,
            "margin": 0.5,
            "verdict": "improved",
            "lead": 13.02,
        }
    ],
    "margins": "Margin of ROUGE-2: 0.5 points.",
    "url": "http://127.0.0.1:8000/comparisons/31/",
}


class NewEvaluationSerializer(serializers.Serializer):
    release = serializers.IntegerField(min_value=1, max_value=LARGEST)
    test_set = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="its number; else the policy's, or the newest",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class EvaluationSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    release = serializers.IntegerField(source="release_id")
    test_set = serializers.IntegerField(source="evaluation_set_id")
    state = serializers.ChoiceField(choices=RunState.choices)
    signature = serializers.CharField(help_text="what scores it")
    means = serializers.DictField(help_text="over all documents, once it succeeded; ROUGE as fractions")
    seconds = serializers.FloatField(allow_null=True)
    reason = serializers.CharField(help_text="how it ended, for people")
    job = serializers.IntegerField(source="job_id", allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class NewComparisonSerializer(serializers.Serializer):
    candidate = serializers.IntegerField(min_value=1, max_value=LARGEST, help_text="a release: after")
    baseline = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="a release: before; else what is live where the candidate would go, or lead-3 where nothing is",
    )
    test_set = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="its number; else the policy's, or the newest",
    )
    lead = serializers.BooleanField(default=True, help_text="also with lead-3, the first three sentences")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class LineSerializer(serializers.Serializer):
    metric = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the API's word for it
    decimals = serializers.IntegerField(help_text="as it is shown")
    n = serializers.IntegerField()
    before = serializers.FloatField()
    after = serializers.FloatField()
    delta = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    mde = serializers.FloatField(allow_null=True, help_text="the smallest difference that could be found")
    margin = serializers.FloatField()
    verdict = serializers.CharField()
    lead = serializers.FloatField(allow_null=True)


class ComparisonSerializer(serializers.Serializer):
    comparison = serializers.IntegerField()
    candidate = serializers.IntegerField(help_text="release")
    baseline = serializers.IntegerField(help_text="release")
    baseline_is_live = serializers.BooleanField()
    test_set = serializers.IntegerField()
    n = serializers.IntegerField()
    verdict = serializers.ChoiceField(choices=list(VERDICTS))
    sentence = serializers.CharField()
    seed = serializers.IntegerField()
    resamples = serializers.IntegerField()
    signature = serializers.CharField()
    digest = serializers.CharField()
    lines = LineSerializer(many=True, help_text="each metric on all documents; ROUGE in points")
    margins = serializers.CharField()
    url = serializers.CharField(help_text="its page")


def release_of(number: int) -> Release:
    release = Release.objects.select_related("environment").filter(pk=number).first()
    if release is None:
        raise NotFound(f"There is no release {number}.")
    return release


def _test_set(number: int | None, candidate: Release) -> EvaluationSet:
    """Without a number the one that the policy of its environment names, else the newest."""
    found = (
        usual_test_set(candidate.environment_id)
        if number is None
        else EvaluationSet.objects.filter(pk=number).first()
    )
    if found is None:
        raise NotFound("There is no test set yet." if number is None else f"There is no test set {number}.")
    return found


class EvaluationsView(views.ApiView):
    scopes = {"POST": "evaluations:write"}

    @extend_schema(
        operation_id="evaluations_start",
        summary="Let a release write summaries of the test documents, and score them",
        description="The one that there is, where the same was evaluated already or is being evaluated.",
        tags=["pipelines"],
        parameters=[idempotency.PARAMETER],
        request=NewEvaluationSerializer,
        examples=[OpenApiExample("start", value={"release": 14}, request_only=True)],
        responses={
            202: OpenApiResponse(EvaluationSerializer, "", [OpenApiExample("queued", value=EVALUATION)]),
            404: views.failure("No such release or test set.", "not_found", "There is no release 14."),
            **READ_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request) -> Response:
        given = NewEvaluationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        release = release_of(given.validated_data["release"])
        run = start_evaluation(
            release=release,
            evaluation_set=_test_set(given.validated_data.get("test_set"), release),
            actor=request.user,
        )
        answer = Response(EvaluationSerializer(run).data, status=202)
        answer["Location"] = reverse("api_evaluation", args=[run.pk], request=request)
        return answer


class EvaluationView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="evaluations_read",
        summary="One evaluation",
        tags=["pipelines"],
        responses={
            200: OpenApiResponse(EvaluationSerializer, "", [OpenApiExample("done", value=EVALUATED)]),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        run = EvaluationRun.objects.filter(pk=pk).first() if pk <= LARGEST else None
        if run is None:
            raise NotFound(f"There is no evaluation {pk}.")
        return Response(EvaluationSerializer(run).data)


class ComparisonsView(views.ApiView):
    scopes = {"POST": "evaluations:write"}

    @extend_schema(
        operation_id="comparisons_start",
        summary="Compare a release with another one, what is live unless it is named",
        description="Evaluations that are missing are made first. Ask the job at `Location` until it `succeeded`: its "
        "`result` has the number of the `comparison`.",
        tags=["pipelines"],
        parameters=[idempotency.PARAMETER],
        request=NewComparisonSerializer,
        examples=[OpenApiExample("with what is live", value={"candidate": 14}, request_only=True)],
        responses={
            202: OpenApiResponse(JobSerializer, "", [OpenApiExample("queued", value=JOB)]),
            404: views.failure("No such release or test set.", "not_found", "There is no release 14."),
            409: views.failure(
                "It would be compared with itself.", "refused", "This would compare a release with itself."
            ),
            **READ_ERRORS,
        },
    )
    @idempotency.idempotent
    def post(self, request: Request) -> Response:
        given = NewComparisonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        candidate = release_of(values["candidate"])
        lead = lead_release()
        baseline = (
            release_of(values["baseline"])
            if "baseline" in values
            else live_release(candidate.environment.name) or lead
        )
        beside = values["lead"] and lead.pk not in (candidate.pk, baseline.pk)
        job = start_comparison(
            candidate=candidate,
            baseline=baseline,
            lead=lead if beside else None,
            evaluation_set=_test_set(values.get("test_set"), candidate),
            actor=request.user,
        )
        answer = Response(JobSerializer(job).data, status=202)
        answer["Location"] = reverse("api_job", args=[job.pk], request=request)
        return answer


class ComparisonView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="comparisons_read",
        summary="One comparison",
        tags=["pipelines"],
        responses={
            200: OpenApiResponse(ComparisonSerializer, "", [OpenApiExample("comparison", value=COMPARISON)]),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        rows = Comparison.objects.select_related("candidate__release__environment", "baseline")
        comparison = rows.filter(pk=pk).first() if pk <= LARGEST else None
        if comparison is None:
            raise NotFound(f"There is no comparison {pk}.")
        url = f"{settings.PUBLIC_URL}{reverse('comparison', args=[pk])}"
        report = queries.comparison_report(comparison, url=url)
        return Response(ComparisonSerializer(asdict(report)).data)
