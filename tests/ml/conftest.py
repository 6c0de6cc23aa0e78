from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models_app.ml import starter


@pytest.fixture(scope="session")
def starter_dir(pytestconfig: pytest.Config) -> Path:
    """The starter model, kept between test runs as long as the code that makes it stays the same."""
    code = hashlib.sha256(Path(starter.__file__).read_bytes()).hexdigest()[:12]
    assert pytestconfig.cache is not None
    return starter.prepare_starter(Path(pytestconfig.cache.mkdir(f"starter-{code}")))
