"""Training runs for programs: starting one, and how far it is."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from models_app.api import idempotency, views
from models_app.api.fields import refuse_unknown
from models_app.api.jobs import LARGEST, READ_ERRORS
from models_app.foundation.errors import NotFound
from models_app.ml.recipe import PRESETS
from models_app.models import DatasetSnapshot, TrainingRun
from models_app.models.jobs import RunState
from models_app.training.choosing import family_of, prompt_for, recipe_for
from models_app.training.starting import start_training

EXAMPLE = {
    "id": 8,
    "name": "starter on snapshot 7",
    "state": "queued",
    "snapshot": 7,
    "base": "starter",
    "prompt_version": 2,
    "recipe": {"method": "full", "epochs": 2.0, "learning_rate": 0.0001},
    "phase": "",
    "step": 0,
    "total_steps": 0,
    "reason": "",
    "model_version": None,
    "job": 50,
    "requested_by": "mila",
    "created_at": "2026-11-24T09:05:00Z",
    "finished_at": None,
}
DONE = {
    **EXAMPLE,
    "state": "succeeded",
    "step": 240,
    "total_steps": 240,
    "model_version": 14,
    "finished_at": "2026-11-24T09:31:00Z",
}


class NewTrainingSerializer(serializers.Serializer):
    snapshot = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST, help_text="its number; else the newest"
    )
    base = serializers.CharField(
        default="starter",
        max_length=200,
        help_text="`model:ID`, `starter`, a directory that is allowed, or a Hugging Face name",
    )
    prompt_version = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST, help_text="its number; else the newest that suits"
    )
    preset = serializers.ChoiceField(
        choices=sorted(PRESETS), required=False, help_text="recipe to start from; else one that suits"
    )
    recipe = serializers.DictField(
        required=False, help_text='what of the recipe is to be otherwise, such as `{"epochs": 3}`'
    )
    name = serializers.CharField(required=False, allow_blank=True, max_length=120)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return refuse_unknown(self, values)


class TrainingRunSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=RunState.choices)
    snapshot = serializers.IntegerField(source="snapshot_id")
    base = serializers.CharField()
    prompt_version = serializers.IntegerField(source="prompt_version_id")
    recipe = serializers.DictField()
    phase = serializers.CharField()
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField(help_text="0 where it is not known")
    reason = serializers.CharField(help_text="how it ended, for people")
    model_version = serializers.SerializerMethodField(help_text="what it made, once it succeeded")
    job = serializers.IntegerField(source="job_id", allow_null=True)
    requested_by = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_model_version(self, run: TrainingRun) -> int | None:
        version = getattr(run, "model_version", None)
        return version.pk if version is not None else None

    def get_requested_by(self, run: TrainingRun) -> str | None:
        return run.requested_by.get_username() if run.requested_by is not None else None


def _run(pk: int) -> TrainingRun:
    rows = TrainingRun.objects.select_related("requested_by", "model_version")
    run = rows.filter(pk=pk).first() if pk <= LARGEST else None
    if run is None:
        raise NotFound(f"There is no training run {pk}.")
    return run


class TrainingRunsView(views.ApiView):
    scopes = {"POST": "training:write"}

    @extend_schema(
        operation_id="training_runs_start",
        summary="Start a training run",
        description="The training queue carries it out. Asking for the same while it goes on gives the run there is. "
        "Without `snapshot` it learns from the newest one.",
        tags=["pipelines"],
        parameters=[idempotency.PARAMETER],
        request=NewTrainingSerializer,
        examples=[
            OpenApiExample("start", value={"snapshot": 7, "recipe": {"epochs": 3}}, request_only=True),
            OpenApiExample("newest snapshot", value={}, request_only=True),
        ],
        responses={
            202: OpenApiResponse(TrainingRunSerializer, "", [OpenApiExample("queued", value=EXAMPLE)]),
            404: views.failure("There is no such snapshot.", "not_found", "There is no snapshot 7."),
            409: views.failure(
                "The snapshot is too small (`snapshot_too_small`) or has nothing to choose a checkpoint by "
                "(`snapshot_without_validation`).",
                "snapshot_too_small",
                "Snapshot 7 has 9 training rows; at least 20 are needed.",
            ),
            422: views.failure(
                "A field is wrong.", "invalid", "Recipe: epochs: has to be above 0.", {"recipe": "epochs: …"}
            ),
            **READ_ERRORS,
        },
    )  # fmt: skip
    @idempotency.idempotent
    def post(self, request: Request) -> Response:
        given = NewTrainingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        snapshots = DatasetSnapshot.objects.order_by("-pk")
        number = values.get("snapshot")
        snapshot = snapshots.first() if number is None else snapshots.filter(pk=number).first()
        if snapshot is None:
            raise NotFound(
                "There is no snapshot yet." if number is None else f"There is no snapshot {number}."
            )
        family = family_of(values["base"])
        run = start_training(
            snapshot=snapshot,
            base=values["base"],
            prompt_version=prompt_for(family, values.get("prompt_version")),
            recipe=recipe_for(
                values["base"], family, preset=values.get("preset"), changes=values.get("recipe", {})
            ),
            name=values.get("name", ""),
            actor=request.user,
        )
        answer = Response(TrainingRunSerializer(_run(run.pk)).data, status=202)
        answer["Location"] = reverse("api_training_run", args=[run.pk], request=request)
        return answer


class TrainingRunView(views.ApiView):
    scope = "releases:read"

    @extend_schema(
        operation_id="training_runs_read",
        summary="One training run",
        tags=["pipelines"],
        responses={
            200: OpenApiResponse(TrainingRunSerializer, "", [OpenApiExample("done", value=DONE)]),
            404: views.NOT_FOUND,
            **READ_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(TrainingRunSerializer(_run(pk)).data)
