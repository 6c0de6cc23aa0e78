"""The tests' databases on a server that several runs share: made from a template, cleaned up, kept apart."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.apps import apps
from django.core.management.commands import flush as flush_command
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Model
from psycopg import sql

# Any numbers that nothing else on this server locks.
LOCK = 20_26
TEMPLATE_LOCK = 20_28
KEPT_TEMPLATES = 4
READ_BY_MIGRATIONS = (
    "models_app/foundation/immutable.py", "models_app/foundation/roles.py", "models_app/foundation/seeds.py",
    "models_app/foundation/tables.py", "models_app/models/access.py", "reviews/seeds.py",
)  # fmt: skip
# Rows that are never deleted need no index for the keys that refer to them. Tests delete them: without one, each row
# that goes has a whole table looked through.
INDEX_EVERY_KEY = """
DO $$
DECLARE key record;
BEGIN
  FOR key IN
    SELECT conrelid::regclass AS referring, attname AS field
      FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
     WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
       SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1] AND indpred IS NULL)
  LOOP
    EXECUTE format('CREATE INDEX ON %s (%I)', key.referring, key.field);
  END LOOP;
END $$
"""


def template_name() -> str:
    """Differs with every migration of any app, so that a template is never out of date."""
    digest = hashlib.sha256(version("django").encode())
    for app in sorted(apps.get_app_configs(), key=lambda app: app.name):
        for path in sorted((Path(app.path) / "migrations").glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    for module in READ_BY_MIGRATIONS:
        digest.update((Path(__file__).parent.parent / module).read_bytes())
    return f"galley_template_{digest.hexdigest()[:16]}"


def has_template(url: str, name: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        return _exists(connection, name)


@contextlib.contextmanager
def alone_with_templates(url: str) -> Iterator[None]:
    """The first that finds no template makes it, which takes a processor some seconds; all others wait for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        yield


def keep_as_template(url: str, database: str, name: str) -> None:
    """Copies a freshly migrated database, to which nobody may be connected, and drops the oldest copies."""
    with _alone(url) as connection:
        if not _exists(connection, name):
            _copy(connection, database, name)
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'galley_template_%%' ORDER BY oid DESC OFFSET %s",
            (KEPT_TEMPLATES,),
        ).fetchall()
        for (old,) in rows:
            _drop(connection, old)


def drop_what_dead_runs_left(url: str, homes: Path) -> None:
    with _alone(url) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^test_galley_[0-9]+'"
        ).fetchall()
        for (name,) in rows:
            if not psutil.pid_exists(_pid(name)):
                _drop(connection, name)
    for home in homes.glob("[0-9]*"):
        if not psutil.pid_exists(_pid(home.name)):
            shutil.rmtree(home, ignore_errors=True)


def end_sessions(url: str, database: str) -> None:
    """Threads and processes of tests may have left some open; the database could not be dropped."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,)
        )


def somebody_waits_for_a_lock() -> bool:
    """In the database of this test."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees one state all along
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone() != (0,))


@contextlib.contextmanager
def another_session(*statements: str) -> Iterator[psycopg.Connection]:
    """Somebody's psql on the database of this test, with an open transaction."""
    values = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    other = psycopg.connect(
        **{name: values[name] for name in names if values.get(name)}, application_name="psql"
    )
    try:
        for statement in statements:
            other.execute(statement)
        yield other
    finally:
        other.close()


@dataclass(frozen=True)
class FirstRows:
    """What the migrations put into the tables of `public`, kept in tables of the same names in the schema `first_rows`.

    Lets tests with real transactions clean up after themselves. Django truncates every table then: the append-only
    tables refuse it, it costs a tenth of a second, and what the migrations put in would be gone for the tests that
    follow. Here only the tables that changed are put back.
    """

    tables: list[str]
    #: Of those that have rows at first.
    kept: frozenset[str]
    #: Without the columns that the database computes.
    columns: dict[str, str]
    #: Have triggers of ours for rows that come, and for rows that go.
    guarded_against_insert: frozenset[str]
    guarded_against_delete: frozenset[str]
    #: With keys that are looked at with each statement, not at the end: what refers goes first and comes back last.
    referring: frozenset[str]

    @classmethod
    def keep(cls, connection: BaseDatabaseWrapper) -> FirstRows:
        with connection.cursor() as cursor:
            cursor.execute(INDEX_EVERY_KEY)
            cursor.execute("CREATE SCHEMA first_rows")
            # Not Django's list of its tables: it lacks those of a library's swapped models.
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            tables = [table for (table,) in cursor.fetchall() if table != "django_migrations"]
            kept = set()
            for table in tables:
                cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
                if cursor.fetchone() == (True,):
                    kept.add(table)
                    cursor.execute(f'CREATE TABLE first_rows."{table}" AS TABLE "{table}"')
            cursor.execute(
                "SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) "
                "FROM information_schema.columns "
                "WHERE table_schema = 'public' AND is_generated = 'NEVER' GROUP BY table_name"
            )
            columns = dict(cursor.fetchall())
            cursor.execute(
                "SELECT relname, bool_or(tgtype & 4 > 0), bool_or(tgtype & 8 > 0) "
                "FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal GROUP BY relname"
            )
            guards = cursor.fetchall()
            cursor.execute(
                "SELECT DISTINCT relname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid "
                "WHERE contype = 'f' AND NOT condeferrable"
            )
            return cls(
                tables,
                frozenset(kept),
                columns,
                guarded_against_insert=frozenset(table for table, insert, _ in guards if insert),
                guarded_against_delete=frozenset(table for table, _, delete in guards if delete),
                referring=frozenset(table for (table,) in cursor.fetchall()),
            )

    @cached_property
    def _find_changed(self) -> str:
        return " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (({rows} EXCEPT {first}) UNION ALL ({first} EXCEPT {rows}))"
            if table in self.kept
            else f"SELECT '{table}' WHERE EXISTS ({rows})"
            for table in self.tables
            for rows, first in [(f'TABLE "{table}"', f'TABLE first_rows."{table}"')]
        )

    def changed(self, cursor: CursorWrapper) -> list[str]:
        """The tables with other rows than at first, in the order in which they may be emptied."""
        cursor.execute(self._find_changed)
        return sorted(
            (table for (table,) in cursor.fetchall()), key=lambda table: table not in self.referring
        )

    def first_rows_in(self, tables: list[str]) -> str:
        """Statements that leave in `tables` the first rows alone."""
        return self._put_back(tables, tables, {table: f'first_rows."{table}"' for table in self.kept})

    def copies_in(self, tables: list[str], copies: dict[str, str]) -> str:
        """Statements that leave in `tables` what is in their copies, by table, where the first rows alone are."""
        return self._put_back(tables, [table for table in tables if table in self.kept], copies)

    def _put_back(self, tables: list[str], full: list[str], copies: dict[str, str]) -> str:
        """Only where a trigger would speak up is it switched off: that costs more than to put a table's rows back."""
        come = [table for table in reversed(tables) if table in copies]
        guarded = sorted(
            (self.guarded_against_delete & set(full)) | (self.guarded_against_insert & set(come))
        )
        return ";".join(
            [
                "SET CONSTRAINTS ALL DEFERRED",  # tables are emptied in any order
                *(f'ALTER TABLE "{table}" DISABLE TRIGGER USER' for table in guarded),
                *(f'DELETE FROM "{table}"' for table in full),
                *(
                    f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM {copies[table]}'
                    for table in come
                    for columns in [self.columns[table]]
                ),
                # A table's triggers cannot be enabled while a deferred check of its rows waits.
                "SET CONSTRAINTS ALL IMMEDIATE",
                *(f'ALTER TABLE "{table}" ENABLE TRIGGER USER' for table in guarded),
            ]
        )

    def bring_back_after_flush(self, connection: BaseDatabaseWrapper) -> None:
        lock = "LOCK TABLE " + ", ".join(f'"{table}"' for table in self.tables) + " IN EXCLUSIVE MODE"

        def flush(operations: Any, sql_list: Iterable[str]) -> None:
            here = operations.connection
            with transaction.atomic(using=here.alias), here.cursor() as cursor:
                cursor.execute(lock)
                cursor.execute(self.first_rows_in(self.changed(cursor)))

        # On the class: where Playwright's event loop runs, Django opens a connection of its own.
        type(connection.ops).execute_sql_flush = flush  # type: ignore[method-assign, assignment]
        # Django would then look for each permission and content type again, at three times the cost of all the rest.
        flush_command.emit_post_migrate_signal = lambda *args: None  # type: ignore[attr-defined]


@contextlib.contextmanager
def _alone(url: str) -> Iterator[psycopg.Connection]:
    """No other run makes or drops databases meanwhile."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        yield connection


def _exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _copy(connection: psycopg.Connection, source: str, name: str) -> None:
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
    )


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _pid(name: str) -> int:
    return int(re.findall(r"\d+", name)[0])


@contextlib.contextmanager
def without_guards(*models: type[Model]) -> Iterator[None]:
    """What somebody can do who owns these tables and switches their triggers off."""
    tables = [model._meta.db_table for model in models]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
        yield
        for table in tables:
            cursor.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
