"""The import contract of `pyproject.toml` knows every package of both apps."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Of Django itself, and imported by nothing of ours.
NO_PART = {"apps", "migrations", "__init__"}


def in_layers(app: str) -> set[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one.get("containers") == [app]]
    return {name for layer in layers for name in re.findall(r"\w+", layer)}


@pytest.mark.parametrize("app", ["reviews", "models_app"])
def test_every_package_and_module_of_an_app_has_a_layer(app: str) -> None:
    there = {path.parent.name for path in (ROOT / app).glob("*/__init__.py")}
    there |= {path.stem for path in (ROOT / app).glob("*.py")}
    assert in_layers(app) == there - NO_PART


def test_layers_hold_for_imports_for_types_too() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert not linter.get("exclude_type_checking_imports")
