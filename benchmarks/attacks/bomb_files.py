"""Files that are small and become large, or that break their reader. Each is written when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

MB = 1 << 20
#: Of those that are large themselves.
LARGE_MB = 24
_WORDS = b"lorem ipsum dolor sit amet "


def _parquet(path: Path, *, cell_mb: int, rows: int, dictionary: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = (_WORDS * (cell_mb * MB // len(_WORDS))).decode()
    column = pa.array([text] * rows)
    pq.write_table(
        pa.table({"article": column}), path, compression="zstd", use_dictionary=dictionary,
        dictionary_pagesize_limit=1 << 30, store_schema=False,
    )  # fmt: skip


def parquet_plain(path: Path) -> None:
    """Says that it unpacks to a gigabyte: 97 KB."""
    _parquet(path, cell_mb=15, rows=68, dictionary=False)


def parquet_dictionary(path: Path) -> None:
    """Says 15 MB, because one text is kept once and named 200 times: 3 GB of strings in 2 KB."""
    _parquet(path, cell_mb=15, rows=200, dictionary=True)


def parquet_truncated(path: Path) -> None:
    _parquet(path, cell_mb=1, rows=2, dictionary=False)
    path.write_bytes(path.read_bytes()[:-100])


def parquet_false_footer(path: Path) -> None:
    """Its last bytes name a description of 4 GB."""
    _parquet(path, cell_mb=1, rows=2, dictionary=False)
    path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\xff" + b"PAR1")


def parquet_garbled_footer(path: Path) -> None:
    _parquet(path, cell_mb=1, rows=2, dictionary=False)
    whole = bytearray(path.read_bytes())
    for place in range(len(whole) - 200, len(whole) - 8, 3):
        whole[place] ^= 0x5A
    path.write_bytes(whole)


def parquet_wide(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({f"column {number}": ["x"] for number in range(20_000)}), path)


def json_deep(path: Path) -> None:
    path.write_bytes(b'[{"article": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]")


def jsonl_deep(path: Path) -> None:
    path.write_bytes(b'{"article": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n")


def json_one_item(path: Path) -> None:
    """One large item that does not end."""
    _fill(path, b'[{"article": "', b"")


def jsonl_one_line(path: Path) -> None:
    _fill(path, b'{"article": "', b'"}\n')


def csv_one_line(path: Path) -> None:
    _fill(path, b"article,highlights\n", b"")


def csv_one_quote(path: Path) -> None:
    """A quote that never closes, over many short lines."""
    with path.open("wb") as file:
        file.write(b'article,highlights\n"')
        for _ in range(LARGE_MB):
            file.write(b"a line\n" * (MB // 7))


def csv_large_cell(path: Path) -> None:
    path.write_bytes(b"article,highlights\n" + _WORDS * (5 * MB // len(_WORDS)) + b",short\n")


def csv_wide(path: Path) -> None:
    path.write_bytes(b",".join(b"c%d" % number for number in range(1_000_000)) + b"\n")


def csv_nul(path: Path) -> None:
    path.write_bytes(b"arti\x00cle,highlights\n" + (b"word " * 30) + b"\x00,short\n")


def json_many_lists(path: Path) -> None:
    """Each of three bytes becomes an object of 56."""
    path.write_bytes(b'[{"article": [' + b"[]," * MB + b"[]]}]")


def jsonl_nul_and_halves(path: Path) -> None:
    """Names and values that no text of a database can hold."""
    words = " ".join(f"word{number}" for number in range(30))
    rows = [
        f'{{"article": "{words} \\u0000 \\ud800 end", '
        '"high\\u0000lights": "short \\udfff", "n": NaN, "m": 1e999}',
        json.dumps({"article": words, "highlights": "short", "\x00": {"\x00": ["\x00"]}}),
    ]
    path.write_bytes("\n".join(rows).encode())


def jsonl_long_number(path: Path) -> None:
    path.write_bytes(b'{"article": ' + b"9" * 100_000 + b"}\n")


def _fill(path: Path, begin: bytes, end: bytes) -> None:
    with path.open("wb") as file:
        file.write(begin)
        for _ in range(LARGE_MB):
            file.write(b"x" * MB)
        file.write(end)


SUFFIXES = {"parquet": ".parquet", "json": ".json", "jsonl": ".jsonl", "csv": ".csv"}
#: Those that cannot come in. The rest has rows that can.
REFUSED: tuple[Callable[[Path], None], ...] = (
    parquet_plain, parquet_dictionary, parquet_truncated, parquet_false_footer, parquet_garbled_footer, parquet_wide,
    json_deep, jsonl_deep, json_one_item, jsonl_one_line, csv_one_line, csv_one_quote, csv_wide, jsonl_long_number,
)  # fmt: skip
TAKEN: tuple[Callable[[Path], None], ...] = (csv_large_cell, csv_nul, jsonl_nul_and_halves, json_many_lists)


def files(directory: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) one after another; the caller removes them."""
    for make in (*REFUSED, *TAKEN):
        path = directory / f"{make.__name__}{SUFFIXES[make.__name__.partition('_')[0]]}"
        make(path)
        yield make.__name__, path
