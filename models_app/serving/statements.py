"""The log of requests, and being notified."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from django.db import connection

from models_app.models import InferenceRequest

_FIELDS = [field for field in InferenceRequest._meta.concrete_fields if not field.has_db_default()]
_NAMES = [field.attname for field in _FIELDS]
_values_of = attrgetter(*_NAMES)
_TABLE = InferenceRequest._meta.db_table
_COLUMNS = ", ".join(f'"{field.column}"' for field in _FIELDS)
# One value for all rows: the driver writes one long text in a tenth of the time that it takes for 25 values a row.
_INSERT = f"""
SET LOCAL synchronous_commit TO %s;
INSERT INTO {_TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::{_TABLE}, %s::json)
ON CONFLICT (id) DO NOTHING
"""  # nosec B608 (made of a table of ours; values are parameters)


def insert_requests(rows: Sequence[InferenceRequest], *, durable: bool = False) -> None:
    """Insert the rows, which answered requests wait for; those that are there already are left as they are.

    In one message to the database, and without waiting for its disk unless `durable`: where the database's machine
    loses power, the log may lack its last half second; readers see the rows at once. Neither signals nor the model's
    own save() are called. Through the ORM a row takes 0.9 ms of CPU, which is more than all else of a request does,
    and waits for the disk: 7 to 10 ms instead of 1.4 to 2.5. `benchmarks/web_share.py`.
    """
    values = json.dumps([dict(zip(_NAMES, _values_of(row), strict=True)) for row in rows], default=_as_text)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, ["on" if durable else "off", values])
    for row in rows:
        row._state.adding = False
        row._state.db = connection.alias


def _as_text(value: datetime | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def listen(channel: str) -> None:
    """Over this thread's connection, as long as it lasts; the ORM has no words for notifications."""
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {connection.ops.quote_name(channel)}")
