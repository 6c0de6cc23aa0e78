"""Statements about PostgreSQL itself, which the ORM has no words for."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from models_app.foundation.audit import CHAIN_LOCK
from models_app.models import Deployment, Release, Route

# Reading blocks nobody. A row locked for a foreign key's sake shows as RowShareLock and blocks no switch either, but
# nothing refers to routes: who holds one there has it locked for itself.
_HOLDERS = f"""
SELECT DISTINCT a.pid, a.backend_start, coalesce(a.application_name, ''), coalesce(a.state, ''), a.xact_start
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND (a.xact_start IS NULL OR a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s))
   AND (l.locktype = 'relation' AND l.relation = '{Route._meta.db_table}'::regclass AND l.mode <> 'AccessShareLock'
     OR l.locktype = 'relation'
        AND l.relation IN ('{Release._meta.db_table}'::regclass, '{Deployment._meta.db_table}'::regclass)
        AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
     OR l.locktype = 'advisory' AND l.objid = {CHAIN_LOCK} AND l.classid = 0)
 ORDER BY a.pid
"""  # nosec B608 (names and a number of ours; the value is a parameter)


def sessions_that_hold_what_a_switch_locks(
    *, seconds: float
) -> list[tuple[int, datetime, str, str, datetime | None]]:
    """(process, when it connected, its name, its state, since when) of sessions whose transaction is older."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, {"seconds": seconds})
        return list(cursor.fetchall())


def end_session(*, pid: int, started: datetime) -> bool:
    """False where that session is gone. A later session with the same process number is left alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
            "WHERE pid = %s AND backend_start = %s AND pid <> pg_backend_pid()",
            [pid, started],
        )
        return cursor.fetchone() is not None


def wait_for_locks_at_most(seconds: float) -> None:
    """Until the transaction ends, waiting longer for any lock is an error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])
