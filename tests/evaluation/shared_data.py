"""Real texts that lie beside the project, not in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def records(name: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Records of `folder/file`; skips the test where the file is absent."""
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(limit or 10**9), strict=False)]
