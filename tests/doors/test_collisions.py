"""What the database gives up is told in other words than a database that is away, and leaves a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from models_app.foundation.tokens import create_token
from models_app.foundation.unavailability import is_away, unavailable
from models_app.people import accounts
from tests import make
from tests.database import another_session, somebody_waits_for_a_lock
from tests.pages import markup
from tests.process.programs import wait_for


@pytest.fixture
def other(transactional_db: None) -> Iterator[psycopg.Connection]:
    with another_session() as session:
        yield session


def test_who_runs_into_a_deadlock_is_told_to_try_again_and_the_log_says_where(
    other: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Roles are changed under a lock of the administrators' group and of the person; somebody else takes them the
    other way round."""
    cast = make.cast()
    client = Client()
    client.force_login(cast.administrator)
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    person, group = cast.reviewer, Group.objects.get(name="administrator")

    def close_the_circle() -> bool:
        """True where this session is the one that is given up: on a busy machine it may have waited longer."""
        wait_for(somebody_waits_for_a_lock)
        connection.close()  # of this thread
        try:
            other.execute("SELECT FROM auth_group WHERE id = %s FOR UPDATE", (group.pk,))
        except psycopg.errors.DeadlockDetected:
            return True
        return False

    with ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            other.execute("SELECT FROM auth_user WHERE id = %s FOR UPDATE", (person.pk,))
            closing = pool.submit(close_the_circle)
            answer = client.post(f"/people/{person.pk}/roles/", {"roles": "approver"})
            was_other = closing.result(60)
            other.rollback()
            if not was_other:
                break
            accounts.change_roles(person=person, roles=["reviewer"], actor=cast.administrator)
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert "collided" in markup(answer)
    assert "does not answer" not in markup(answer)
    assert "DeadlockDetected" in caplog.text
    assert "in change_roles" in caplog.text
    assert accounts.roles_of(person) == ["reviewer"]
    again = client.post(f"/people/{person.pk}/roles/", {"roles": "approver"})
    assert again.status_code == 302
    assert accounts.roles_of(person) == ["approver"]


@pytest.mark.parametrize("path", ["/releases/", "/api/v1/releases/live/"])
def test_a_statement_that_takes_too_long_is_told_as_such_and_the_log_says_where(
    other: psycopg.Connection, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    cast = make.cast()
    client = Client()
    client.force_login(cast.ml_engineer)
    _, secret = create_token(
        user=cast.ml_engineer, actor=cast.ml_engineer, name="t", days=1, scopes=["releases:read"]
    )
    other.execute("LOCK TABLE models_app_release IN ACCESS EXCLUSIVE MODE")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 300")
    try:
        answer = client.get(path, headers={"Authorization": f"Token {secret}"})
    finally:
        connection.close()
    assert (answer.status_code, answer["Retry-After"]) == (503, "15")
    assert "took too long" in markup(answer)
    assert "QueryCanceled" in caplog.text
    assert "Traceback" in caplog.text


def raised(state: str) -> OperationalError:
    """As Django raises what PostgreSQL says."""
    try:
        raise OperationalError("said") from psycopg.errors.lookup(state)("said")
    except OperationalError as error:
        return error


@pytest.mark.parametrize("state", ["08006", "57P01", "57P03", "53300", "53200"])
def test_a_server_that_ended_or_has_no_room_is_away_and_leaves_one_line(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_away(raised(state))
    error = unavailable(raised(state))
    assert error is not None
    assert "does not answer" in error.message
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03", "57014"])
def test_what_was_given_up_is_not_called_away(state: str) -> None:
    assert not is_away(raised(state))
    error = unavailable(raised(state))
    assert error is not None
    assert "does not answer" not in error.message
    assert error.retry_after >= 1


@pytest.mark.parametrize("state", ["54001", "58030", "55000"])
def test_what_is_no_matter_of_time_stays_an_error(state: str) -> None:
    assert not is_away(raised(state))
    assert unavailable(raised(state)) is None


@pytest.mark.django_db
def test_our_own_mistakes_with_cursors_are_not_called_away() -> None:
    cursor = connection.cursor()
    cursor.close()
    with pytest.raises(InterfaceError) as closed:
        cursor.execute("SELECT 1")
    assert not is_away(closed.value)
    assert unavailable(closed.value) is None


@pytest.mark.django_db(transaction=True)
def test_a_session_that_the_server_ended_is_away() -> None:
    with connection.cursor() as cursor, pytest.raises(OperationalError) as ended:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_away(ended.value)
    with pytest.raises(OperationalError) as closed:
        connection.cursor().execute("SELECT 1")
    assert is_away(closed.value)
    connection.close()
