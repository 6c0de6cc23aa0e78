"""What many tests begin with, made once by the use cases and then put back row by row.

`@kept` stands on a function that makes rows in an empty installation, `tests.releases.scene.scene` for one. The first
test that calls it makes them. Before the next test they are made once more, copied with what was written to disk, and
undone; from then on a call puts the copies back, which takes a twentieth of the time. The constraints look at the rows
as at any others.

They are made again wherever a copy would be something else: beside rows that are there already, under other settings,
by another clock.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.conf import UserSettingsHolder, settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from tests.database import FirstRows

P = ParamSpec("P")
T = TypeVar("T")
Call = tuple[Callable[..., Any], tuple[Any, ...], frozenset[tuple[str, Any]]]

_now = timezone.now
_numbers = itertools.count(1)
_copies: dict[Call, Copy] = {}
_asked_for: list[Call] = []
#: Of what is just being copied, and of what that is a part of.
_files_of: list[dict[Path, Path]] = []
#: Of the database of this process, once there is one.
first_rows: list[FirstRows] = []


@dataclass(frozen=True)
class Copy:
    value: Any
    put_back: str
    files: dict[Path, Path]  # where they belong → where their copy lies

    def restored(self) -> Any:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self.put_back)
        for outer in _files_of:
            outer.update(self.files)
        for place, copied in self.files.items():
            if place.is_dir():
                shutil.rmtree(place)
            _copy(copied, place)
        return copy.deepcopy(self.value)


def kept(make: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _as_at_first():
            return make(*args, **kwargs)
        call = (make, args, frozenset(kwargs.items()))
        if call in _copies:
            value: T = _copies[call].restored()
            return value
        if call not in _asked_for:
            _asked_for.append(call)
        return make(*args, **kwargs)

    return made


def _as_at_first() -> bool:
    if (
        not first_rows
        or isinstance(vars(settings)["_wrapped"], UserSettingsHolder)
        or timezone.now is not _now
    ):
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned()")
        nothing_written = cursor.fetchone() == (None,)
        # Where a test's own transaction has written nothing, there is nothing: the tests before it left nothing.
        return (connection.in_atomic_block and nothing_written) or not first_rows[0].changed(cursor)


def copy_what_was_asked_for(beside: Path) -> None:
    """Between two tests, when nothing of a test is in force. Copies of files go to the directory `beside`."""
    while _asked_for:
        call = _asked_for.pop()
        _copies[call] = _copied(call, beside)


def _copied(call: Call, beside: Path) -> Copy:
    make, args, kwargs = call
    home, number = Path(settings.GALLEY_HOME), next(_numbers)
    before, files = _paths(home), dict[Path, Path]()
    with transaction.atomic(), connection.cursor() as cursor:
        _files_of.append(files)
        try:
            value = copy.deepcopy(make(*args, **dict(kwargs)))
        finally:
            _files_of.pop()
        tables = first_rows[0].changed(cursor)
        rows = {table: _read(cursor.cursor, table) for table in tables}
        transaction.set_rollback(True)
    copies = _write(number, rows)
    for place in _of_their_own(_paths(home) - before, home):
        files[place] = beside / str(number) / place.relative_to(home)
        _copy(place, files[place])
    return Copy(value, first_rows[0].copies_in(tables, copies), files)


def _of_their_own(new: set[Path], home: Path) -> list[Path]:
    """What can be taken away as a whole: not the directories of `home`, which others write into, too."""
    depths = {path: len(path.relative_to(home).parts) for path in new}
    return sorted(
        path
        for path, depth in depths.items()
        if (path.is_file() if depth == 1 else depth == 2 or path.parent not in new)
    )


def _read(cursor: Any, table: str) -> bytes:
    with cursor.copy(
        f'COPY (SELECT {first_rows[0].columns[table]} FROM "{table}") TO STDOUT (FORMAT binary)'
    ) as out:
        return b"".join(bytes(block) for block in out)


def _write(number: int, rows: dict[str, bytes]) -> dict[str, str]:
    """In a transaction of its own, so that they are there for all tests that follow; returns the copies by table.

    Their names are no table's: who looks into PostgreSQL's catalogue by the name alone finds none of them.
    """
    copies: dict[str, str] = {}
    with psycopg.connect(os.environ["DATABASE_URL"]) as another, another.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"kept_{number}")))
        for table, content in rows.items():
            name = sql.Identifier(f"kept_{number}", f"copy_{len(copies) + 1}")
            cursor.execute(
                sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {})").format(name, sql.Identifier("public", table))
            )
            columns = sql.SQL(first_rows[0].columns[table])
            with cursor.copy(
                sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, columns)
            ) as into:
                into.write(content)
            copies[table] = name.as_string(another)
    return copies


def _paths(home: Path) -> set[Path]:
    return set(home.rglob("*"))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
