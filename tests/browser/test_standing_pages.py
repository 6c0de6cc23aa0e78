"""What a release's page says of approvals that do not count, and the deployments page of what is in the way."""

from __future__ import annotations

import shutil
from itertools import product

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from models_app.foundation import audit
from models_app.training.registering import store
from tests import make
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless
from tests.releases import scene as scenes

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None) -> scenes.Scene:
    """Two approvals are needed; Ada gave one and left, Alma gave another, and Mila once made her account."""
    the = scenes.scene()
    the.submitted()
    the.approvers_needed(3)
    with transaction.atomic():
        audit.record(
            actor=the.cast.ml_engineer, action="person.create", subject=f"user:{the.cast.administrator.pk}"
        )
    the.approved_by(the.cast.approver)
    the.approved_by(the.cast.another_approver)
    with transaction.atomic():
        audit.record(
            actor=the.cast.ml_engineer,
            action="person.password_link",
            subject=f"user:{the.cast.another_approver.pk}",
        )
    User.objects.filter(pk=the.cast.approver.pk).update(is_active=False)
    scenes.made_live(make.release(the.model))
    scenes.made_live(make.release(scenes.base_model()))
    shutil.rmtree(store() / the.model.artefact)
    return the


def test_pages_have_no_violation_and_nothing_hangs_over(
    enter: Enter, cast: scenes.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models_app.releases.obstacles.STUCK_SECONDS", 0.1)
    values = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    given = {name: values[name] for name in names if values.get(name)}
    with psycopg.connect(**given, application_name="psql") as other:
        other.execute("SELECT FROM models_app_route FOR UPDATE")
        page = enter("alma")
        for path, words in (
            (f"/releases/{cast.candidate.pk}/", "does not count"),
            ("/deployments/", "What is in the way of rolling back"),
        ):
            faultless(page, path, *product(("light", "dark"), (DESKTOP, PHONE)))
            assert words in page.content()
