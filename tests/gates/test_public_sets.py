"""Public sets as fingerprints: loaded once, no text kept, and test documents that occur in one are named."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.gates.public_sets import declare_training, load_fingerprints, occurrences
from models_app.models import AuditEvent, DeclaredTraining, EvaluationExample, FingerprintSet, TextFingerprint
from models_app.texts.public_sets import fingerprints
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene
from tests.texts.test_overlaps import article

pytestmark = pytest.mark.django_db

ARTICLES = [article(f"public {number}") for number in range(20)]
SUMMARIES = [article(f"public summary {number}", 30) for number in range(20)]


@pytest.fixture
def the() -> Scene:
    return scenes.scene()


def written(tmp_path: Path, *rows: Any, name: str = "set.jsonl") -> Path:
    file = tmp_path / name
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def public(tmp_path: Path) -> Path:
    rows = [{"article": a, "highlights": b} for a, b in zip(ARTICLES, SUMMARIES, strict=True)]
    return written(tmp_path, *rows)


def load(file: Path, name: str = "news test", **fields: Any) -> FingerprintSet:
    return load_fingerprints(**{"name": name, "file": file, "actor": None, **fields})


def with_texts(the: Scene, **texts: str) -> EvaluationExample:
    example = the.on.examples.order_by("position")[5]
    with without_guards(EvaluationExample):
        EvaluationExample.objects.filter(pk=example.pk).update(**texts)
    return example


# ---------------------------------------------------------------- loading


def test_a_set_is_kept_without_a_text(tmp_path: Path) -> None:
    made = load(public(tmp_path), note="CC BY 4.0")
    assert (made.name, made.rows, made.note, made.fingerprints.count()) == ("news test", 20, "CC BY 4.0", 40)
    with connection.cursor() as cursor:
        cursor.execute("SELECT f::text FROM models_app_textfingerprint f")
        stored = " ".join(row for (row,) in cursor.fetchall())
    assert not any(word in stored for word in ARTICLES[0].split())
    assert AuditEvent.objects.get(action="fingerprints.load").data["rows"] == 20


def test_the_same_texts_again_are_the_set_there_is(tmp_path: Path) -> None:
    made = load(public(tmp_path))
    assert load(public(tmp_path), "another name") == made
    assert FingerprintSet.objects.count() == 1


def test_another_set_needs_another_name(tmp_path: Path) -> None:
    load(public(tmp_path))
    with pytest.raises(Refused, match="There is a set called 'NEWS test' already"):
        load(written(tmp_path, {"text": article("other")}), "NEWS test")


def test_fingerprints_that_somebody_else_made_are_taken(tmp_path: Path) -> None:
    rows = [
        {"article": {"sketch": base64.b64encode(one.sketch).decode(), "shingles": one.shingles}}
        for one in fingerprints(ARTICLES)
    ]
    made = load(written(tmp_path, *rows))
    theirs = list(made.fingerprints.values_list("shingles", flat=True))
    assert theirs == [one.shingles for one in fingerprints(ARTICLES)]


@pytest.mark.parametrize("field", ["article", "text", "document", "source"])
def test_texts_have_several_names(tmp_path: Path, field: str) -> None:
    assert (
        load(written(tmp_path, {field: ARTICLES[0], "summary": [SUMMARIES[0], "More."]})).fingerprints.count()
        == 2
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "Row 2: no JSON"),
        (b"[1]", "Row 2: no object"),
        (b"\xff\xfe", "Row 2: no JSON"),
        (b'{"id": 1}', "Row 2: it has none of the fields article, text"),
        (b'{"text": ""}', "Row 2: it has none of the fields"),
        (b'{"text": 7}', "Row 2: a text, or a fingerprint"),
        (b'{"text": {"sketch": "AA", "shingles": 1}}', "Row 2: the sketch is no base64"),
        (b'{"text": {"sketch": "AAAAAAAAAAA=", "shingles": -1}}', "Row 2: shingles is a whole number"),
        (b'{"text": {"sketch": "AAAAAAAAAAA=", "shingles": 1e999}}', "Row 2: shingles is a whole number"),
        (b'{"text": {"sketch": "AAAAAAAAAAA=", "shingles": 7}}', "Row 2: A sketch of fewer than 64"),
        (b"[" * 100_000, "Row 2: no JSON"),
    ],
)
def test_a_row_that_is_wrong_is_told_by_its_number(tmp_path: Path, line: bytes, words: str) -> None:
    file = written(tmp_path, {"text": ARTICLES[0]})
    file.write_bytes(file.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(InvalidInput, match=words):
        load(file)
    assert not FingerprintSet.objects.exists()
    assert not TextFingerprint.objects.exists()


@pytest.mark.parametrize("content", [b"", b"\n\n", b'{"text": "\xe2\x80\xa6"}\n'])
def test_a_file_without_a_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "set.jsonl"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="has no rows"):
        load(file)


@pytest.mark.parametrize("name", ["", " ", "\x00", "x" * 121, "\u200b"])
def test_a_set_needs_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="needs a name"):
        load(public(tmp_path), name)


def test_strange_characters_break_nothing(tmp_path: Path) -> None:
    made = load(written(tmp_path, {"text": f"\x00 {ARTICLES[0]} \ud800 \U0010ffff"}), "a\x00b\u202ename")
    assert made.name == "ab\u202ename"
    assert made.rows == 1


def test_a_reviewer_does_not_load_sets(the: Scene, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed):
        load(public(tmp_path), actor=the.cast.reviewer)
    with pytest.raises(NotAllowed):
        declare_training(model_version=the.live.model_version, name="C4", actor=the.cast.reviewer)


# ---------------------------------------------------------------- looking up


def test_test_documents_that_occur_are_named_once(the: Scene, tmp_path: Path) -> None:
    article_of = with_texts(the, source=ARTICLES[3].upper())
    made = load(public(tmp_path))
    (found,) = occurrences(the.on)
    assert (found.of, found.count, found.documents) == (made, 1, [[article_of.position, 1.0]])
    assert occurrences(the.on) == [found]


def test_a_reference_that_occurs_is_named(the: Scene, tmp_path: Path) -> None:
    with_texts(the, reference=SUMMARIES[4])
    load(public(tmp_path))
    assert occurrences(the.on)[0].count == 1


def test_a_rewritten_test_document_is_looked_up_again(the: Scene, tmp_path: Path) -> None:
    load(public(tmp_path))
    assert occurrences(the.on)[0].count == 0
    with_texts(the, source=ARTICLES[3])
    assert occurrences(the.on)[0].count == 1


def test_without_a_set_nothing_is_read(the: Scene, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert occurrences(the.on) == []


# ---------------------------------------------------------------- declared


def test_what_a_base_model_learnt_is_declared_once(the: Scene, tmp_path: Path) -> None:
    made = load(public(tmp_path))
    base = the.live.model_version
    first = declare_training(
        model_version=base, name="News Test", note="its card", actor=the.cast.ml_engineer
    )
    assert first.fingerprints == made
    assert declare_training(model_version=base, name="news test", actor=None) == first
    assert DeclaredTraining.objects.count() == 1
    assert AuditEvent.objects.get(action="model.declare_training").data == {"set": "News Test"}


def test_a_model_that_was_trained_here_is_not_declared(the: Scene) -> None:
    with pytest.raises(Refused, match="was trained here"):
        declare_training(model_version=the.model, name="C4", actor=None)


def test_the_gate_names_them(the: Scene, tmp_path: Path) -> None:
    with_texts(the, source=ARTICLES[3])
    load(public(tmp_path))
    declare_training(model_version=the.live.model_version, name="C4", actor=None)
    run = scenes.judged(the.candidate, scenes.compared(the.candidate, the.live, the.on))
    words = dict(run.results.filter(gate="leakage").values_list("name", "words"))
    assert "1 of 40 test documents occur in news test" in words["public sets"]
    assert "C4 is not known by fingerprints." in words["declared training sets"]


# ---------------------------------------------------------------- commands


def test_the_commands_say_what_they_did(
    the: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("load_fingerprints", "news test", str(public(tmp_path)), "--user", "mila")
    made = FingerprintSet.objects.get()
    assert made.loaded_by == the.cast.ml_engineer
    assert capsys.readouterr().out == f"news test is known: 20 rows, SHA-256 {made.digest}.\n"
    call_command("declare_training_set", str(the.live.model_version_id), "news test")
    assert "which is known by fingerprints" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("load_fingerprints", "x", "/nowhere/at all.jsonl"), "No such file"),
        (("load_fingerprints", "x", "/"), "Is a directory"),
        (("declare_training_set", "999999", "C4"), "There is no model 999999"),
        (("declare_training_set", "9" * 40, "C4"), "There is no model"),
    ],
)
def test_the_commands_refuse_in_words(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command(*words)
