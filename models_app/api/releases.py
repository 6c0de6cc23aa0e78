"""Releases for programs: reading them and their evidence, composing and submitting one. Deciding is for people, on the
page."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from models_app import queries
from models_app.api import idempotency, pagination, views
from models_app.api.fields import refuse_unknown
from models_app.api.jobs import LARGEST
from models_app.evidence.card import model_card
from models_app.evidence.files import evidence_file
from models_app.foundation.errors import InvalidInput, NotFound
from models_app.models import Approval, Comparison, ModelVersion, PromptVersion, Release
from models_app.models.releases import PRODUCTION, Environment, live_release
from models_app.releases.approvers import too_few_left
from models_app.releases.composing import (
    LONGEST_NOTE,
    LONGEST_REASON,
    compose_release,
    origin_beside,
    submit_release,
    usual_decoding,
    usual_prompt,
)

EXAMPLE = {
    "id": 14,
    "digest": "9f3c0f8e1d6b4a57a2c4e6f8091b3d5f7a9cbedf1032547698badcfe10213243",
    "state": "awaiting approval",
    "origin": "retraining",
    "model_version": 14,
    "model": "tuned on snapshot 7",
    "prompt_version": 2,
    "prompt": "news summary v1",
    "decoding": {"max_new_tokens": 96, "max_words": 60, "beams": 1},
    "environment": "production",
    "note": "Learnt from 98 corrections.",
    "comparison": 31,
    "verdict": "improved",
    "requested_by": "mila",
    "evidence_digest": "1b2c3d4e5f60718293a4b5c6d7e8f9000112233445566778899aabbccddeeff0",
    "created_at": "2026-11-24T09:05:00Z",
    "submitted_at": "2026-11-24T10:12:00Z",
}
SUBMITTED = {**EXAMPLE, "state": "evaluating"}


class ReleaseSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    digest = serializers.CharField(help_text="over model, prompt and decoding settings")
    state = serializers.ChoiceField(choices=Release.State.choices)
    origin = serializers.ChoiceField(choices=Release.Origin.choices)
    model_version = serializers.IntegerField(source="model_version_id")
    model = serializers.CharField(source="model_version.name")
    prompt_version = serializers.IntegerField(source="prompt_version_id")
    prompt = serializers.SerializerMethodField()
    decoding = serializers.DictField()
    environment = serializers.CharField(source="environment.name")
    note = serializers.CharField()
    comparison = serializers.IntegerField(source="comparison_id", allow_null=True)
    verdict = serializers.SerializerMethodField(help_text="of the comparison it was submitted with")
    requested_by = serializers.SerializerMethodField()
    evidence_digest = serializers.CharField(help_text="what decisions are bound to")
    created_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)

    def get_prompt(self, release: Release) -> str:
        return str(release.prompt_version)

    def get_verdict(self, release: Release) -> str | None:
        return release.comparison.verdict if release.comparison is not None else None

    def get_requested_by(self, release: Release) -> str | None:
        return release.requested_by.get_username() if release.requested_by is not None else None


class DecisionSerializer(serializers.Serializer):
    by = serializers.CharField()
    decision = serializers.ChoiceField(choices=Approval.Decision.choices)
    reason = serializers.CharField()
    at = serializers.DateTimeField()
    evidence_digest = serializers.CharField()
    voided_at = serializers.DateTimeField(allow_null=True)
    counts = serializers.BooleanField(
        help_text="whether it is an approval that would let the release go live now"
    )
    why_not = serializers.CharField(help_text="why it is void or does not count; empty where it does")


class EvidenceSerializer(serializers.Serializer):
    release = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Release.State.choices)
    evidence_digest = serializers.CharField(
        help_text="SHA-256 over `evidence` as canonical JSON; empty for drafts"
    )
    holds = serializers.BooleanField(help_text="whether a decision could be made on it now")
    problem = serializers.CharField(help_text="why it no longer holds")
    approvals_required = serializers.IntegerField()
    too_few_approvers = serializers.CharField(
        help_text="where fewer people may approve it than it needs, in words; empty where there are enough"
    )
    decisions = DecisionSerializer(many=True)
    evidence = serializers.DictField()
    people = serializers.DictField(
        help_text="what the votes in `evidence.people` come to, in figures and words; empty for drafts"
    )


class SubmitSerializer(serializers.Serializer):
    comparison = serializers.IntegerField(
        min_value=1, help_text="its candidate is the release that is submitted"
    )
    release = serializers.IntegerField(
        min_value=1, required=False, help_text="to be sure: refused where the comparison is about another one"
    )
    note = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=LONGEST_REASON,
        help_text="what changed, for the people who decide",
    )


def _rows() -> Any:
    return Release.objects.select_related(
        "model_version", "prompt_version__prompt", "environment", "comparison", "requested_by"
    )


def release_of(pk: int) -> Release:
    release = _rows().filter(pk=pk).first()
    if release is None:
        raise NotFound(f"There is no release {pk}.")
    return release


READ_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 429: views.THROTTLED}


class ReleasesView(views.ApiView):
    scopes = {"GET": "releases:read", "POST": "releases:submit"}

    @extend_schema(
        operation_id="releases_list",
        summary="Releases, the newest first",
        tags=["releases"],
        parameters=[
            OpenApiParameter(
                "state", OpenApiTypes.STR, enum=Release.State.values, description="only of this state"
            ),
            *pagination.PARAMETERS,
        ],
        responses={
            200: pagination.page_of("Releases", ReleaseSerializer, EXAMPLE),
            404: views.NOT_FOUND,
            422: views.failure(
                "There is no such state.", "invalid", "There is no state 'done'.", {"state": "…"}
            ),
            **READ_ERRORS,
        },
    )
    def get(self, request: Request) -> Response:
        rows = _rows().order_by("-pk")
        state = request.query_params.get("state")
        if state:
            if state not in Release.State.values:
                message = f"There is no state {state[:30]!r}; there are {', '.join(Release.State.values)}."
                raise InvalidInput(message, fields={"state": message})
            rows = rows.filter(state=state)
        pages = pagination.Pages()
        page: Any = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ReleaseSerializer(page, many=True).data)

    @extend_schema(
        operation_id="releases_submit",
        summary="Submit a release for approval",
        description="The comparison has to be with what is live, on documents that the model was not trained on. "
        "The release is `evaluating` then: its environment's gates are judged in a job, and it becomes `blocked`, "
        "`needs evidence` or `awaiting approval`. Submitting twice is submitting once. No token can approve: a person "
        "decides, on the release's page.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=SubmitSerializer,
        examples=[
            OpenApiExample(
                "submit", value={"comparison": 31, "note": "Learnt from 98 corrections."}, request_only=True
            )
        ],
        responses={
            201: OpenApiResponse(ReleaseSerializer, "", [OpenApiExample("submitted", value=SUBMITTED)]),
            404: views.failure("There is no such comparison.", "not_found", "There is no comparison 31."),
            409: views.failure(
                "A rule forbids it: not compared with what is live (`refused`), test documents in the training data "
                "(`leakage`), or it is no draft any more (`stale`).",
                "refused",
                "Comparison 31 is against release 9, but release 12 is live now.",
            ),
            413: views.TOO_LARGE,
            422: views.failure(
                "A field is missing or wrong.", "invalid", "Some fields are wrong: comparison.",
                {"comparison": "This field is required."},
            ),
            **READ_ERRORS,
        },
    )  # fmt: skip
    @idempotency.idempotent
    def post(self, request: Request) -> Response:
        given = SubmitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        comparison = (
            Comparison.objects.select_related("candidate__release", "baseline")
            .filter(pk=values["comparison"])
            .first()
        )
        if comparison is None:
            raise NotFound(f"There is no comparison {values['comparison']}.")
        release = release_of(values.get("release", comparison.candidate.release_id))
        submit_release(
            release=release, comparison=comparison, note=values.get("note", ""), actor=request.user
        )
        answer = Response(ReleaseSerializer(release_of(release.pk)).data, status=201)
        answer["Location"] = reverse("api_release", args=[release.pk], request=request)
        answer["X-Release"] = str(release.pk)
        return answer


DRAFT = {
    **EXAMPLE,
    "state": "draft",
    "comparison": None,
    "verdict": None,
    "requested_by": None,
    "evidence_digest": "",
    "submitted_at": None,
}


class ComposeSerializer(serializers.Serializer):
    model_version = serializers.IntegerField(min_value=1, max_value=LARGEST)
    prompt_version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="its number; else what the model was trained with, or what is live",
    )
    decoding = serializers.DictField(
        required=False,
        help_text='what is to be otherwise than in the live release, such as `{"max_words": 50}`',
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_NOTE)
    environment = serializers.CharField(default=PRODUCTION, max_length=50)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class ComposeView(views.ApiView):
    scope = "releases:submit"

    @extend_schema(
        operation_id="releases_compose",
        summary="Compose a draft: a model version with a prompt and decoding settings",
        description="The open release of the same content, where there is one. A draft serves nobody; compare it, then "
        "submit it.",
        tags=["releases"],
        parameters=[idempotency.PARAMETER],
        request=ComposeSerializer,
        examples=[OpenApiExample("compose", value={"model_version": 14}, request_only=True)],
        responses={
            201: OpenApiResponse(ReleaseSerializer, "", [OpenApiExample("draft", value=DRAFT)]),
            404: views.failure(
                "No such model, prompt version or environment.", "not_found", "There is no model 14."
            ),
            409: views.failure(
                "One of the same content has just ended.", "stale", "A release of the same content has just ended."
            ),
            413: views.TOO_LARGE,
            422: views.failure(
                "A field is wrong.", "invalid", "beams: has to be 1 to 16.", {"beams": "has to be 1 to 16."}
            ),
            **READ_ERRORS,
        },
    )  # fmt: skip
    @idempotency.idempotent
    def post(self, request: Request) -> Response:
        given = ComposeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        environment = Environment.objects.filter(name=values["environment"]).first()
        if environment is None:
            raise NotFound(f"There is no environment {values['environment']!r}.")
        models = ModelVersion.objects.select_related("training_run")
        model = models.filter(pk=values["model_version"]).first()
        if model is None:
            raise NotFound(f"There is no model {values['model_version']}.")
        live = live_release(environment.name)
        prompt = usual_prompt(model, live)
        if "prompt_version" in values:
            prompts = PromptVersion.objects.select_related("prompt")
            prompt = prompts.filter(pk=values["prompt_version"]).first()
        if prompt is None:
            raise NotFound("There is no such prompt version, or none that this model reads.")
        made = compose_release(
            model_version=model,
            prompt_version=prompt,
            decoding={**usual_decoding(model, live), **values.get("decoding", {})},
            origin=origin_beside(live, model_version=model, prompt_version=prompt),
            note=values.get("note", ""),
            environment=environment.name,
            actor=request.user,
        )
        answer = Response(ReleaseSerializer(release_of(made.pk)).data, status=201)
        answer["Location"] = reverse("api_release", args=[made.pk], request=request)
        answer["X-Release"] = str(made.pk)
        return answer


class ReleaseView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_read",
        summary="One release",
        tags=["releases"],
        responses={
            200: OpenApiResponse(ReleaseSerializer, "", [OpenApiExample("release", value=EXAMPLE)]),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(ReleaseSerializer(release_of(pk)).data)


class EvidenceView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_evidence",
        summary="What a release's approvers decide on",
        description="Digests of model, prompt, data and test set, every result of the comparison, and the decisions "
        "so far. A decision is bound to `evidence_digest`; where `holds` is false, none can be made.",
        tags=["releases"],
        responses={200: EvidenceSerializer, 404: views.NOT_FOUND, **READ_ERRORS},
    )
    def get(self, request: Request, pk: int) -> Response:
        release = release_of(pk)
        document = {**queries.evidence_document(release), "too_few_approvers": too_few_left(release)}
        return Response(EvidenceSerializer(document).data)


class EvidenceFileView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_evidence_file",
        summary="The same and all it rests on, signed",
        description="The file that the release's page offers: policy, gates, waivers, comparison, lineage, decisions "
        "and audit trail, signed with the installation's Ed25519 key. "
        "`script/manage verify_evidence FILE --key PUBLIC` checks it on any machine; the page *Audit* shows "
        "the public key.",
        tags=["releases"],
        responses={
            200: OpenApiResponse(
                inline_serializer(
                    "SignedEvidence",
                    {
                        "format": serializers.CharField(),
                        "document": serializers.DictField(),
                        "signature": inline_serializer(
                            "EvidenceSignature",
                            {
                                "algorithm": serializers.CharField(),
                                "key": serializers.CharField(help_text="the public key, 43 characters"),
                                "value": serializers.CharField(help_text="base64"),
                            },
                        ),
                    },
                )
            ),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        return HttpResponse(evidence_file(release_of(pk)), content_type="application/json")


class CardView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="releases_card",
        summary="The model card",
        description="`README.md` in the format of Hugging Face, written from what Galley knows of the release.",
        tags=["releases"],
        responses={
            (200, "text/markdown"): OpenApiTypes.STR,
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        return HttpResponse(model_card(release_of(pk)), content_type="text/markdown; charset=utf-8")
