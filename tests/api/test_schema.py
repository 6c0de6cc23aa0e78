from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.django_db


@cache
def schema_as_json() -> Any:
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def test_the_schema_is_valid_complete_and_without_warnings(tmp_path: Path) -> None:
    path = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    schema = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    operation = schema["paths"]["/api/v1/summaries/"]["post"]
    assert {"201", "401", "403", "409", "413", "422", "429", "503"} <= set(operation["responses"])
    assert operation["security"] == [{"token": []}]
    assert operation["requestBody"]["content"]["application/json"]["examples"]
    assert "/metrics" not in schema["paths"]
    without = [
        (path, method)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if not operation.get("summary") and path.startswith(("/api/v1/summaries", "/api/v1/releases/live"))
    ]
    assert without == []


def test_schema_and_documentation_are_open_to_all(client: Client) -> None:
    assert client.get("/api/schema/").status_code == 200
    assert client.get("/api/docs/").status_code == 200


def test_every_example_is_what_its_schema_says() -> None:
    schema = schema_as_json()
    wrong, seen = [], 0
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            contents = {
                status: answer.get("content", {}) for status, answer in operation["responses"].items()
            }
            contents["request"] = operation.get("requestBody", {}).get("content", {})
            for where, content in contents.items():
                for described in content.values():
                    check = Draft202012Validator({**described["schema"], "components": schema["components"]})
                    for name, example in described.get("examples", {}).items():
                        seen += 1
                        wrong += [
                            f"{method} {path} {where} {name}: {error.message[:200]}"
                            for error in check.iter_errors(example["value"])
                        ]
    assert seen > 250
    assert not wrong, "\n".join(wrong)


def test_every_operation_names_what_any_call_may_fail_with() -> None:
    schema = schema_as_json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            named = set(operation["responses"])
            assert {"400", "401", "403", "406", "429", "503"} <= named, f"{method} {path}"
            if method != "get":
                assert {"409", "413", "415"} <= named, f"{method} {path}"
            assert "404" in named or "{" not in path, f"{method} {path}"
