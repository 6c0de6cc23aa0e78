"""Fields of a document that have no place of their own: what is kept, by each door, and that slices are cut by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from models_app.evaluation.slices import OWN_FIELDS
from models_app.foundation.errors import InvalidInput
from models_app.gates.slices import fields_of_test_sets
from models_app.models import EvaluationExample
from reviews.examples.references import freeze_test_set
from reviews.ingest import uploads
from reviews.ingest.columns import choose_columns
from reviews.ingest.documents import DocumentRow, ImportReport, import_rows
from reviews.ingest.fields import clean_fields, field_name
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.ingest.sources.files import open_file
from reviews.models import ImportBatch, SourceDocument
from tests import make
from tests.api.conftest import Api

LONG = "x" * 121


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"Author": " R.  Holm\n"}, {"author": "R. Holm"}),
        ({"Page No.": "3", "empty": " "}, {"page no": "3"}),
        ({"Größe": "klein"}, {"größe": "klein"}),
        ({"items": "x", "__class__": "y"}, {"items": "x", "__class__": "y"}),
        ({"author": "a\x00b\ud800"}, {"author": "ab"}),
    ],
)
def test_names_and_values_are_kept_on_one_line(given: dict[str, str], kept: dict[str, str]) -> None:
    assert clean_fields(given) == (kept, "")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"": "x"}, "A field's name has 1 to 40"),
        ({":::": "x"}, "A field's name has 1 to 40"),
        ({"n" * 41: "x"}, "A field's name has 1 to 40"),
        ({"Author": "x", "author ": "y"}, "Two fields are called “author”."),
        ({"author": LONG}, "author has 121 characters; at most 120 are kept."),
        ({f"field {number}": "x" for number in range(11)}, "At most 10 other fields"),
        *(({name.upper(): "x"}, f"“{name}” is a field of Galley's own") for name in OWN_FIELDS),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(given: dict[str, str], why: str) -> None:
    fields, reason = clean_fields(given)
    assert fields == {}
    assert why in reason


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (["nowhere"], "There is no column 'nowhere'."),
        (["Domain"], "“domain” is a field of Galley's own"),
        (["Author", "author"], "Two fields are called “author”."),
    ],
)
def test_columns_that_cannot_be_kept_are_told(keep: list[str], why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        choose_columns(["text", "Domain", "Author", "author"], keep=keep)
    assert why in refused.value.fields["keep"]


def rows(tmp_path: Path, count: int = 3, **values: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    each = [
        {"text": f"{make.ARTICLE} Row {number}.", "Author": f"A{number % 2}", "page": number, **values}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in each))
    return path


@pytest.mark.django_db
def test_a_file_keeps_the_columns_that_are_named_and_no_others(cast: make.Cast, tmp_path: Path) -> None:
    path = rows(tmp_path)
    call_command("import_documents", path, "--keep", "Author")
    assert sorted(document.fields["author"] for document in SourceDocument.objects.all()) == [
        "A0",
        "A0",
        "A1",
    ]
    assert all(set(document.fields) == {"author"} for document in SourceDocument.objects.all())
    assert ImportBatch.objects.get().report["mapping"] == {"text": "text", "fields.author": "Author"}


@pytest.mark.django_db
def test_a_row_whose_field_is_too_long_is_refused_and_hinders_no_other(tmp_path: Path) -> None:
    path = rows(tmp_path, 2)
    path.write_text(path.read_text() + json.dumps({"text": f"{make.ARTICLE} Last.", "Author": LONG}) + "\n")
    _, report = DOCUMENTS.import_at_once(
        source=open_file(path), options=ImportOptions(keep=["Author"]), actor=None, progress=None
    )
    assert (report.imported, report.refused_count) == (2, 1)
    assert report.refused[0].reason == "author has 121 characters; at most 120 are kept."


@pytest.mark.django_db
def test_a_command_says_which_column_is_not_there(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises((SystemExit, CommandError)):
        call_command("import_documents", rows(tmp_path), "--keep", "editor")
    assert "There is no column 'editor'." in capsys.readouterr().err
    assert not SourceDocument.objects.exists()


@pytest.mark.django_db
def test_on_the_page_columns_are_ticked_and_the_first_rows_show_them(cast: make.Cast, tmp_path: Path) -> None:
    kept = uploads.keep(chunks=[rows(tmp_path).read_bytes()], name="rows.jsonl", place=DOCUMENTS.place)
    batch = make.looked_at(DOCUMENTS.submit_file(path=kept, options=ImportOptions(), actor=cast.ml_engineer))
    client = Client()
    client.force_login(cast.ml_engineer)
    path = f"/documents/imports/{batch.pk}/"
    assert "Other columns to keep" in client.get(path).content.decode()
    shown = client.post(f"{path}preview/", {"map_text": "text", "keep": ["Author"]}).content.decode()
    assert "author" in shown
    assert "A1" in shown
    wrong = client.post(f"{path}start/", {"map_text": "text", "keep": ["editor"]})
    assert wrong.status_code == 422
    assert client.post(f"{path}start/", {"map_text": "text", "keep": ["Author", "page"]}).status_code == 302
    batch.refresh_from_db()
    assert batch.job is not None
    make.carried_out(batch.job)
    document = SourceDocument.objects.earliest("pk")
    assert document.fields == {"author": "A0", "page": "0"}
    page = client.get(f"/documents/{document.pk}/").content.decode()
    assert "Author" in page
    assert "A0" in page


@pytest.mark.django_db
def test_programs_send_and_read_them(cast: make.Cast) -> None:
    api = Api(cast.ml_engineer, "documents:write")
    sent = {"text": make.ARTICLE, "fields": {"Author": "<b>R. Holm</b>", "items": "x"}}
    made = api.post("documents/", sent)
    assert made.status_code == 201
    assert made.json()["fields"] == {"author": "<b>R. Holm</b>", "items": "x"}
    client = Client()
    client.force_login(cast.ml_engineer)
    page = client.get(f"/documents/{made.json()['id']}/").content.decode()
    assert "&lt;b&gt;R. Holm&lt;/b&gt;" in page
    for fields in (
        {"domain": "x"},
        {"author": LONG},
        {"": "x"},
        ["author"],
        {"author": {"name": "x"}},
        {"a": None},
    ):
        wrong = api.post("documents/", {"text": f"{make.ARTICLE} Another.", "fields": fields})
        assert wrong.status_code == 422, fields
        assert "fields" in str(wrong.json()["error"]["fields"]), fields


@pytest.mark.django_db
def test_a_test_set_freezes_them_and_knows_their_names(cast: make.Cast) -> None:
    document = make.document(split="test", fields={"author": "R. Holm"}, language="en")
    frozen = freeze_test_set(actor=None)
    example = EvaluationExample.objects.get(evaluation_set=frozen)
    assert example.fields == {"author": "R. Holm", "language": "en", "origin": "test"}
    assert fields_of_test_sets() == ["author"]
    SourceDocument.objects.filter(pk=document.pk).update(fields={"author": "Somebody else"})
    assert freeze_test_set(actor=None) != frozen


@pytest.mark.django_db
def test_many_come_in_with_their_fields_by_one_copy(cast: make.Cast) -> None:
    report = ImportReport()
    import_rows(
        rows=(DocumentRow(f"{make.ARTICLE} Number {n}.", fields={"page": str(n)} if n % 2 else {}) for n in range(40)),
        origin="many", actor=None, report=report,
    )  # fmt: skip
    kept = SourceDocument.objects.exclude(fields={}).values_list("fields", flat=True)
    assert report.imported == 40
    assert sorted(int(fields["page"]) for fields in kept) == list(range(1, 40, 2))


def test_a_name_is_found_again_by_itself() -> None:
    for raw in ("Author", " PAGE-no ", "a:b", "Größe"):
        assert field_name(field_name(raw)) == field_name(raw)
