"""Documents for the desk, from client programs: one, or a list with a result for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import pagination, views
from models_app.api.authentication import token_of
from models_app.api.errors import flatten
from models_app.api.fields import LONGEST_TEXT, Text
from models_app.api.idempotency import PARAMETER, idempotent
from models_app.foundation.errors import InvalidInput, NotFound
from reviews.ingest import search
from reviews.ingest.documents import DocumentRow, ImportReport, Outcome, import_rows
from reviews.ingest.search import DocumentFilter
from reviews.models import SourceDocument, Split

MOST_DOCUMENTS = 500
API_ORIGIN = "API"
_COLUMNS = (
    "id", "title", "domain", "split", "words", "external_id", "origin", "created_at", "text", "reference", "group_key",
    "licence", "fields", "content_hash", "twin", "twin_share",
)  # fmt: skip


# ---------------------------------------------------------------- what goes in and comes out


class NewDocumentSerializer(serializers.Serializer):
    text = Text(max_length=LONGEST_TEXT, help_text="the article; HTML is taken as text")
    title = Text(max_length=300, required=False, default="", allow_blank=True)
    reference = Text(
        max_length=50_000,
        required=False,
        default="",
        allow_blank=True,
        help_text="a good summary, one sentence a line",
    )
    domain = Text(
        max_length=40, required=False, default="", allow_blank=True, help_text="such as news or business"
    )
    external_id = Text(max_length=120, required=False, default="", allow_blank=True, help_text="your own id")
    group = Text(
        max_length=120,
        required=False,
        default="",
        allow_blank=True,
        help_text="documents of one share their split",
    )
    origin = Text(
        max_length=120,
        required=False,
        default="",
        allow_blank=True,
        help_text="where it is from; else API",
    )
    licence = Text(max_length=120, required=False, default="", allow_blank=True)
    fields = serializers.DictField(  # type: ignore[assignment]  # as in the body
        child=Text(max_length=SourceDocument.LONGEST_LABEL_CHARACTERS, allow_blank=True),
        required=False,
        default=dict,
        help_text=f"anything else by name, such as author or page; at most {SourceDocument.MOST_FIELDS}",
    )

    def row(self, number: int) -> DocumentRow:
        values = self.validated_data
        names = ("text", "title", "reference", "domain", "external_id", "licence", "origin", "fields")
        return DocumentRow(**{name: values[name] for name in names}, group_key=values["group"], number=number)


class DocumentListedSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    title = serializers.CharField(allow_blank=True)
    domain = serializers.CharField()
    split = serializers.ChoiceField(
        choices=Split.choices,
        help_text="set when it came in, for ever: by a hash, or that of a document with nearly the same text; `test` "
        "documents never train",
    )
    words = serializers.IntegerField()
    has_reference = serializers.BooleanField()
    external_id = serializers.CharField(allow_blank=True)
    origin = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class DocumentSerializer(DocumentListedSerializer):
    text = serializers.CharField()
    reference = serializers.CharField(allow_blank=True)
    group = serializers.CharField(source="group_key", allow_blank=True)
    licence = serializers.CharField(allow_blank=True)
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]  # as in the answer
    content_hash = serializers.CharField(help_text="SHA-256 of its words")
    twin = serializers.IntegerField(
        allow_null=True,
        help_text="the document with nearly the same text whose split it joined; null for most",
    )
    twin_share = serializers.FloatField(
        allow_null=True, help_text="0–1: how much of the shorter one's text is in the other"
    )


class DocumentTakenSerializer(DocumentSerializer):
    result = serializers.ChoiceField(
        choices=["imported", "duplicate"],
        help_text="`duplicate`: the same text was there before, and is answered",
    )


class DocumentRefusalSerializer(serializers.Serializer):
    message = serializers.CharField()
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]  # as in errors


class DocumentResultSerializer(serializers.Serializer):
    index = serializers.IntegerField(help_text="place in the list, from 0")
    result = serializers.ChoiceField(choices=["imported", "duplicate", "refused"])
    id = serializers.IntegerField(required=False, help_text="of the new document, or of the one there before")
    split = serializers.ChoiceField(choices=Split.choices, required=False)
    twin = serializers.IntegerField(
        required=False, help_text="the document with nearly the same text whose split it joined"
    )
    twin_share = serializers.FloatField(
        required=False, help_text="0–1: how much of the shorter one's text is in the other"
    )
    error = DocumentRefusalSerializer(required=False)


class DocumentResultsSerializer(serializers.Serializer):
    imported = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = DocumentResultSerializer(many=True)


EXAMPLE_TEXT = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months. Divers found "
    "that 140 of its piles are rotten. The work will cost 3.2 million euros."
)
_ONE = {
    "text": EXAMPLE_TEXT,
    "title": "Old pier to close for nine months",
    "domain": "news",
    "reference": "Nordhaven closes its old pier for nine months.\n140 rotten piles are replaced for 3.2 million euros.",
    "external_id": "article-4711",
    "fields": {"author": "R. Holm"},
}
_LISTED = {
    "id": 17,
    "title": "Old pier to close for nine months",
    "domain": "news",
    "split": "train",
    "words": 33,
    "has_reference": True,
    "external_id": "article-4711",
    "origin": "API",
    "created_at": "2026-11-24T09:30:00Z",
}
_WHOLE = {
    **_LISTED,
    "text": EXAMPLE_TEXT,
    "reference": _ONE["reference"],
    "group": "",
    "licence": "",
    "fields": {"author": "R. Holm"},
    "content_hash": "0f3b0c7f9b6d1a8f5c5c0b7a5f6d2a4f3e8b9c1d7e6f5a4b3c2d1e0f9a8b7c6d",
    "twin": None,
    "twin_share": None,
}
_RESULTS = {
    "imported": 1,
    "duplicates": 1,
    "refused": 1,
    "results": [
        {"index": 0, "result": "imported", "id": 18, "split": "test", "twin": 12, "twin_share": 0.97},
        {"index": 1, "result": "duplicate", "id": 17, "split": "train"},
        {
            "index": 2,
            "result": "refused",
            "error": {
                "message": "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS).",
                "fields": {"text": "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS)."},
            },
        },
    ],
}


# ---------------------------------------------------------------- the views

_DOCUMENT = OpenApiResponse(DocumentSerializer, "The document.", [OpenApiExample("document", value=_WHOLE)])
_SHAPE = views.failure(
    "The document cannot be taken, or the body is neither a document nor a list of them.",
    "invalid",
    "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS).",
    {"text": "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS)."},
)
_READ_ERRORS = {
    401: views.UNAUTHORIZED,
    403: views.FORBIDDEN,
    404: views.NOT_FOUND,
    429: views.THROTTLED,
}


def _filter(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, **more)


class DocumentsView(views.ApiView):
    scopes = {"GET": "documents:read", "POST": "documents:write"}

    @extend_schema(
        operation_id="documents_list",
        summary="Documents, the newest first",
        tags=["documents"],
        parameters=[
            _filter("q", "words of title or beginning, a number, or an `external_id`"),
            _filter("split", "only of this split", enum=Split.values),
            _filter("domain", "only of this domain"),
            _filter("origin", "only of this origin"),
            _filter("reference", "with a reference summary, or without", enum=["yes", "no"]),
            *pagination.PARAMETERS,
        ],
        responses={
            200: pagination.page_of("Documents", DocumentListedSerializer, _LISTED),
            422: views.failure(
                "A filter has a value that there is not.",
                "invalid",
                "There is no split 'dev'.",
                {"split": "…"},
            ),
            **_READ_ERRORS,
        },
    )
    def get(self, request: Request) -> Response:
        values = request.query_params.dict()
        for name, known in (("split", Split.values), ("reference", ["yes", "no"])):
            if values.get(name, "") not in ("", *known):
                message = f"There is no {name} {values[name][:40]!r}; there are {', '.join(known)}."
                raise InvalidInput(message, fields={name: message})
        found = search.find_documents(DocumentFilter.of(values))
        pages = pagination.Pages()
        rows: Any = found.rows
        page: Any = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(DocumentListedSerializer(page, many=True).data)

    @extend_schema(
        operation_id="documents_create",
        summary="Upload a document, or a list of them",
        description=f"One document is answered with it. A list of up to {MOST_DOCUMENTS} is answered with a result for "
        "each: those that are refused hinder no other. The same text is taken once.",
        tags=["documents"],
        parameters=[PARAMETER],
        request=PolymorphicProxySerializer(
            component_name="DocumentOrDocuments",
            serializers=[NewDocumentSerializer, NewDocumentSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        responses={
            200: OpenApiResponse(
                DocumentTakenSerializer,
                "The same text was there before.",
                [OpenApiExample("duplicate", value={**_WHOLE, "result": "duplicate"})],
            ),
            201: OpenApiResponse(
                DocumentTakenSerializer,
                "It is taken; `Location` is its address.",
                [OpenApiExample("taken", value={**_WHOLE, "result": "imported"})],
            ),
            207: OpenApiResponse(
                DocumentResultsSerializer,
                "A result for each document of the list.",
                [OpenApiExample("list", value=_RESULTS)],
            ),
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            409: views.IN_PROGRESS,
            413: views.TOO_LARGE,
            422: _SHAPE,
            429: views.THROTTLED,
            503: views.failure(
                "Another import is bringing in the same documents; `Retry-After` says when to try again.",
                "unavailable",
                "Another import is bringing in the same documents just now. Try again.",
            ),
        },
        examples=[
            OpenApiExample("one", request_only=True, value=_ONE),
            OpenApiExample("list", request_only=True, value=[_ONE, {"text": "Another article …"}]),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        if isinstance(request.data, list):
            return _take_list(request, request.data)
        asked = NewDocumentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        outcome = _take(request, [asked.row(1)])[0]
        if outcome.result == "refused":
            raise InvalidInput(outcome.reason, fields={_public(outcome.field): outcome.reason})
        document = _whole(outcome.document or 0)
        data = DocumentTakenSerializer({**document, "result": outcome.result}).data
        answer = Response(data, status=201 if outcome.result == "imported" else 200)
        answer["Location"] = reverse("api_document", args=[outcome.document])
        return answer


def _take(request: Request, rows: Sequence[DocumentRow]) -> list[Outcome]:
    """The result of each, in the order of the rows."""
    report = ImportReport(outcomes=[])
    import_rows(rows=rows, origin=API_ORIGIN, actor=token_of(request).user, report=report)
    return sorted(report.outcomes or [], key=lambda outcome: outcome.row)


def _take_list(request: Request, given: list[Any]) -> Response:
    if not given or len(given) > MOST_DOCUMENTS:
        message = f"Send 1 to {MOST_DOCUMENTS} documents at a time; these are {len(given):,}."
        raise InvalidInput(message, fields={"non_field_errors": message})
    rows: list[DocumentRow] = []
    results: dict[int, dict[str, Any]] = {}
    for index, item in enumerate(given):
        asked = NewDocumentSerializer(data=item)
        if asked.is_valid():
            rows.append(asked.row(index + 1))
        else:
            fields = flatten(asked.errors)
            results[index] = _refused("Some fields are wrong: " + ", ".join(sorted(fields)) + ".", fields)
    for outcome in _take(request, rows) if rows else []:
        if outcome.result == "refused":
            result = _refused(outcome.reason, {_public(outcome.field): outcome.reason})
        else:
            result = {"result": outcome.result, "id": outcome.document, "split": outcome.split}
            if outcome.twin is not None:
                result |= {"twin": outcome.twin, "twin_share": outcome.share}
        results[outcome.row - 1] = result
    counts = Counter(result["result"] for result in results.values())
    data = {
        "imported": counts["imported"],
        "duplicates": counts["duplicate"],
        "refused": counts["refused"],
        "results": [{"index": index, **results[index]} for index in range(len(given))],
    }
    return Response(DocumentResultsSerializer(data).data, status=207)


def _refused(message: str, fields: Mapping[str, str]) -> dict[str, Any]:
    return {"result": "refused", "error": {"message": message, "fields": fields}}


def _public(name: str) -> str:
    """The API's name of a document's field."""
    return "group" if name == "group_key" else name


def _whole(pk: int) -> dict[str, Any]:
    document = SourceDocument.objects.filter(pk=pk).values(*_COLUMNS).first()
    if document is None:
        raise NotFound("There is nothing here.")
    return {**document, "has_reference": bool(document["reference"])}


class DocumentView(views.ApiView):
    scope = "documents:read"

    @extend_schema(
        operation_id="documents_retrieve",
        summary="One document",
        tags=["documents"],
        responses={200: _DOCUMENT, **_READ_ERRORS},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(DocumentSerializer(_whole(pk)).data)
