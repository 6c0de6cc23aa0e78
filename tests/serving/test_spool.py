"""Rows that wait in files: none is lost that was acknowledged, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models_app.serving.spool import DAMAGED, Row, Spool, SpoolFull

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "rows", most_bytes=1 << 20)


def all_of(spool: Spool) -> list[Row]:
    found: list[Row] = []
    spool.replay(found.extend)
    return found


def file_of(spool: Spool) -> Path:
    (path,) = spool.directory.glob("*.jsonl")
    return path


def test_rows_come_back_as_they_went_in_and_once(spool: Spool) -> None:
    rows = [{"n": number, "text": "Ä\n\u2028 \ud800"} for number in range(500)]
    spool.append(rows[:1])
    spool.append(rows[1:])
    assert spool.has_rows()
    assert all_of(spool) == rows
    assert not spool.has_rows()
    assert all_of(spool) == []
    assert list(spool.directory.iterdir()) == []


def test_what_is_not_written_stays_for_the_next_time(spool: Spool) -> None:
    spool.append({"n": number} for number in range(300))

    def fail(rows: Sequence[Row]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        spool.replay(fail)
    spool.append([{"n": 300}])
    assert sorted(row["n"] for row in all_of(spool)) == list(range(301))


def test_a_file_that_another_process_appends_to_is_left_to_it(spool: Spool) -> None:
    other = Spool(spool.directory, most_bytes=1 << 20)
    other.append([{"n": 1}])
    assert all_of(spool) == []
    assert all_of(other) == [{"n": 1}]


WRITER = """
import sys, time
from pathlib import Path
from models_app.serving.spool import Spool
spool = Spool(Path(sys.argv[1]), most_bytes=1 << 30)
n = 0
while True:
    spool.append([{"n": n, "text": "x" * 3000}])
    print(n, flush=True)
    n += 1
"""


def test_a_killed_process_loses_no_row_that_it_was_told_is_kept(spool: Spool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(spool.directory)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    kept = [int(process.stdout.readline()) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    kept += [int(line) for line in process.stdout.read().split()]
    process.wait(30)
    process.stdout.close()
    written = [row["n"] for row in all_of(spool)]
    assert written[: len(kept)] == kept
    assert len(written) <= len(kept) + 1, "at most the one that it was not told of yet"


def test_a_torn_last_row_is_left_out_and_the_others_are_written(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.append([{"n": 1}, {"n": 2}, {"n": 3}])
    path = file_of(spool)
    os.truncate(path, path.stat().st_size - 3)
    assert all_of(spool) == [{"n": 1}, {"n": 2}]
    assert "was not whole" in caplog.text
    assert list(spool.directory.iterdir()) == []


def test_a_damaged_row_in_the_middle_is_said_and_its_file_kept(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.append([{"n": 1}, {"n": 2}, {"n": 3}])
    path = file_of(spool)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"n":2}', b'{"n":7}'))
    assert all_of(spool) == [{"n": 1}, {"n": 3}]
    assert "1 rows" in caplog.text
    assert path.with_name(path.name + DAMAGED).exists()
    assert not spool.has_rows()


def test_beyond_the_limit_nothing_is_taken_and_that_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "rows", most_bytes=1000)
    other = Spool(tmp_path / "rows", most_bytes=1000)
    other.append([{"text": "x" * 600}])
    with pytest.raises(SpoolFull, match="limit"):
        spool.append([{"text": "x" * 600}])
    assert not spool.is_full
    spool.append([{"text": "x" * 350}])
    assert len(all_of(spool)) == 1
    assert len(all_of(other)) == 1


def test_a_full_disk_is_said_and_leaves_no_half_row(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append([{"n": 1}])
    write = os.write

    def full(file: int, data: Any) -> int:
        if len(data) > 10:
            return write(file, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(SpoolFull, match="No space left"):
            spool.append([{"n": 2}])
    spool.append([{"n": 3}])
    assert all_of(spool) == [{"n": 1}, {"n": 3}]


def test_what_was_written_is_soon_on_the_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool.sync()
    assert synced == []
    spool.append([{"n": 1}])
    spool.sync()
    spool.sync()
    assert len(synced) == 1


def test_only_its_owner_reads_it(spool: Spool) -> None:
    spool.append([{"n": 1}])
    assert file_of(spool).stat().st_mode & 0o077 == 0
    assert spool.directory.stat().st_mode & 0o077 == 0
