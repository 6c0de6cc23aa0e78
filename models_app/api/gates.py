"""The gates of a release for programs that wait."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from models_app.api import views
from models_app.api.jobs import READ_ERRORS
from models_app.foundation.errors import NotFound
from models_app.gates import reporting
from models_app.models import GateRun, Release
from models_app.releases.waiting import JUDGED, verdict_now

RESULT = {
    "gate": "primary",
    "label": "Primary metric",
    "name": "rouge2",
    "verdict": "pass",
    "counts_as": "pass",
    "waiver": None,
    "words": "ROUGE-2 improved by 2.1 points.",
    "need": "a loss of 0.5 points or more excluded",
    "method": "paired bootstrap, 10,000 resamples",
    "estimate": 2.1,
    "low": 1.2,
    "high": 3.0,
    "threshold": -0.5,
    "n": 300,
    "unit": "points",
    "evidence": "comparison:31",
}
RUN: dict[str, Any] = {
    "run": 5,
    "state": "finished",
    "verdict": "pass",
    "comparison": 31,
    "comparison_verdict": "improved",
    "policy": 2,
    "policy_digest": "9f3c0f8e1d6b4a57a2c4e6f8091b3d5f7a9cbedf1032547698badcfe10213243",
    "digest": "1b2c3d4e5f60718293a4b5c6d7e8f9000112233445566778899aabbccddeeff0",
    "results": [RESULT],
}
GATES: dict[str, Any] = {
    "release": 14,
    "environment": "production",
    "state": "awaiting approval",
    "verdict": "pass",
    "words": "All 24 results pass.",
    "gates": RUN,
    "url": "http://127.0.0.1:8000/releases/14/gates/",
}
JUDGING = {
    **GATES,
    "state": "evaluating",
    "verdict": None,
    "words": "The gates are being judged.",
    "gates": {**RUN, "state": "running", "verdict": None, "digest": "", "results": []},
}


class GateResultSerializer(serializers.Serializer):
    gate = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the API's word for it
    name = serializers.CharField(help_text="the row within the gate: a metric, a slice, a set of cases")
    verdict = serializers.ChoiceField(choices=GateRun.Verdict.choices, help_text="what was found")
    counts_as = serializers.ChoiceField(
        choices=GateRun.Verdict.choices, help_text="the same, or `pass` by a waiver"
    )
    waiver = serializers.IntegerField(allow_null=True)
    words = serializers.CharField()
    need = serializers.CharField()
    method = serializers.CharField()
    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField()
    evidence = serializers.CharField(help_text="what can be looked at, such as `comparison:31`")


class GateRunSerializer(serializers.Serializer):
    run = serializers.IntegerField()
    state = serializers.ChoiceField(choices=GateRun.State.choices)
    verdict = serializers.ChoiceField(
        choices=GateRun.Verdict.choices,
        allow_null=True,
        help_text="with the waivers that hold; null while they are judged",
    )
    comparison = serializers.IntegerField()
    comparison_verdict = serializers.CharField()
    policy = serializers.IntegerField(help_text="number of the policy's version")
    policy_digest = serializers.CharField()
    digest = serializers.CharField(help_text="over what was judged and all results")
    results = GateResultSerializer(many=True)


class GatesSerializer(serializers.Serializer):
    release = serializers.IntegerField()
    environment = serializers.CharField()
    state = serializers.ChoiceField(choices=Release.State.choices, help_text="the release's")
    verdict = serializers.ChoiceField(
        choices=GateRun.Verdict.choices,
        allow_null=True,
        help_text="what a pipeline needs to know, as `release wait` ends: null means ask again; `pass`, the gates pass "
        "and people decide, or have approved; `fail`, it is blocked or has ended; `inconclusive`, more evidence is "
        "needed, or it is a draft; `error`, the gates could not be judged",
    )
    words = serializers.CharField(help_text="the same in a sentence")
    gates = GateRunSerializer(allow_null=True, help_text="null where no gate has judged it")
    url = serializers.CharField(help_text="the page of its gates")


class GatesView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_gates",
        summary="How a submitted release stands, and what each gate found",
        description="For programs that wait: ask every few seconds while `verdict` is null. For a decision, wait until "
        "`state` is `live`; people decide, no token can.",
        tags=["releases"],
        responses={
            200: OpenApiResponse(
                GatesSerializer, "", [OpenApiExample("judged", value=GATES), OpenApiExample("wait", value=JUDGING)]
            ),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        rows = Release.objects.select_related("environment", "comparison")
        release = rows.filter(pk=pk).first()
        if release is None:
            raise NotFound(f"There is no release {pk}.")
        run = (
            GateRun.objects.filter(release=release)
            .select_related("release__environment", "comparison", "policy")
            .first()
        )
        report = reporting.report_of(run) if run is not None else None
        gates = None
        if report is not None:
            values = reporting.as_values(report)
            gates = {**values, "state": report.run_state}
        body = {
            "release": release.pk,
            "environment": release.environment.name,
            "state": release.state,
            "verdict": verdict_now(release, JUDGED),
            "words": release.reason or (report.words if report is not None else "No gate has judged it."),
            "gates": gates,
            "url": f"{settings.PUBLIC_URL}{reverse('release_gates', args=[release.pk])}",
        }
        return Response(GatesSerializer(body).data)
