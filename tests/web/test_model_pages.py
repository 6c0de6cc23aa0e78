from __future__ import annotations

import pytest
from django.test import Client

from models_app.training.registering import store
from tests import make
from tests.pages import markup
from tests.releases.scene import base_model

pytestmark = pytest.mark.django_db


def test_a_model_whose_files_are_missing_is_marked(cast: make.Cast) -> None:
    """As docs/operations.md promises after a restore."""
    lost, kept = base_model(), make.lead_model()
    client = Client()
    client.force_login(cast.ml_engineer)
    assert "files missing" not in markup(client.get("/models/"))
    manifest = store() / lost.artefact / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    try:
        page = markup(client.get("/models/"))
        assert page.count("files missing") == 1, "of the one with weights, not of lead-3"
        assert "files are missing" in markup(client.get(f"/models/{lost.pk}/"))
        assert "files are missing" not in markup(client.get(f"/models/{kept.pk}/"))
    finally:
        manifest.write_bytes(content)
