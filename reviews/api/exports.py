"""Exports by program: ask for a file, watch it being written in the queue, fetch it.

What somebody may take out, and when a file is gone, is decided in `reviews.exports.requests` and
`reviews.exports.request`, as for the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import pagination, views
from models_app.api.authentication import token_of
from models_app.api.idempotency import PARAMETER, idempotent
from reviews.exports import requests
from reviews.exports.download import download_of
from reviews.exports.request import FORMATS, KINDS, TRAINING, may_export_all
from reviews.exports.request import Request as ExportRequest
from reviews.models import Export, Split

LARGEST = 2**63 - 1
STATES = {
    "waiting": "for the queue",
    "writing": "`progress` says how far it is",
    "ready": "`file` is its address until `expires_at`",
    "removed": "its time is over, or it was removed",
    "failed": "`error` says why",
    "cancelled": "nothing of it was kept",
}


def _listed(words: Mapping[str, str]) -> str:
    return "; ".join(f"`{name}`: {meaning}" for name, meaning in words.items())


# ---------------------------------------------------------------- what goes in and comes out


class NewExportSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=list(KINDS), help_text=_listed(KINDS))
    format = serializers.ChoiceField(choices=list(FORMATS), default="jsonl", help_text=_listed(FORMATS))
    compressed = serializers.BooleanField(default=False, help_text="JSON Lines or CSV packed with gzip")
    queue = serializers.SlugField(default="", allow_blank=True, help_text="only this queue's; else all")
    since = serializers.DateField(
        default=None, allow_null=True, help_text="submitted (training data: decided) on this day or later"
    )
    until = serializers.DateField(default=None, allow_null=True, help_text="on this day or earlier")
    mine = serializers.BooleanField(
        required=False,
        help_text="only your own; the only ones you may have without the right to manage queues, and then the default",
    )
    reviewers = serializers.ChoiceField(
        choices=["pseudonyms", "names"], default="pseudonyms", help_text="how reviewers are called"
    )
    texts = serializers.BooleanField(default=True, help_text="with the articles")
    snapshot = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=LARGEST,
        help_text="training data: the rows of this snapshot as it was frozen; else what is approved now",
    )  # fmt: skip
    split = serializers.ChoiceField(
        choices=Split.choices,
        default="train",
        help_text="training data in one file: train or validation; `test` is refused",
    )
    prompt = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=LARGEST,
        help_text="training data: id of the prompt version around the article; else the newest that suits",
    )  # fmt: skip
    max_words = serializers.IntegerField(
        default=60,
        min_value=1,
        max_value=2000,
        help_text="training data: for `{max_words}` in the prompt",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """A mistyped filter is no filter: the file would quietly hold more than was meant."""
        unknown = {name: "There is no such field." for name in self.initial_data if name not in self.fields}
        if unknown:
            raise serializers.ValidationError(unknown)
        return values


class WrittenSerializer(serializers.Serializer):
    done = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0 while it is not known")


class ExportSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=list(KINDS))
    format = serializers.ChoiceField(choices=list(FORMATS))
    asked = serializers.DictField(source="options", help_text="the whole request, as it was understood")
    state = serializers.SerializerMethodField(help_text=_listed(STATES))
    progress = serializers.SerializerMethodField(help_text="rows read, while it is being written")
    error = serializers.SerializerMethodField(help_text="why it failed, for people")
    rows = serializers.IntegerField(allow_null=True, help_text="once it is written")
    bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.SerializerMethodField(help_text="of the file")
    file = serializers.SerializerMethodField(help_text="where to fetch it")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="the file is removed then")

    @extend_schema_field(serializers.ChoiceField(choices=list(STATES)))
    def get_state(self, export: Export) -> str:
        return requests.status_of(export)

    @extend_schema_field(WrittenSerializer(allow_null=True))
    def get_progress(self, export: Export) -> dict[str, int] | None:
        if requests.status_of(export) != "writing" or export.job is None:
            return None
        return {"done": export.job.step, "total": export.job.total}

    def get_error(self, export: Export) -> str | None:
        failed = requests.status_of(export) == "failed" and export.job is not None
        return export.job.reason if failed and export.job is not None else None

    def get_sha256(self, export: Export) -> str | None:
        return export.digest or None

    @extend_schema_field({"type": ["string", "null"], "format": "uri-reference"})
    def get_file(self, export: Export) -> str | None:
        ready = requests.status_of(export) == "ready"
        return reverse("api_export_file", args=[export.pk]) if ready else None


_ASKED = {
    "kind": "reviews",
    "format": "jsonl",
    "compressed": True,
    "queue": "new-drafts",
    "since": "2026-11-01",
    "until": None,
    "mine": False,
    "reviewers": "pseudonyms",
    "texts": True,
    "snapshot": None,
    "split": "train",
    "prompt": None,
    "max_words": 60,
}
_WAITING = {
    "id": 12,
    "kind": "reviews",
    "format": "jsonl",
    "asked": _ASKED,
    "state": "waiting",
    "progress": None,
    "error": None,
    "rows": None,
    "bytes": None,
    "sha256": None,
    "file": None,
    "created_at": "2026-11-24T09:30:00Z",
    "finished_at": None,
    "expires_at": None,
}
_READY = {
    **_WAITING,
    "state": "ready",
    "rows": 1840,
    "bytes": 911202,
    "sha256": "0f3b0c7f9b6d1a8f5c5c0b7a5f6d2a4f3e8b9c1d7e6f5a4b3c2d1e0f9a8b7c6d",
    "file": "/api/v1/exports/12/file/",
    "finished_at": "2026-11-24T09:30:04Z",
    "expires_at": "2026-12-01T09:30:04Z",
}

# ---------------------------------------------------------------- the views

_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 404: views.NOT_FOUND, 429: views.THROTTLED}
_NOT_YOURS = views.failure(
    "The token lacks the scope, or your role does not allow it.",
    "forbidden",
    "You can export your own reviews; those of others need the right to manage queues.",
)


class ExportsView(views.ApiView):
    scope = "exports:write"

    @extend_schema(
        operation_id="exports_list",
        summary="Your exports, the newest first",
        tags=["exports"],
        parameters=pagination.PARAMETERS,
        responses={
            200: pagination.page_of("Exports", ExportSerializer, _READY),
            **_ERRORS,
        },
    )
    def get(self, request: Request) -> Response:
        pages = pagination.Pages()
        rows = pages.paginate_queryset(requests.exports_of(token_of(request).user), request, view=self)
        return pages.get_paginated_response(ExportSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="exports_create",
        summary="Ask for a file, which the queue writes",
        description="Ask its address (`Location`) how far it is. The same request while the first is under way is "
        f"answered with that one. At most {requests.MOST_AT_ONCE} of yours are written at a time.",
        tags=["exports"],
        parameters=[PARAMETER],
        request=NewExportSerializer,
        examples=[
            OpenApiExample(
                "reviews",
                request_only=True,
                value={name: _ASKED[name] for name in ("kind", "queue", "since", "compressed")},
            ),
            OpenApiExample("snapshot", request_only=True, value={"kind": "sft", "snapshot": 7}),
        ],
        responses={
            202: OpenApiResponse(
                ExportSerializer, "It is asked for.", [OpenApiExample("waiting", value=_WAITING)]
            ),
            401: views.UNAUTHORIZED,
            403: _NOT_YOURS,
            409: views.failure(
                "Too many of yours are being written, or the first request with this Idempotency-Key still runs.",
                "refused",
                f"{requests.MOST_AT_ONCE} exports of yours are being written. Wait for one, or cancel it.",
            ),
            413: views.TOO_LARGE,
            422: views.failure(
                "A field is wrong.",
                "invalid",
                "There is no queue 'nowhere'.",
                {"queue": "There is no queue 'nowhere'."},
            ),
            429: views.THROTTLED,
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        asked = NewExportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user, values = token_of(request).user, dict(asked.validated_data)
        whose = values["kind"] not in TRAINING and not may_export_all(user)
        values.setdefault("mine", whose)
        export = requests.request_export(request=ExportRequest(**values), actor=user)
        answer = Response(ExportSerializer(export).data, status=202)
        answer["Location"] = reverse("api_export", args=[export.pk])
        return answer


class ExportView(views.ApiView):
    scope = "exports:write"

    @extend_schema(
        operation_id="exports_retrieve",
        summary="How far an export is, and where its file is",
        tags=["exports"],
        responses={
            200: OpenApiResponse(
                ExportSerializer,
                "It is yours.",
                [
                    OpenApiExample("ready", value=_READY),
                    OpenApiExample(
                        "writing",
                        value={**_WAITING, "state": "writing", "progress": {"done": 500, "total": 1840}},
                    ),
                ],
            ),
            **_ERRORS,
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(ExportSerializer(requests.own_export(pk=pk, actor=token_of(request).user)).data)

    @extend_schema(
        operation_id="exports_destroy",
        summary="Stop an export that is being written, or remove its file before its time",
        description="What is being written stops within moments: its `state` becomes `cancelled`. Of one that failed, "
        "or is gone already, nothing is left to remove.",
        tags=["exports"],
        responses={
            204: OpenApiResponse(None, "Done, or the job that writes it is asked to stop."),
            409: views.failure("It has just ended.", "refused", "Job 31 is already succeeded."),
            **_ERRORS,
        },
    )
    def delete(self, request: Request, pk: int) -> Response:
        user = token_of(request).user
        export = requests.own_export(pk=pk, actor=user)
        state = requests.status_of(export)
        if state in ("waiting", "writing"):
            requests.cancel(export=export, actor=user)
        elif state == "ready":
            requests.remove(export=export, actor=user)
        return Response(status=204)


class _WhateverIsAccepted(DefaultContentNegotiation):
    """A file has the type it was asked for with; errors are JSON, also for who accepts only CSV."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ExportFileView(views.ApiView):
    scope = "exports:write"
    content_negotiation_class = _WhateverIsAccepted

    @extend_schema(
        operation_id="exports_file",
        summary="The file",
        description="Streamed. `Content-Disposition` has its name, `Repr-Digest` (RFC 9530) its SHA-256.",
        tags=["exports"],
        responses={
            **{
                (200, kind): OpenApiResponse(OpenApiTypes.BINARY, "The file.")
                for kind in ("application/jsonl", "text/csv", "application/gzip", "application/zip")
            },
            401: views.UNAUTHORIZED,
            403: _NOT_YOURS,
            404: views.NOT_FOUND,
            409: views.failure(
                "It is not written yet, or not kept any more (`expired`).",
                "not_ready",
                "This file is not written yet.",
            ),
            429: views.THROTTLED,
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        user = token_of(request).user
        return download_of(export=requests.own_export(pk=pk, actor=user), actor=user)
