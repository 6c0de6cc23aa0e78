"""Files as people have them come in as they are, or with one sentence that says what is wrong and where."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.foundation.errors import InvalidInput, TooLarge, Unavailable
from reviews.ingest.columns import choose_columns
from reviews.ingest.documents import DocumentRow, ImportReport
from reviews.ingest.records import read_file
from reviews.ingest.reports import Refusal
from reviews.ingest.sources.files import open_file
from reviews.ingest.sources.hub import open_hub
from tests import settings as test_settings

SHARED = Path(test_settings.__file__).resolve().parent.parent.parent / "shared" / "data"


class Reader:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self, name: str, content: bytes | str, **options: Any
    ) -> tuple[list[DocumentRow], ImportReport]:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        report = ImportReport()
        return list(read_file(path, report=report, **options)), report


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def wrong(read: Reader, name: str, content: bytes | str, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read(name, content, **options)
    return caught.value


# ---------------------------------------------------------------- what comes in


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
@pytest.mark.parametrize(
    ("path", "rows", "titles"),
    [
        ("cnndm-validation-1000/validation.jsonl", 1000, False),
        ("cnndm-train-sample/train_sample.jsonl", 200, False),
        ("scitldr-a/train.jsonl", 1992, True),
        ("summeval/summeval.jsonl", 100, False),
    ],
)
def test_public_data_sets_come_in_as_they_are(path: str, rows: int, titles: bool) -> None:
    report = ImportReport()
    found = list(read_file(SHARED / path, report=report))
    assert len(found) == rows
    assert report.refused == []
    assert all(row.text and row.reference and row.external_id for row in found)
    assert all(bool(row.title) == titles for row in found)
    assert [row.number for row in found[:3]] == [1, 2, 3]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a", "a.txt"])
def test_json_lines_come_in_under_any_name(read: Reader, name: str) -> None:
    rows, report = read(
        name, '{"article": "One", "highlights": "A"}\n\n{"article": "Two", "highlights": null}\n'
    )
    assert rows == [DocumentRow("One", reference="A", number=1), DocumentRow("Two", number=3)]
    assert report.refused == []


def test_a_json_list_comes_in_item_by_item(read: Reader) -> None:
    rows, report = read("a.json", ' [{"text": "Öl", "id": 7},\n "no", {"text": ["One.", "Two."]}\t]\n')
    assert rows == [
        DocumentRow("Öl", external_id="7", number=1),
        DocumentRow("One.\nTwo.", number=3),
    ]
    assert report.refused == [Refusal(2, "row", "This item is not an object with named values.")]


def test_a_json_list_named_jsonl_comes_in_too(read: Reader) -> None:
    assert read("a.jsonl", '[{"text": "One"}]')[0] == [DocumentRow("One", number=1)]


def test_a_long_json_list_is_never_held_whole(read: Reader) -> None:
    items = [{"text": f"wörd {number} " * 400, "nested": {"a": [1, {"b": "]},"}]}} for number in range(900)]
    rows, _ = read("a.json", json.dumps(items, ensure_ascii=False))
    assert [row.text for row in rows] == [item["text"] for item in items]


_HALF = re.compile("[\ud800-\udfff]")
_IN_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


@given(
    items=st.lists(
        st.dictionaries(st.sampled_from(["text", "title", "x"]), st.text(), min_size=1), min_size=1
    ),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_any_json_list_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    items: list[dict[str, str]],
    indent: int | None,
    ascii_only: bool,
) -> None:
    items = [{"text": "first"}, *items]
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(
        json.dumps(items, indent=indent, ensure_ascii=ascii_only), "utf-8", errors="surrogatepass"
    )
    if not ascii_only and any(_HALF.search(value) for item in items for value in item.values()):
        return
    rows = list(read_file(path))
    assert [(row.text, row.title) for row in rows] == [
        tuple(_IN_NO_TEXT.sub("", item.get(name, "")) for name in ("text", "title")) for item in items
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_comes_in_with_any_delimiter_and_breaks_and_quotes_in_values(
    read: Reader, delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["Id", " Article ", "Highlights", "category"])
    writer.writerow(["1", 'He said: "No, never; at all|\tor so."\n\nThen he left.', "A", "news"])
    writer.writerow(["2", "Plain", "", ""])
    rows, report = read("a.csv", "\ufeff" + text.getvalue())
    assert rows == [
        DocumentRow(
            'He said: "No, never; at all|\tor so."\n\nThen he left.',
            reference="A",
            external_id="1",
            domain="news",
            number=1,
        ),
        DocumentRow("Plain", external_id="2", number=2),
    ]
    assert report.refused == []


def test_csv_values_may_be_longer_than_pythons_own_limit(read: Reader) -> None:
    rows, _ = read("a.csv", "text,title\n" + '"' + "word " * 100_000 + '",x\n')
    assert len(rows[0].text) == 500_000


def test_csv_with_backslashes_before_its_quotes_comes_in(read: Reader) -> None:
    rows, _ = read("a.csv", 'text,title\n"He said \\"no\\" twice, or so.",x\n')
    assert rows[0].text == 'He said "no" twice, or so.'


def test_tabs_without_quoting_keep_their_quotes(read: Reader) -> None:
    rows, _ = read("a.tsv", 'text\tsummary\n"No," he said\tA\nHe said "no\tB\n')
    assert [row.text for row in rows] == ['"No," he said', 'He said "no']


def test_parquet_comes_in_with_lists_numbers_and_missing_values(read: Reader, tmp_path: Path) -> None:
    table = pa.table(
        {
            "article": ["One", "Two", None],
            "highlights": [["a", "b"], [], None],
            "id": [1, 2, 3],
            "unused": [{"x": 1}, {"x": 2}, {"x": 3}],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    wanted = [
        DocumentRow("One", reference="a\nb", external_id="1", number=1),
        DocumentRow("Two", external_id="2", number=2),
        DocumentRow("", external_id="3", number=3),
    ]
    assert read("a.parquet", content)[0] == wanted
    assert read("named-wrongly.csv", content)[0] == wanted


def test_a_limit_ends_reading(read: Reader) -> None:
    rows, _ = read("a.jsonl", '{"text": "One"}\n' * 10, limit=3)
    assert len(rows) == 3


def test_progress_is_told_in_bytes(read: Reader) -> None:
    content = '{"text": "One"}\n' * 200
    told: list[tuple[int, int]] = []
    read("a.jsonl", content, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 4
    assert told == sorted(told)
    assert {total for _, total in told} == {len(content)}


# ---------------------------------------------------------------- which column is what


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        ("article highlights id", {"text": "article", "reference": "highlights", "external_id": "id"}),
        ("document summary", {"text": "document", "reference": "summary"}),
        ("dialogue summary", {"text": "dialogue", "reference": "summary"}),
        ("article abstract", {"text": "article", "reference": "abstract"}),
        ("Headline CONTENT Category", {"text": "CONTENT", "title": "Headline", "domain": "Category"}),
        (
            "body tldr group license",
            {"text": "body", "reference": "tldr", "group_key": "group", "licence": "license"},
        ),
    ],
)
def test_usual_names_are_found(columns: str, mapping: dict[str, str]) -> None:
    assert choose_columns(columns.split()) == mapping


def test_a_mapping_goes_before_usual_names_and_can_leave_a_column_out() -> None:
    columns = ("text", "article", "summary", "id")
    assert choose_columns(columns, {"text": "text", "reference": "", "title": "article"}) == {
        "text": "text",
        "title": "article",
        "external_id": "id",
    }


@pytest.mark.parametrize(
    ("mapping", "message", "name"),
    [
        ({}, "The columns are 'foo', 'bar'.* Say which it is", "text"),
        ({"text": "baz"}, "There is no column 'baz' for text. The columns are 'foo', 'bar'.", "text"),
        ({"text": "foo", "reference": "foo"}, "cannot be both", "reference"),
        ({"txt": "foo"}, "There is no field 'txt'.* There are text, title", "mapping"),
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(
    mapping: dict[str, str], message: str, name: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        choose_columns(("foo", "bar"), mapping)
    assert name in caught.value.fields


# ---------------------------------------------------------------- rows that cannot be read


def test_a_bad_row_is_refused_by_number_and_hinders_no_other(read: Reader) -> None:
    rows, report = read(
        "a.jsonl",
        '{"article": "One"}\nnot json\n["a"]\n{"article": {"x": 1}}\n{"article": ' + "[" * 99_999 + "\n"
        '{"article": "Six"}\n',
    )
    assert [row.number for row in rows] == [1, 6]
    assert report.read == 4
    assert report.refused == [
        Refusal(2, "row", "This is not JSON: Expecting value at character 1."),
        Refusal(3, "row", "This is JSON, but not an object with named values."),
        Refusal(4, "text", "article holds an object, not text."),
        Refusal(5, "row", "This is not a row: it is nested too deeply."),
    ]


def test_a_csv_row_with_too_many_values_is_refused(read: Reader) -> None:
    rows, report = read("a.csv", "text,title\na,b,c\nd\n")
    assert rows == [DocumentRow("d", number=2)]
    assert report.refused == [Refusal(1, "row", "It has 3 values, but there are 2 columns.")]


def test_control_characters_in_json_are_no_reason_to_refuse(read: Reader) -> None:
    rows, report = read("a.jsonl", '{"text": "a\\u0000b\tc\x07"}\n')
    assert rows[0].text == "ab\tc\a", "only what no database can hold is gone already"
    assert report.refused == []


# ---------------------------------------------------------------- files that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.csv", b"\xef\xbb\xbf \n\n", "is empty"),
        ("a.jsonl", b"%PDF-1.7 ...", "is a PDF document. Galley reads JSON Lines"),
        ("a.csv", b"PK\x03\x04....", "ZIP archive or an Office document"),
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), "compressed with gzip; unpack it first"),
        ("a.jsonl", bytes(range(256)) * 40, "is not text: it holds binary data"),
        ("a.jsonl", '{"text": "Ä"}'.encode("utf-16"), "looks like UTF-16.* iconv -f UTF-16 -t UTF-8"),
        ("a.csv", "text,b\nx,y".encode("utf-16-le"), "looks like UTF-16"),
        ("a.csv", b"<!DOCTYPE html><html>Sign in</html>", "is a web page or XML"),
        ("a.jsonl", b"Hello\nyou", "is not JSON Lines.* Line 1: This is not JSON"),
        ("a.jsonl", b"{}\n{}\n", "is not JSON Lines.* Its objects are empty"),
        ("a.json", b'{\n "text": "x"\n}', "is not JSON Lines.* Line 1"),
        ("a.json", b"[]", "is not a JSON list of objects"),
        ("a.json", b'[{"text": "x"}', "breaks off after item 1: the list is not closed"),
        ("a.json", b'[{"text": "x"}, {"text": "y" ]', "is not whole JSON: in item 2"),
        ("a.json", b'[{"text": "x"} {"text": "y"}]', "after item 1 there is '{' where , or ] belongs"),
        ("a.json", b"[" * 99_999, "nested too deeply"),
        ("a.csv", b"text,text\nx,y\n", "two columns of one name.*'text'"),
        ("a.csv", b'text,b\n"x,y\n', "ends inside a quoted value.*closing quote is missing"),
        ("a.csv", b'text,b\n"x"y,z\n', "stray quote in line 2"),
        ("a.csv", b"text,b\rx,y\r", "line breaks that cannot be told apart in line 1"),
        ("a.parquet", b"text,b\nx,y\n", "is not a Parquet file"),
        ("a.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "is a broken Parquet file"),
    ],
)
def test_a_file_that_is_none_of_the_formats_is_told_so(
    read: Reader, name: str, content: bytes, message: str
) -> None:
    assert "file" in wrong(read, name, content).fields
    with pytest.raises(InvalidInput, match=message):
        read(name, content)


@pytest.mark.parametrize(
    ("name", "start", "row"),
    [
        ("a.jsonl", b'{"text": "x"}\n', b'{"text": "caf\xe9"}\n'),
        ("a.csv", b"text,title\n", b"caf\xe9,x\n"),
        ("a.json", b'[{"text": "x"},\n', b' {"text": "caf\xe9"}]\n'),
    ],
)
def test_a_wrong_encoding_is_told_by_line_and_byte_with_the_way_out(
    read: Reader, name: str, start: bytes, row: bytes
) -> None:
    error = wrong(read, name, start + row)
    byte = len(start) + row.index(b"\xe9") + 1
    assert f"line 2, byte {byte} of the file is 0xE9" in error.message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in error.message


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_a_wrong_byte_far_down_is_found_where_it_is(read: Reader, name: str) -> None:
    """Beyond what is looked at beforehand, and beyond a block of reading."""
    good = json.dumps({"text": "wörd " * 200}, ensure_ascii=False).encode()
    if name == "a.csv":
        lines = [b"text", *[b'"' + b"w " * 500 + b'"'] * 3000]
        content = b"\n".join(lines) + b"\n\xff\n"
    elif name == "a.json":
        content = b"[" + b",\n".join([good] * 3000) + b",\n\xff]"
    else:
        content = b"\n".join([good] * 3000) + b"\n\xff\n"
    place = content.index(b"\xff")
    line = content[:place].count(b"\n") + 1
    assert f"line {line:,}, byte {place + 1:,} of the file is 0xFF" in wrong(read, name, content).message


def test_a_broken_page_of_parquet_is_told_with_the_row(read: Reader, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"article": [f"{os.urandom(20).hex()}" for _ in range(500)]}), tmp_path / "x.parquet"
    )
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[4:200] = b"\xff" * 196
    assert "is a broken Parquet file: after row 0" in wrong(read, "a.parquet", bytes(content)).message


def test_a_parquet_file_without_rows_is_told_so(read: Reader, tmp_path: Path) -> None:
    pq.write_table(pa.table({"article": pa.array([], pa.string())}), tmp_path / "x.parquet")
    assert "has no rows" in wrong(read, "a.parquet", (tmp_path / "x.parquet").read_bytes()).message


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(500 << 20)
    with pytest.raises(
        TooLarge, match=r"a.jsonl has 500 MB; at most 100 MB are taken \(GALLEY_MAX_UPLOAD_MB\)"
    ):
        read_file(path)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere.csv", "does not exist"), (".", "is a directory. Name a file in it")]
)
def test_what_is_not_a_file_is_told_so(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_file(tmp_path / name)


def test_a_format_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="There is no format 'xlsx'; there are jsonl, json, csv, tsv, parquet"
    ):
        open_file(tmp_path / "a", format="xlsx")


# ---------------------------------------------------------------- Hugging Face


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../etc", "is not the name of a data set"),
        ("a b", "is not the name"),
        ("tests", "is a file or directory"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        open_hub(name)


def test_offline_the_hub_is_never_asked_and_the_way_out_is_told(settings: Any) -> None:
    settings.GALLEY_OFFLINE = True
    with pytest.raises(
        Unavailable, match=r"GALLEY_OFFLINE.* download the Parquet or JSON Lines files of abisee/"
    ):
        open_hub("abisee/cnn_dailymail")


def test_without_a_network_the_way_out_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(
        Unavailable, match=r"could not be fetched from http://127.0.0.1:9: .* import them as files"
    ):
        open_hub("abisee/cnn_dailymail")
