"""`cases` from a terminal: list, export, import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_app.cases import queries
from models_app.models import AuditEvent, CaseSet
from tests import make
from tests.cases import scene

pytestmark = pytest.mark.django_db


def test_what_is_exported_is_imported_whole_and_again_changes_nothing(
    cast: make.Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.case_set("Acceptance", scene.draft(must_pass=True), scene.draft(scene.FAILS))
    file = tmp_path / "cases.jsonl"
    call_command("cases", "export", "--set", "Acceptance", "--output", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["number"], line["must_pass"]) for line in lines] == [(1, True), (2, False)]
    call_command("cases", "import", str(file), "--set", "Copied", "--user", "mila")
    assert "Copied: version 1 (2 added, 0 edited, 0 there already)." in capsys.readouterr().out
    one, other = (queries.version_of(CaseSet.objects.get(name=name)) for name in ("Acceptance", "Copied"))
    assert one is not None
    assert other is not None
    assert (one.digest, other.reason, other.made_by) == (
        other.digest,
        "Imported from cases.jsonl.",
        cast.ml_engineer,
    )
    call_command("cases", "import", str(file), "--set", "Copied")
    assert "no new version (0 added, 0 edited, 2 there already)" in capsys.readouterr().out
    assert (
        AuditEvent.objects.filter(action="cases.change", subject=f"caseset:{other.case_set_id}").count() == 1
    )


def test_an_earlier_version_is_exported_by_its_number(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    the = scene.case_set("Acceptance", scene.draft(), scene.draft())
    call_command("cases", "export", "--set", "Acceptance", "--version", "1")
    assert len(capsysbinary.readouterr().out.splitlines()) == 1
    for number in ("3", "0", "-1", "9" * 20):
        with pytest.raises(CommandError, match="has no version"):
            call_command("cases", "export", "--set", the.name, "--version", number)


def test_sets_and_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    scene.case_set("Acceptance", scene.draft(must_pass=True))
    scene.case_set("Empty")
    call_command("cases", "list")
    printed = capsys.readouterr().out
    assert "Acceptance  version 1, 1 cases" in printed
    assert "Empty  no case yet" in printed
    call_command("cases", "list", "--format", "json")
    assert [row["cases"] for row in json.loads(capsys.readouterr().out)] == [1, 0]
    call_command("cases", "list", "--set", "Acceptance")
    printed = capsys.readouterr().out
    assert "Old pier closes  must pass" in printed
    assert "The summary contains “140”." in printed
    call_command("cases", "list", "--set", "Acceptance", "--format", "json")
    assert json.loads(capsys.readouterr().out)[0]["assertions"][0]["kind"] == "contains"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"", "no case"),
        (b"{", "line 1: It is no JSON"),
        (b"\xff\xfe", "line 1: It is no JSON"),
        (b"[" * 100_000, "line 1: It is no JSON"),
        (b"[]", "line 1: It is no object"),
        (b'{"article": 5, "assertions": []}', "article has to be text"),
        (b'{"article": "x"}', "It has no assertions"),
        (b'{"article": "x", "assertions": [], "more": 1}', "A case has no 'more'"),
        (b'{"article": "x", "assertions": [], "number": true}', "number has to be a whole number"),
        (b'{"article": "x", "assertions": [], "must_pass": 1}', "must_pass has to be true or false"),
        (b'{"article": "short", "assertions": [{"kind": "answer"}]}', "1.article: 1 word"),
    ],
)
def test_a_file_with_one_wrong_line_is_refused_whole(tmp_path: Path, lines: bytes, words: str) -> None:
    good = json.dumps({"article": scene.ARTICLE, "assertions": scene.PASSES}).encode()
    for before in (b"", good + b"\n"):
        if not lines and before:
            continue
        file = tmp_path / "cases.jsonl"
        file.write_bytes((lines + b"\n" + before) if lines else b"")
        with pytest.raises(CommandError, match="cas") as refused:
            call_command("cases", "import", str(file), "--set", "Acceptance")
        assert words in str(refused.value)
        assert not CaseSet.objects.exists()


def test_a_line_without_end_and_too_many_cases_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_bytes(b"x" * ((16 << 20) + 1))
    with pytest.raises(CommandError, match="more than 16 MB"):
        call_command("cases", "import", str(file), "--set", "Acceptance")
    file.write_bytes(b'{"article": "x", "assertions": []}\n' * 501)
    with pytest.raises(CommandError, match="More than 500"):
        call_command("cases", "import", str(file), "--set", "Acceptance")


def test_what_is_not_there_and_who_may_not_is_said(cast: make.Cast, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return call_command("cases", *words)

    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps({"article": scene.ARTICLE, "assertions": scene.PASSES}))
    with pytest.raises(CommandError, match="There is no set"):
        run("export", "--set", "Nothing\0")
    with pytest.raises(CommandError, match="cannot be read"):
        run("import", str(tmp_path / "nothing"), "--set", "Acceptance")
    with pytest.raises(CommandError, match="does not allow this"):
        run("import", str(file), "--set", "Acceptance", "--user", "ada")
    scene.case_set("Empty")
    with pytest.raises(CommandError, match="has no case yet"):
        run("export", "--set", "Empty")
    assert CaseSet.objects.count() == 1
