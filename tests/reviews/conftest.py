from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings


@pytest.fixture
def empty_store() -> Iterator[None]:
    yield
    shutil.rmtree(Path(settings.GALLEY_HOME) / "exports", ignore_errors=True)
