from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from models_app.models import Comparison, EvaluationRun, Release
from tests import make
from tests.commands.processes import commands
from tests.releases import scene as scenes
from tests.releases.scene import scene


def evaluate(*words: object) -> int:
    try:
        call_command("evaluate", *[str(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after", "verdict", "code"), [(0.10, 0.16, "improved", 0), (0.20, 0.10, "worse", 1)]
)
def test_the_verdict_is_the_exit_code(
    before: float, after: float, verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    the = scene(before=before, after=after)
    assert evaluate("--candidate", the.candidate.pk, "--no-lead") == code
    out = capsys.readouterr().out
    assert out.startswith(
        f"Release {the.candidate.pk} against release {the.live.pk}, which is live: {verdict}\n"
    )
    assert "ROUGE-2" in out


@pytest.mark.django_db
def test_few_documents_are_inconclusive_which_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene(documents=3, before=0.10, after=0.11)
    assert evaluate("--candidate", the.candidate.pk, "--no-lead") == 2
    assert "inconclusive" in capsys.readouterr().out


@pytest.mark.django_db
def test_each_format_says_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    the = scene(before=0.20, after=0.10)
    words = ("--candidate", the.candidate.pk, "--baseline", the.live.pk, "--no-lead", "--format")
    evaluate(*words, "json")
    body = json.loads(capsys.readouterr().out)
    assert (body["verdict"], body["n"], body["candidate"]) == ("worse", 40, the.candidate.pk)
    assert {"rouge1", "rouge2", "rougeL", "rougeLsum"} <= {line["metric"] for line in body["lines"]}
    evaluate(*words, "md")
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert evaluate(*words, "junit", "--output", tmp_path / "report.xml") == 1
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert "verdict" in failed
    assert "ROUGE-2" in failed
    assert suite.get("failures") == str(len(failed))
    assert Comparison.objects.filter(candidate__release=the.candidate, resamples=10000).count() == 1


@pytest.mark.django_db
def test_errors_end_with_three() -> None:
    make.cast()
    for words, said in (
        (["--candidate", "1"], "no test set"),
        (["--candidate", "1", "--test-set", "9"], "no test set 9"),
        (["--candidate", "1", "--user", "nobody"], "no active user"),
    ):
        with pytest.raises(CommandError, match=said) as refused:
            call_command("evaluate", *words)
        assert refused.value.returncode == 3
    scenes.evaluation_set(3)
    with pytest.raises(CommandError, match="Nothing is live"):
        call_command("evaluate", "--candidate", "1")
    for words, said in (
        (["--candidate", "999"], "no release"), (["--candidate", "model:999"], "no model"),
        (["--candidate", "model:x"], "no model"), (["--candidate", "x"], "no release"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=said) as refused:
            call_command("evaluate", *words, "--baseline", "lead")
        assert refused.value.returncode == 3


@pytest.mark.django_db
def test_comparing_with_itself_is_an_error() -> None:
    the = scene(documents=3)
    with pytest.raises(CommandError, match="itself"):
        call_command("evaluate", "--candidate", str(the.live.pk))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_as_a_process_it_evaluates_for_real_and_wrong_arguments_are_no_verdict(tmp_path: Path) -> None:
    make.cast()
    candidate: Any = make.release()
    baseline = scenes.made_live(make.release(decoding={"max_words": 50}))
    scenes.evaluation_set(6)
    words = ["evaluate", "--candidate", str(candidate.pk)]
    done, again, misspelt, unknown = commands(
        tmp_path,
        words,
        [*words, "--format", "json"],
        ["evaluate", "--candidat"],
        ["evaluate", "--candidate", "999999"],
    )
    assert done.returncode in (0, 2), done.stderr
    assert f"Release {candidate.pk} against release {baseline.pk}, which is live" in done.stdout
    assert "lead-3" in done.stdout
    assert f"release {candidate.pk}: " in done.stderr
    assert EvaluationRun.objects.filter(state="succeeded").count() == 3
    assert Release.objects.get(pk=candidate.pk).state == "draft"
    assert json.loads(again.stdout)["comparison"] == Comparison.objects.get().pk
    assert (misspelt.returncode, unknown.returncode) == (3, 3)
