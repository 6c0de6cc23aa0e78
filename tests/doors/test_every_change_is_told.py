"""No account, role, password, second factor, token or webhook changes without an event about it in its transaction.

Twice: by walking through the doors while the database itself looks at every row that changes, and by reading the code
of all use cases.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client

from models_app.models import ApiToken, AuditEvent, PasswordLink, ServiceAccount, WebhookEndpoint
from reviews.loop import sample_workspace
from tests import make
from tests.pages import markup

ROOT = Path(__file__).resolve().parents[2]
NEW_PASSWORD = "quite another long password"

# Table: (what an event about a change of it is about, by the column that says which; the columns that count, all where
# there are none; the last of several is as good).
WATCHED: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "auth_user": ([("user", "id")], ["username", "password", "is_active", "is_superuser", "is_staff"]),
    "auth_user_groups": ([("user", "user_id")], []),
    "auth_user_user_permissions": ([("user", "user_id")], []),
    "mfa_authenticator": ([("user", "user_id")], ["type", "user_id"]),
    "models_app_passwordlink": ([("user", "user_id")], []),
    "models_app_apitoken": (
        [("token", "token_key"), ("serviceaccount", "service_account_id")],
        ["revoked_at", "expiry", "scopes", "name", "user_id"],
    ),
    "models_app_serviceaccount": ([("serviceaccount", "id")], []),
    "models_app_webhookendpoint": (
        [("webhookendpoint", "id")], ["name", "url", "events", "salt", "disabled_at", "previous_salt"],
    ),
}  # fmt: skip
FUNCTIONS = """
CREATE TABLE test_watched (name text);
CREATE FUNCTION test_remember_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- writers of events wait for each other until their transactions end: all that follow are of this one
  PERFORM set_config(
    'galley_test.first', coalesce(nullif(current_setting('galley_test.first', true), ''), NEW.id::text), true);
  RETURN NULL;
END $$;
CREATE TRIGGER test_remember AFTER INSERT ON models_app_auditevent FOR EACH ROW EXECUTE FUNCTION test_remember_event();
CREATE FUNCTION test_require_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  since bigint := nullif(current_setting('galley_test.first', true), '');
  changed jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
  subjects text[] := '{}';
BEGIN
  FOR i IN 0 .. TG_NARGS / 2 - 1 LOOP
    subjects := subjects || (TG_ARGV[2 * i] || ':' || (changed ->> TG_ARGV[2 * i + 1]));
  END LOOP;
  IF NOT EXISTS (SELECT FROM models_app_auditevent WHERE subject = ANY(subjects) AND id >= since) THEN
    RAISE EXCEPTION 'no event about %: % of %', subjects, TG_OP, TG_TABLE_NAME;
  END IF;
  INSERT INTO test_watched VALUES (TG_TABLE_NAME);
  RETURN NULL;
END $$;
"""


def _triggers() -> Iterator[str]:
    for table, (subjects, columns) in WATCHED.items():
        calls = ", ".join(f"'{word}'" for pair in subjects for word in pair)
        what = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        when = (
            " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)
            or "NEW IS DISTINCT FROM OLD"
        )
        for name, event, condition in (("a", "INSERT OR DELETE", ""), ("b", "UPDATE", f"WHEN ({when})")):
            yield (
                f"CREATE CONSTRAINT TRIGGER test_told_{name} AFTER {event} ON {table} {what} {condition} "
                f"EXECUTE FUNCTION test_require_event({calls})"
            )


@pytest.fixture
def watched(transactional_db: None) -> Iterator[make.Cast]:
    cache.clear()
    cast = make.cast()
    with connection.cursor() as cursor:
        cursor.execute(";".join([FUNCTIONS, *_triggers()]))
    yield cast
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP FUNCTION test_remember_event() CASCADE; DROP FUNCTION test_require_event() CASCADE; "
            "DROP TABLE test_watched"
        )


def signed_in(user: User, password: str = make.PASSWORD) -> Client:
    client = Client()
    assert client.post("/accounts/login/", {"login": user.username, "password": password}).status_code == 302
    assert client.post("/accounts/reauthenticate/", {"password": password}).status_code == 302
    return client


def posted(client: Client, path: str, values: dict[str, Any] | None = None, status: int = 302) -> Any:
    answer = client.post(path, values or {})
    assert answer.status_code == status, f"{path}: {answer.status_code} {markup(answer)[:2000]}"
    return answer


def people(cast: make.Cast) -> None:
    alma = signed_in(cast.administrator)
    made = posted(alma, "/people/new/", {"name": "nora", "roles": ["reviewer"]}, 201)
    nora = User.objects.get(username="nora")
    link = re.search(r"http://testserver(/accounts/[^\s<\"]+)", made.content.decode())
    assert link
    somebody = Client()
    somebody.get(link[1])
    posted(somebody, "/accounts/link/", {"password": NEW_PASSWORD, "again": NEW_PASSWORD})
    assert User.objects.get(pk=nora.pk).has_usable_password()
    posted(alma, f"/people/{nora.pk}/roles/", {"roles": ["approver", "operator"]})
    for act in ("deactivate", "activate"):
        posted(alma, f"/people/{nora.pk}/{act}/", {"reason": "for this test"})
    posted(alma, f"/people/{nora.pk}/password-link/", status=201)
    posted(alma, f"/people/{nora.pk}/password-link/", status=201)
    posted(alma, f"/people/{nora.pk}/end-sessions/")


def ones_own(cast: make.Cast) -> None:
    rita = signed_in(cast.reviewer)
    posted(
        rita, "/accounts/password/change/",
        {"oldpassword": make.PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    )  # fmt: skip
    with_second_factor(rita)
    posted(rita, "/accounts/2fa/recovery-codes/generate/")
    codes = RecoveryCodes(cast.reviewer.authenticator_set.get(type="recovery_codes")).get_unused_codes()  # type: ignore[attr-defined]
    again = Client()
    posted(again, "/accounts/login/", {"login": "rita", "password": NEW_PASSWORD})
    posted(again, "/accounts/2fa/authenticate/", {"code": codes[0]})
    assert AuditEvent.objects.filter(action="person.recovery_code_used").count() == 1
    posted(again, "/accounts/2fa/totp/deactivate/")
    posted(again, "/accounts/logout/")


def with_second_factor(client: Client) -> None:
    page = markup(client.get("/accounts/2fa/totp/activate/"))
    secret = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page)
    assert secret
    code = totp.format_hotp_value(totp.hotp_value(secret[1], next(totp.yield_hotp_counters_from_time())))
    posted(client, "/accounts/2fa/totp/activate/", {"code": code})


def lost_factor(cast: make.Cast) -> None:
    with_second_factor(signed_in(cast.another_reviewer))
    posted(signed_in(cast.administrator), f"/people/{cast.another_reviewer.pk}/second-factor/remove/")


def tokens(cast: make.Cast) -> None:
    mila = signed_in(cast.ml_engineer)
    posted(mila, "/tokens/accounts/new/", {"account": "nightly"})
    account = ServiceAccount.objects.get()
    values = {"name": "x", "scopes": ["documents:read"], "days": 30}
    posted(mila, "/tokens/", values, 201)
    posted(mila, "/tokens/", {**values, "service_account": account.pk}, 201)
    posted(mila, f"/tokens/{ApiToken.objects.get(service_account=None).token_key}/revoke/")
    posted(mila, f"/tokens/accounts/{account.pk}/close/")
    assert not ApiToken.objects.filter(revoked_at=None).exists()


def commands(cast: make.Cast) -> None:
    call_command("create_token", "--user", "mila", "--scope", "summaries:write")
    call_command("password_link", "ruben")
    list(sample_workspace.create_sample_accounts())


def webhooks(cast: make.Cast) -> None:
    otto = signed_in(cast.operator)
    form = {"name": "CI", "url": "https://hooks.example.org/", "events": ["release.approved"]}
    posted(otto, "/webhooks/new/", form, 201)
    page = f"/webhooks/{WebhookEndpoint.objects.get().pk}/"
    posted(otto, f"{page}change/", {**form, "name": "Other"})
    posted(otto, f"{page}secret/", status=201)
    posted(otto, f"{page}disable/", {"reason": "for this test"})
    posted(otto, f"{page}enable/")


@pytest.mark.django_db(transaction=True)
def test_the_database_sees_no_change_that_no_event_tells(watched: make.Cast) -> None:
    for act in (people, ones_own, lost_factor, tokens, commands, webhooks):
        act(watched)
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT name FROM test_watched")
        seen = {name for (name,) in cursor.fetchall()}
    # nothing of Galley gives rights beside roles; where a role is changed they are taken
    assert seen == WATCHED.keys() - {"auth_user_user_permissions"}
    for event in AuditEvent.objects.exclude(door="job"):
        assert event.door in ("page", "command", "program"), f"{event}: {event.door}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act",
    [
        lambda cast: User.objects.filter(pk=cast.reviewer.pk).update(is_active=False),
        lambda cast: User.objects.filter(pk=cast.reviewer.pk).update(password="x"),
        lambda cast: cast.reviewer.groups.add(Group.objects.get(name="administrator")),
        lambda cast: PasswordLink.objects.create(
            user=cast.reviewer, digest="x", made_at="2026-01-01T00:00Z", expires_at="2026-01-01T00:00Z"
        ),
        lambda cast: User.objects.create_user("nobody-knows"),
    ],
    ids=["deactivated", "another password", "a role", "a link", "an account"],
)
def test_the_watch_sees_what_is_not_told(watched: make.Cast, act: Callable[[make.Cast], object]) -> None:
    with pytest.raises(DatabaseError, match="no event about"):
        act(watched)


# ---------------------------------------------------------------- all use cases, by reading them

WRITES = {
    "create",
    "bulk_create",
    "save",
    "update",
    "delete",
    "get_or_create",
    "update_or_create",
    "bulk_update",
    "set",
    "add",
}
EVENTS = {"models_app.foundation.audit.record"}
WITHOUT = {
    "models_app.foundation.jobs.enqueue": "the job's row says who asked for what",
    "reviews.quality.agreement_report.start_measuring": "asks for a job, which only counts",
    "reviews.queues.grounding.start_linking": "asks for a job, which only counts",
    "reviews.discussion.comments.reply": "a comment says who wrote it, when, and is kept",
    "reviews.queues.items.put_many": "its caller records it with what it was for",
    "reviews.ingest.life.import_at_once": "a method of imports: those that store the rows record it",
    "reviews.ingest.life.submit": "a file that nobody imported yet; its start, end and discard are events",
}


@dataclass
class Function:
    acts: bool
    writes: bool
    calls: set[str] = field(default_factory=set)


def read() -> dict[str, Function]:
    """By dotted name every function of both apps: whether it is a use case (names an actor), whether it writes rows,
    and whom of the others it calls, by the names that its module imports."""
    found: dict[str, Function] = {}
    for app in ("models_app", "reviews"):
        for path in (ROOT / app).rglob("*.py"):
            if not {"migrations", "web", "api", "management", "models"} & set(path.parts):
                _read(path, found)
    return found


def _read(path: Path, found: dict[str, Function]) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    tree = ast.parse(path.read_text())
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    for node in tree.body:
        for one in [node, *(node.body if isinstance(node, ast.ClassDef) else [])]:
            if isinstance(one, ast.FunctionDef):
                names.setdefault(one.name, f"{module}.{one.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = [one.arg for one in node.args.kwonlyargs]
            known = found.setdefault(f"{module}.{node.name}", Function(False, False))
            known.acts |= "actor" in arguments
            for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
                known.writes |= _calls(call.func, names, known.calls)


def _calls(called: ast.expr, names: dict[str, str], calls: set[str]) -> bool:
    if isinstance(called, ast.Name):
        calls.add(names.get(called.id, called.id))
    elif isinstance(called, ast.Attribute):
        words = ast.unparse(called.value)
        first, _, rest = words.partition(".")
        if first in names:
            calls.add(".".join(part for part in (names[first], rest, called.attr) if part))
        if first == "self" and not rest and called.attr in names:
            calls.add(names[called.attr])
        return called.attr in WRITES and (
            "objects" in words or "filter(" in words or called.attr in ("save", "delete")
        )
    return False


def reaching(functions: dict[str, Function], goal: Callable[[str, Function], bool]) -> set[str]:
    reached = {name for name, function in functions.items() if goal(name, function)}
    while True:
        more = {name for name, one in functions.items() if name not in reached and one.calls & reached}
        if not more:
            return reached
        reached |= more


def test_every_use_case_that_changes_rows_writes_an_event() -> None:
    functions = read()
    tells = reaching(functions, lambda name, one: name in EVENTS)
    changes = reaching(functions, lambda name, one: one.writes)
    acts = {name for name, one in functions.items() if one.acts}
    assert len(acts & changes) > 60, "the reading finds too little"
    assert sorted((acts & changes) - tells) == sorted(WITHOUT)
