"""Statements about PostgreSQL itself, which the ORM has no words for, and digests of texts that stay in it."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from models_app.foundation.statements import CHAIN_LOCK
from models_app.models import (
    Deployment,
    EvaluationExample,
    ExampleScore,
    Release,
    Route,
    SnapshotExample,
)

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
    """(process, when it connected, its name, its state, since when) of sessions whose transaction is older. The ORM has
    no words for sessions and locks."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, {"seconds": seconds})
        return list(cursor.fetchall())


def end_session(*, pid: int, started: datetime) -> bool:
    """False where that session is gone. A later session with the same process number is left alone. The ORM has no
    words for sessions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
            "WHERE pid = %s AND backend_start = %s AND pid <> pg_backend_pid()",
            [pid, started],
        )
        return cursor.fetchone() is not None


def wait_for_locks_at_most(seconds: float) -> None:
    """Until the transaction ends, waiting longer for any lock is an error. The ORM has no words for it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])


# Each text is preceded by its length, so that nothing can be moved from one column into the next unseen. Written as
# statements because the texts stay in the database: through the ORM, 11,490 documents take five times as long.
def _texts(*columns: str) -> str:
    return " || ".join(f"octet_length({column}) || ':' || {column}" for column in columns)


def _digest(of: str) -> str:
    return f"SELECT encode(sha256(coalesce(string_agg(h, ''::bytea ORDER BY place), '')), 'hex') FROM ({of}) found"


_WORDS = _texts("e.document_hash", "s.signature", "s.output", "s.finish")
_SCORES = _digest(f"""
    SELECT e.position AS place, sha256(convert_to({_WORDS} || '/'
           || concat_ws(' ', s.rouge1, s.rouge2, s."rougeL", s."rougeLsum", s.summary_words, s.length_ratio,
                        s.repetition, s.copied_share, s.unsupported_numbers, s.unsupported_names,
                        coalesce(s.latency_ms::text, '-'), s.truncated), 'UTF8')) AS h
      FROM {ExampleScore._meta.db_table} s JOIN {EvaluationExample._meta.db_table} e ON e.id = s.example_id
     WHERE s.run_id = %s
""")  # nosec B608 (names of ours; values are parameters)
_DOCUMENT = _texts(
    "document_hash", "source", "reference", "title", "domain", "all_references::text", "fields::text"
)
_TEST_SET = _digest(f"""
    SELECT position AS place, sha256(convert_to({_DOCUMENT}, 'UTF8')) AS h
      FROM {EvaluationExample._meta.db_table} WHERE evaluation_set_id = %s
""")  # nosec B608
_SNAPSHOT = _digest(f"""
    SELECT position AS place, sha256(convert_to(
           {_texts("split", "document_hash", "source", "target", "rejected", "title", "domain")}, 'UTF8')) AS h
      FROM {SnapshotExample._meta.db_table} WHERE snapshot_id = %s
""")  # nosec B608


def digest_of_scores(run: int) -> str:
    """SHA-256 over everything an evaluation wrote and scored, in the order of the test set.
    `benchmarks/evidence_speed.py`."""
    return _value(_SCORES, run)


def digest_of_test_set(evaluation_set: int) -> str:
    """SHA-256 over the documents, references and labels of a test set.
    `benchmarks/evidence_speed.py`."""
    return _value(_TEST_SET, evaluation_set)


def digest_of_snapshot(snapshot: int) -> str:
    """SHA-256 over the rows of a snapshot, in the snapshot's order.
    `benchmarks/evidence_speed.py`."""
    return _value(_SNAPSHOT, snapshot)


def _value(statement: str, key: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        (value,) = cursor.fetchone()
    return str(value)
