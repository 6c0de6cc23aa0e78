"""What the tests' own database promises to every test."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.models import AuditEvent, Environment, Release
from tests import kept, make


def test_djangos_checks_pass() -> None:
    call_command("check", fail_level="WARNING")


@pytest.mark.django_db
def test_migrations_are_in_step_with_the_tables() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_number", [1, 2])
def test_a_test_with_real_transactions_finds_the_first_rows_and_leaves_nothing(round_number: int) -> None:
    assert not AuditEvent.objects.exists()
    assert Environment.objects.filter(name="production").exists()
    assert Group.objects.filter(name="reviewer").exists()
    record_something()
    assert AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_number", [1, 2])
def test_what_django_itself_put_in_comes_back_too(round_number: int) -> None:
    assert Permission.objects.filter(codename="add_reviewqueue", content_type__model="reviewqueue").exists()
    assert Permission.objects.filter(group__name="reviewer").exists()
    ContentType.objects.all().delete()
    assert not Permission.objects.exists()


def record_something() -> None:
    with transaction.atomic():
        audit.record(actor=None, action="test.note", subject="test:1")


@pytest.mark.django_db(transaction=True)
def test_other_processes_find_the_test_database() -> None:
    record_something()
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM models_app_auditevent").fetchone() == (1,)


made: list[Release] = []


@kept.kept
def a_release_with_a_file() -> tuple[Release, Path]:
    made.append(make.release())
    make.queue(name="Another name")
    path = Path(settings.GALLEY_HOME) / "artefacts" / f"made-{len(made)}" / "weights"
    path.parent.mkdir(parents=True)
    path.write_text("as made")
    return made[-1], path


def spoilt() -> None:
    """What a test does to it, undone but for the file."""
    with transaction.atomic():
        release, path = a_release_with_a_file()
        assert (release.state, path.read_text()) == ("draft", "as made")
        assert Release.objects.get() == release
        assert make.queue().name == "Another name"
        assert [one.name for one in path.parent.iterdir()] == ["weights"]
        make.forced(release, "live")
        path.write_text("spoilt")
        (path.parent / "beside").touch()
        transaction.set_rollback(True)
    assert not Release.objects.exists()


@pytest.mark.parametrize("real_transactions", [False, True])
def test_what_is_kept_is_put_back_as_it_was_made(
    request: pytest.FixtureRequest, tmp_path: Path, real_transactions: bool
) -> None:
    request.getfixturevalue("transactional_db" if real_transactions else "db")
    spoilt()
    kept.copy_what_was_asked_for(tmp_path / "copies")
    before = len(made)
    spoilt()
    spoilt()
    assert len(made) == before
    assert make.queue().name != "Another name"
    with transaction.atomic():
        release, _ = a_release_with_a_file()
        with pytest.raises(IntegrityError, match="does not become"), transaction.atomic():
            Release.objects.filter(pk=release.pk).update(state="live")
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_it_is_made_anew_beside_other_rows_under_other_settings_and_by_another_clock(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt()
    kept.copy_what_was_asked_for(tmp_path / "copies")

    def is_made() -> bool:
        before = len(made)
        with transaction.atomic():
            a_release_with_a_file()
            transaction.set_rollback(True)
        return len(made) > before

    assert not is_made()
    with transaction.atomic():
        make.document()
        assert is_made()
        transaction.set_rollback(True)
    with monkeypatch.context() as clock:
        clock.setattr("django.utils.timezone.now", lambda: datetime(2030, 1, 1, tzinfo=UTC))
        assert is_made()
    assert not is_made()
    settings.GALLEY_EXPORT_DAYS = 1
    assert is_made()


@kept.kept
def what_begins_with_it() -> tuple[Release, Path]:
    release, path = a_release_with_a_file()
    make.document()
    return release, path


@pytest.mark.django_db
def test_what_is_kept_has_the_files_of_what_it_begins_with(tmp_path: Path) -> None:
    for _ in range(3):
        with transaction.atomic():
            _, path = what_begins_with_it()
            assert path.read_text() == "as made"
            shutil.rmtree(path.parent)
            transaction.set_rollback(True)
        kept.copy_what_was_asked_for(tmp_path / "copies")
