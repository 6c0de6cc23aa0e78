"""The evidence file of a release: all that a decision rests on, signed with the installation's key."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.core.management.base import CommandError

from models_app.evidence import keys
from models_app.evidence.envelope import check, sign, written_key
from models_app.evidence.files import evidence_file
from models_app.foundation.errors import Unavailable
from models_app.models import Release
from tests import make
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.GALLEY_HOME = tmp_path
    return tmp_path


def test_the_key_is_made_once_and_is_its_owners_alone(home: Path) -> None:
    first = keys.public_key()
    assert keys.public_key() == first
    assert stat.S_IMODE((home / "evidence_key").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["evidence_key"]


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff", b"AAAA"])
def test_a_key_that_is_damaged_is_not_replaced_unasked(home: Path, content: bytes) -> None:
    (home / "evidence_key").write_bytes(content)
    with pytest.raises(Unavailable, match="Restore it"):
        keys.signing_key()
    assert (home / "evidence_key").read_bytes() == content


@pytest.fixture
def the(request: pytest.FixtureRequest, db: None) -> Scene:
    return scenes.waiting() if "file" in request.fixturenames else scene()


@pytest.fixture
def file(the: Scene, tmp_path: Path) -> Path:
    """Of a release that waits."""
    path = tmp_path / "evidence.json"
    path.write_bytes(evidence_file(Release.objects.get(pk=the.candidate.pk)))
    return path


def test_it_holds_what_the_decision_is_based_on(the: Scene, file: Path) -> None:
    document = check(file.read_bytes(), key=keys.public_key()).document
    assert document["release"]["digest"] == the.candidate.digest
    assert document["decision"]["evidence_digest"] == Release.objects.get(pk=the.candidate.pk).evidence_digest
    assert document["comparison"]["digest"] == the.comparison.digest
    assert {row["metric"] for row in document["comparison"]["results"]} >= {"rouge2", "unsupported_numbers"}
    assert document["lineage"][0]["snapshot"]["digest"] == the.snapshot.digest
    assert "started its training" in " ".join(document["people_with_a_hand_in_it"]["mila"])
    assert "release.submit" in {event["action"] for event in document["trail"]["events"]}
    assert len(document["trail"]["head"]["hash"]) == 64
    shown = document["comparison"]["documents_shown"]
    assert [one["kind"] for one in shown] == [*["worst"] * 3, *["typical"] * 3, *["best"] * 3]
    assert {one["sha256"]["after"] for one in shown} == {hashlib.sha256(scenes.WRITTEN.encode()).hexdigest()}


def test_gates_policy_and_waivers_are_in_it(the: Scene) -> None:
    run = scenes.judged(the.candidate, the.comparison)
    gates = check(evidence_file(Release.objects.get(pk=the.candidate.pk))).document["gates"]
    assert (gates["run"], gates["digest"], gates["verdict"]) == (run.pk, run.digest, run.verdict)
    assert len(gates["results"]) == run.results.count() > 0
    assert gates["policy"]["number"] == run.policy.number
    assert gates["policy"]["settings"]["primary"]["least_documents"] == 10


def test_it_holds_no_article_and_no_summary(the: Scene, file: Path) -> None:
    assert scenes.WRITTEN not in file.read_text()
    assert make.ARTICLE[:40] not in file.read_text()


def test_a_release_that_was_never_submitted_has_a_file_that_says_so(the: Scene) -> None:
    found = check(evidence_file(the.live))
    assert found.submitted_at is None
    assert found.document["comparison"] is None


# ---------------------------------------------------------------- verify_evidence


def verify(*words: object) -> int:
    try:
        call_command("verify_evidence", *[str(word) for word in words])
    except CommandError as error:
        return error.returncode
    return 0


def test_this_installations_own_file_holds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(file) == 0
    said = capsys.readouterr().out
    assert "whole" in said
    assert "of the submission of" in said
    assert "improved" in said
    assert verify(file, "--key", keys.public_key()) == 0


def test_without_the_key_a_whole_file_from_elsewhere_is_not_settled(
    file: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(file) == 2
    assert "named by the file alone" in capsys.readouterr().out
    assert not (home / "evidence_key").exists(), "checking makes no key"


def test_a_forged_a_cut_and_a_foreign_file_do_not(file: Path, tmp_path: Path) -> None:
    content = file.read_text()
    cases = {
        "forged": content.replace('"verdict": "improved"', '"verdict": "worse"', 1),
        "cut": content[: len(content) // 2],
        "empty": "",
    }
    for name, words in cases.items():
        path = tmp_path / f"{name}.json"
        path.write_text(words)
        assert verify(path) == 1, name
        assert verify(path, "--key", keys.public_key()) == 1, name
    other = Ed25519PrivateKey.generate()
    assert verify(file, "--key", written_key(other.public_key())) == 1


def test_an_older_submission_is_named_beside_the_newer_one(
    the: Scene, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = json.loads(file.read_text())["document"]
    newer["release"]["submitted_at"] = "2099-01-01T00:00:00Z"
    path = tmp_path / "newer.json"
    path.write_bytes(signed(newer))
    assert verify(file, path) == 1
    said = capsys.readouterr().out
    assert f"{file}: superseded by another" in said
    assert f"{path}: whole" in said


def signed(document: Any) -> bytes:
    return sign(document, keys.signing_key())


@pytest.mark.parametrize(
    "words", [["/nowhere/at/all.json"], ["/tmp"], ["FILE", "--key", "abc"], ["FILE", "--key", ""]]
)
def test_what_cannot_be_read_is_an_error(file: Path, words: list[str]) -> None:
    assert verify(*[file if word == "FILE" else word for word in words]) == 3


def test_it_needs_no_database_and_no_data_directory(file: Path, tmp_path: Path) -> None:
    """As on another machine: manage.py with settings under which no database answers."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GALLEY_", "DATABASE_"))
    }
    environment |= {
        "DJANGO_SETTINGS_MODULE": "llmops_site.settings",
        "GALLEY_HOME": str(tmp_path / "elsewhere"),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_evidence", str(file), "--key", keys.public_key()],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "whole" in done.stdout
    assert not (tmp_path / "elsewhere").exists(), "a command that checks a file writes none"


def test_what_a_file_says_cannot_steer_the_terminal(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(file.read_text())["document"]
    document["release"]["state"] = "\x1b[2Jlive\r\n"
    path = tmp_path / "coloured.json"
    path.write_bytes(signed(document))
    verify(path)
    assert "\x1b[2J" not in capsys.readouterr().out
