from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from llmops_site.env import FIELDS, read_environment


def test_defaults_make_an_installation() -> None:
    env = read_environment({})
    assert (env.port, env.host, env.split_shares, env.sample) == (8000, "127.0.0.1", (70, 10, 20), True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GALLEY_PORT", "80000", "whole number from 1 to 65535"),
        ("GALLEY_PORT", "eighty", "whole number"),
        ("GALLEY_DEBUG", "maybe", "yes or no"),
        ("GALLEY_SPLIT_SHARES", "70/10/10", "add up to 100"),
        ("GALLEY_DEVICE", "tpu", "auto, cpu, cuda"),
        ("GALLEY_TIME_ZONE", "Mars/Olympus", "time zone"),
        ("GALLEY_PUBLIC_URL", "galley.example.org", "https://"),
        ("GALLEY_API_RATE", "many", "600/minute"),
        ("GALLEY_SECRET_KEY", "short", "at least 32"),
        ("GALLEY_TRUSTED_PROXIES", "proxy.example.org", "127.0.0.1,10.0.0.0/8"),
        ("GALLEY_TRUSTED_PROXIES", "10.0.0.1,0.0.0.0/0", "not everybody"),
        ("DATABASE_URL", "mysql://localhost/galley", "PostgreSQL only"),
    ],
)
def test_nonsense_is_refused_with_what_to_write(name: str, value: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name) as refused:
        read_environment({name: value})
    assert says in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_environment({"GALLEY_PORT": "x", "GALLEY_DEBUG": "x", "GALLEY_PROT": "8000"})
    text = str(refused.value)
    assert text.count("\n") == 3
    assert "GALLEY_PROT is not a setting of Galley. Did you mean GALLEY_PORT?" in text


def test_a_key_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    environ = {"GALLEY_HOME": str(tmp_path / "home")}
    key = read_environment(environ).secret_key
    assert len(key) > 50
    assert read_environment(environ).secret_key == key
    assert stat.S_IMODE((tmp_path / "home" / "secret_key").stat().st_mode) == 0o600


def test_every_setting_says_what_it_means() -> None:
    assert all(field.meaning for field in FIELDS)
    assert len({field.name for field in FIELDS}) == len(FIELDS)
