"""Bodies that no client means: every operation that takes one answers with a refusal of the API's one shape."""

# ruff: noqa: F811  (fixtures of another package)

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import reverse

from models_app.models import ApiToken
from tests import make
from tests.api.conftest import Api, cast, live, one_of_each  # noqa: F401  (fixtures)
from tests.web.test_who_may import addresses

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MB = 1 << 20
_TEXTS = ("text", "title", "edited_text", "comment", "user", "summary")


def bodies() -> dict[str, tuple[bytes, dict[str, str]]]:
    deep = b"[" * (2 * MB) + b"]" * (2 * MB)
    fields = {
        "a NUL": "a\x00b",
        "half a character": "\ud800",
        "texts of 100 KB": "x" * 100_000,
        "a number of 4,000 digits": 10**4000 - 1,
        "a negative number": -(10**30),
        "a list": [[], [[]]],
        "an object": {"a": {"b": None}},
        "nothing": None,
        "true": True,
    }
    names = (
        *_TEXTS, "stars", "ratings", "verdict", "kind", "format", "queue", "since", "until", "comparison",
        "lease_token", "base_revision", "marks", "wants", "snapshot", "max_words", "side", "quote",
        "external_id", "notes", "reason",
    )  # fmt: skip
    made: dict[str, tuple[bytes, dict[str, str]]] = {
        f"{what} everywhere": (json.dumps(dict.fromkeys(names, value)).encode(), {})
        for what, value in fields.items()
    }
    made |= {
        "nested lists": (deep, {}),
        "nested objects": (b'{"text":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, {}),
        "nested just under the parser's limit": (b'{"text":' + b"[" * 900 + b"]" * 900 + b"}", {}),
        "NaN": (b'{"text": NaN, "stars": NaN}', {}),
        "too large a float": (
            b'{"stars": 1e999, "max_words": 1e999, "comparison": 1e999, "text": 1e999}',
            {},
        ),
        "a number of 100,000 digits": (b'{"stars": ' + b"9" * 100_000 + b"}", {}),
        "not UTF-8": (b'{"text": "caf\xe9"}', {}),
        "UTF-16": ('{"text": "x"}'.encode("utf-16"), {}),
        "more than is taken": (b'{"text": "' + b"x" * (6 * MB) + b'"}', {}),
        "packed": (gzip.compress(b'{"text": "' + b"x" * (50 * MB) + b'"}'), {"Content-Encoding": "gzip"}),
        "a list of many": (b"[" + b"{}," * 100_000 + b"{}]", {}),
        "a list": (b"[]", {}),
        "a number": (b"7", {}),
        "null": (b"null", {}),
        "empty": (b"", {}),
    }
    return made


def operations(ids: dict[str, Any]) -> list[tuple[str, str]]:
    """(method, path with a row in it) of all that take a body."""
    found = []
    for path, _, view in addresses():
        if path.startswith("/api/v1/"):
            place = path.split("/")[3]
            here = path
            if place in ids and path.count("/") > 4 and "live" not in path:
                here = "/".join([*path.split("/")[:4], str(ids[place]), *path.split("/")[5:]])
            found += [
                (method, here) for method in ("post", "put", "patch") if hasattr(view.view_class, method)
            ]
    return found


def test_no_body_is_an_error_of_ours(
    cast: make.Cast,
    one_of_each: dict[str, Any],
) -> None:
    cache.clear()
    token = Api(cast.administrator, *ApiToken.SCOPES).token
    client = Client(raise_request_exception=False)
    asked = operations(one_of_each)
    assert len(asked) > 12
    assert ("post", reverse("api_thread_reopen", args=[one_of_each["threads"]])) in asked
    wrong = []
    for what, (body, headers) in bodies().items():
        for method, path in asked:
            for key in ({}, {"Idempotency-Key": "a-1"}):
                with transaction.atomic():
                    cache.clear()
                    answer = getattr(client, method)(
                        path, body, content_type="application/json",
                        headers={"Authorization": f"Token {token}", **headers, **key},
                    )  # fmt: skip
                    transaction.set_rollback(True)
                if answer.status_code >= 500:
                    wrong.append(f"{method} {path}: {what} {key}: {answer.status_code}")
                elif answer.status_code >= 400 and "error" not in answer.json():
                    wrong.append(f"{method} {path}: {what}: {answer.content[:100]!r}")
    assert not wrong, "\n".join(wrong)
