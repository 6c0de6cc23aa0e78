"""What the embedded database server is told before Django can use it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql


def make_role_and_database(connection: psycopg.Connection[Any], *, role: str, database: str) -> None:
    """Where they are not there yet. The connection is the server's owner's; the ORM has no words for roles.

    The role is no superuser, so that the rules in the database bind the application too; CREATEDB is for tests.
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s), "
        "EXISTS (SELECT FROM pg_database WHERE datname = %s)",
        (role, database),
    ).fetchone()
    has_role, has_database = row or (False, False)
    if not has_role:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(role)))
    if not has_database:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(role))
        )
