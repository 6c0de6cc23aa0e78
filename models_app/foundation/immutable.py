"""SQL that lets the database itself refuse to change what must never change. Used by migrations."""

from __future__ import annotations

FUNCTION = """
CREATE OR REPLACE FUNCTION galley_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""
DROP_FUNCTION = "DROP FUNCTION IF EXISTS galley_refuse_change() CASCADE;"


def refuse_row_changes(table: str) -> tuple[str, str]:
    """(forward, backward) SQL: no UPDATE and no DELETE of rows of `table`."""
    return (
        f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION galley_refuse_change();",
        f"DROP TRIGGER IF EXISTS {table}_immutable ON {table};",
    )


def refuse_truncate(table: str) -> tuple[str, str]:
    return (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION galley_refuse_change();",
        f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table};",
    )


def refuse_update_of(table: str, *columns: str) -> tuple[str, str]:
    """No UPDATE that changes one of `columns`."""
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)
    name = f"{table}_{'_'.join(columns)}_fixed"[:60]
    return (
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({changed}) "
        "EXECUTE FUNCTION galley_refuse_change();",
        f"DROP TRIGGER IF EXISTS {name} ON {table};",
    )


def refuse_delete(table: str) -> tuple[str, str]:
    return (
        f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} FOR EACH ROW "
        "EXECUTE FUNCTION galley_refuse_change();",
        f"DROP TRIGGER IF EXISTS {table}_kept ON {table};",
    )


def refuse_update_where(table: str, name: str, condition: str) -> tuple[str, str]:
    """No UPDATE of a row for which `condition`, over OLD and NEW, holds."""
    return (
        f"CREATE TRIGGER {table}_{name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) "
        "EXECUTE FUNCTION galley_refuse_change();",
        f"DROP TRIGGER IF EXISTS {table}_{name} ON {table};",
    )


def changed(*columns: str) -> str:
    """A condition: one of them is another value than before."""
    return " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns)
