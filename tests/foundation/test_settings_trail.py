"""A start with other settings is an event; secrets are not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_site.env import read_environment
from models_app.foundation.settings_trail import record_settings
from models_app.models import AuditEvent

pytestmark = pytest.mark.django_db
KEY = "a-signing-key-of-at-least-thirty-two-characters"


def words(tmp_path: Path, **written: str) -> dict[str, str]:
    return read_environment({"GALLEY_HOME": str(tmp_path), "GALLEY_SECRET_KEY": KEY, **written}).in_words()


def test_the_first_start_says_all_and_the_next_only_what_changed(tmp_path: Path) -> None:
    first = record_settings(words(tmp_path))
    assert first is not None
    assert first.data["changed"] == {}
    assert first.data["settings"]["GALLEY_API_RATE"] == "600/minute"
    assert record_settings(words(tmp_path)) is None
    second = record_settings(words(tmp_path, GALLEY_API_RATE="60/minute"))
    assert second is not None
    assert second.data["changed"] == {"GALLEY_API_RATE": ["600/minute", "60/minute"]}
    assert (second.actor, second.subject, second.action) == (None, "settings", "settings.change")
    assert AuditEvent.objects.filter(action="settings.change").count() == 2


def test_no_secret_is_in_it_and_another_key_is_seen(tmp_path: Path) -> None:
    secrets = {
        "GALLEY_ADMIN_PASSWORD": "correct horse battery", "DATABASE_URL": "postgres://ada:sesame@db.intern:5432/g?password=pw2",
    }  # fmt: skip
    first = record_settings(words(tmp_path, **secrets))
    assert first is not None
    told = str(first.data)
    for secret in (KEY, "correct horse battery", "sesame", "pw2", "ada"):
        assert secret not in told
    assert first.data["settings"]["DATABASE_URL"] == "postgres://db.intern:5432/g"
    assert first.data["settings"]["GALLEY_ADMIN_PASSWORD"] == "given"
    other = record_settings(words(tmp_path, **secrets) | {"GALLEY_SECRET_KEY": "0" * 16})
    assert other is not None
    assert list(other.data["changed"]) == ["GALLEY_SECRET_KEY"]


def test_where_the_host_of_webhooks_makes_no_sense_galley_does_not_start(tmp_path: Path) -> None:
    from django.core.exceptions import ImproperlyConfigured

    for wrong in ("0.0.0.0/0", "::/0", "10.0.0.0/99", "a host", "https://ci.intern", "ci.intern:8080"):
        with pytest.raises(ImproperlyConfigured, match="GALLEY_WEBHOOK_HOSTS"):
            words(tmp_path, GALLEY_WEBHOOK_HOSTS=wrong)
    found = read_environment({"GALLEY_WEBHOOK_HOSTS": "CI.intern, 10.1.0.0/16,::1"}).webhook_hosts
    assert found.hosts == {"ci.intern"}
    assert [str(network) for network in found.networks] == ["10.1.0.0/16", "::1/128"]
    with pytest.raises(ImproperlyConfigured, match="absolute"):
        words(tmp_path, GALLEY_AUDIT_ANCHOR_FILE="anchors")
