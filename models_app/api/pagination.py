"""Long lists go out in pages: how long one is, and what the schema says of it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


PARAMETERS = [
    OpenApiParameter("page", OpenApiTypes.INT, description="from 1"),
    OpenApiParameter(
        "page_size",
        OpenApiTypes.INT,
        description=f"{Pages.page_size} unless given, at most {Pages.max_page_size}",
    ),
]


def page_of(name: str, row: type[serializers.Serializer], example: Any) -> OpenApiResponse:
    """A page of results in the schema, with one row as its example."""
    page: dict[str, serializers.Field] = {
        "count": serializers.IntegerField(),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": row(many=True),
    }
    shown = {"count": 1, "next": None, "previous": None, "results": [example]}
    return OpenApiResponse(
        inline_serializer(name, page), examples=[OpenApiExample(name.lower(), value=shown)]
    )
