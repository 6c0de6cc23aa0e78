"""What the tests' own database promises to every test."""

from __future__ import annotations

import os

import psycopg
import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import transaction

from models_app.foundation import audit
from models_app.models import AuditEvent, Environment


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
