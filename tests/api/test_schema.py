from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_complete_and_without_warnings(tmp_path: Path) -> None:
    path = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    schema = yaml.safe_load(path.read_text())
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
