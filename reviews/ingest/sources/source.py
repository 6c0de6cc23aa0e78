"""What can be read row by row: an opened file or data set. And what readers of text files share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from models_app.foundation.errors import InvalidInput
from reviews.ingest.sources.limits import LONGEST_ROW, MOST_COLUMNS

Progress = Callable[[int, int], None]
"""(done, total) in bytes, or in rows where only these are known; total 0 where nobody knows."""

Record = tuple[int, dict[str, Any] | str]
"""Number of the row in its file from 1, and its values by column, or why there are none."""

#: Rows that are looked at to find the columns, and bytes to find the format.
SAMPLE_ROWS = 100
SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Source:
    """An opened file or data set: its columns, and its rows as often as they are asked for."""

    name: str
    format: str
    columns: tuple[str, ...]
    records: Callable[[Collection[str] | None], Iterator[Record]]
    """Asked with the columns that matter (None: all): others may be left out."""
    position: Callable[[], tuple[int, int]] = lambda: (0, 0)


def wrong(path: Path, what: str) -> NoReturn:
    raise InvalidInput(f"{path.name} {what}", fields={"file": what[:1].upper() + what[1:]})


def not_too_wide(path: Path, columns: Sized) -> None:
    if len(columns) > MOST_COLUMNS:
        wrong(path, f"has {len(columns):,} columns; at most {MOST_COLUMNS:,} are read.")


class Lines:
    """Decoded lines of a file with their line breaks, and where in it we are. Raises InvalidInput at a byte that is
    not UTF-8, and where the lines since `begin_row` are more than a row may have."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.number = self.offset = 0
        self.size = path.stat().st_size
        self.begin_row()

    def begin_row(self) -> None:
        self._began, self._left = self.number + 1, LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(self._left + 1):
            self.number += 1
            self._left -= len(line)
            if self._left < 0:
                wrong(
                    self.path,
                    f"has a row of more than {LONGEST_ROW >> 20} MB, from line {self._began:,} on. "
                    "A line break or a closing quote may be missing.",
                )
            try:
                text = line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                not_utf8(self.path, error, line_number=self.number, offset=self.offset)
            self.offset += len(line)
            yield text

    def position(self) -> tuple[int, int]:
        return self.offset, self.size


def not_utf8(path: Path, error: UnicodeDecodeError, *, line_number: int, offset: int) -> NoReturn:
    wrong(
        path,
        f"is not UTF-8: line {line_number:,}, byte {offset + error.start + 1:,} of the file is "
        f"0x{error.object[error.start]:02X}. Save it as UTF-8; a file of Windows-1252 or Latin-1 is converted by "
        "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
    )


class Place:
    """Where a reading of a source is; there is one reading at a time."""

    def __init__(self) -> None:
        self.now: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def __call__(self) -> tuple[int, int]:
        return self.now()
