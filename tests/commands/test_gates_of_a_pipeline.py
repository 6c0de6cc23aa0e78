"""`evaluate --gate` and `release submit|wait|start|hold|rollback`, as a pipeline calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from models_app.foundation.errors import Refused
from models_app.gates import running
from models_app.models import Approval, Comparison, GateRun, Release, Route
from models_app.models.releases import Environment
from tests import make
from tests.commands.processes import commands
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene


def code(*words: object) -> int:
    try:
        call_command(*[str(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)
    except CommandError as error:
        return error.returncode
    return 0


def submitted(the: Scene) -> Release:
    """On the comparison that the command makes, and judged."""
    code("evaluate", "--candidate", the.candidate.pk, "--no-lead")
    comparison = Comparison.objects.get(candidate__release=the.candidate, resamples=10_000)
    return the.submitted(comparison=comparison)


def gate(the: Scene, *more: object) -> int:
    return code("evaluate", "--candidate", the.candidate.pk, "--no-lead", "--gate", "production", *more)


@pytest.mark.django_db
def test_a_draw_of_one_s_own_is_shown_and_neither_judged_nor_submitted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever tries a hundred seeds finds one whose interval suits."""
    the = scene()
    assert code("evaluate", "--candidate", the.candidate.pk, "--no-lead", "--seed", "8") == 0
    assert gate(the, "--seed", "8") == 3
    mine = Comparison.objects.get(seed=8)
    with pytest.raises(Refused, match=f"Comparison {mine.pk} was drawn with seed 8"):
        the.submitted(comparison=mine)
    assert GateRun.objects.count() == 0


@pytest.mark.django_db
def test_without_a_number_the_test_set_is_the_policy_s(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene()
    newer = scenes.evaluation_set(12)
    scenes.evaluated(the.candidate, newer, level=0.3)
    scenes.evaluated(the.live, newer, level=0.1)
    scenes.small_policy(primary={"test_set": the.on.pk, "least_documents": 10})
    assert code("evaluate", "--candidate", the.candidate.pk, "--no-lead") == 0
    assert f"{the.on.rows} documents of test set {the.on.pk}" in capsys.readouterr().out
    assert code("evaluate", "--candidate", the.candidate.pk, "--no-lead", "--test-set", newer.pk) == 0
    assert f"{newer.rows} documents of test set {newer.pk}" in capsys.readouterr().out


@pytest.mark.django_db
def test_what_waits_for_more_is_told_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene()
    scenes.small_policy(guards={"least_documents": 100})
    the.submitted()
    capsys.readouterr()
    assert code("release", "wait", the.candidate.pk) == 2
    said = capsys.readouterr().err
    assert (
        f"Release {the.candidate.pk}: needs evidence. It was waited for until it is judged: inconclusive."
        in said
    )
    with pytest.raises(
        CommandError, match=rf"Release {the.candidate.pk} is needs evidence; only what is approved"
    ):
        call_command("release", "start", str(the.candidate.pk))


@pytest.mark.django_db
@pytest.mark.parametrize("words", ["x", "[" * 100_000, '{"beams": ' + "9" * 5000 + "}", "[1]"])
@pytest.mark.parametrize(
    "command",
    [("release", "compose", "--model", "1", "--decoding"), ("train", "--snapshot", "1", "--recipe")],
)
def test_what_is_no_object_in_json_is_refused_in_a_line(command: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command(*command, words)
    assert 'an object in JSON, such as {"' in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.django_db
def test_all_gates_pass_which_is_zero_in_every_format(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    the = scene()
    assert submitted(the).state == "awaiting approval"
    capsys.readouterr()
    assert gate(the) == 0
    out = capsys.readouterr().out
    assert f"Gates of production, release {the.candidate.pk}: pass" in out
    assert f"Release {the.candidate.pk} against release {the.live.pk}, which is live: improved" in out
    assert gate(the, "--format", "json") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["verdict"], body["outcome"], body["compared"]["verdict"]) == (
        "pass", "awaiting approval", "improved",
    )  # fmt: skip
    assert {row["gate"] for row in body["results"]} >= {"integrity", "leakage", "primary", "safety"}
    assert gate(the, "--format", "md") == 0
    assert capsys.readouterr().out.startswith("## Gates of production")
    assert gate(the, "--format", "junit", "--output", tmp_path / "gates.xml") == 0
    assert f"{tmp_path / 'gates.xml'}: pass" in capsys.readouterr().err
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()
    assert [suite.get(name) for name in ("failures", "errors")] == ["0", "0"]
    assert len(suite) == len(body["results"])
    assert GateRun.objects.count() == 1, "what was submitted stands on its own run"


@pytest.mark.django_db
def test_a_worse_release_is_one_by_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene(before=0.20, after=0.10)
    assert submitted(the).state == "blocked"
    assert gate(the) == 1
    assert "Primary metric" in capsys.readouterr().out
    assert code("release", "wait", the.candidate.pk, "--timeout", 0) == 1
    said = capsys.readouterr()
    assert f"release {the.candidate.pk}: blocked" in said.err
    assert "Needed: " in said.out


@pytest.mark.django_db
def test_too_few_documents_are_two_by_each_command() -> None:
    the = scene(documents=12)
    scenes.small_policy(primary={"least_documents": 500})
    assert submitted(the).state == "needs evidence"
    assert gate(the) == 2
    assert code("release", "wait", the.candidate.pk, "--timeout", 0) == 2


@pytest.mark.django_db
def test_gates_that_were_not_judged_to_the_end_are_three(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene()
    code("evaluate", "--candidate", the.candidate.pk, "--no-lead")
    comparison = Comparison.objects.get(resamples=10_000)
    run = running.start(release=the.candidate, comparison=comparison, actor=None)
    GateRun.objects.filter(pk=run.pk).update(state="failed", reason="It was killed.")
    make.forced(the.candidate, "blocked")
    capsys.readouterr()
    assert gate(the) == 3
    assert "It was killed." in capsys.readouterr().out
    assert code("release", "wait", the.candidate.pk) == 3


@pytest.mark.django_db
def test_gates_of_nowhere_of_another_place_and_by_an_earlier_policy_are_refused() -> None:
    the = scene()
    with pytest.raises(CommandError, match=r"no environment 'moon'; there are .*production") as refused:
        call_command("evaluate", "--candidate", str(the.candidate.pk), "--gate", "moon")
    assert refused.value.returncode == 3
    staging, _ = Environment.objects.get_or_create(name="staging")
    Route.objects.get_or_create(environment=staging, defaults={"release": None, "salt": "x"})
    words = ["evaluate", "--candidate", str(the.candidate.pk), "--no-lead", "--gate"]
    with pytest.raises(CommandError, match="is for production"):
        call_command(*words, "staging", "--baseline", str(the.live.pk))
    the.submitted()
    with pytest.raises(CommandError, match="were not judged on comparison"):
        call_command(*words, "production")
    the.submitted(comparison=Comparison.objects.get(resamples=10_000))
    scenes.small_policy(primary={"least_documents": 11})
    with pytest.raises(CommandError, match="policy of production was changed"):
        call_command(*words, "production")


@pytest.mark.django_db
def test_waiting_for_people_ends_with_the_time_and_with_their_decision(
    capsys: pytest.CaptureFixture[str],
) -> None:
    the = scene()
    assert (
        code("release", "submit", the.candidate.pk, "--user", "mila", "--comparison", the.comparison.pk) == 0
    )
    scenes.gates_done(Release.objects.get(pk=the.candidate.pk))
    assert code("release", "wait", the.candidate.pk) == 0
    assert code("release", "wait", the.candidate.pk, "--until", "approved", "--timeout", 0.1) == 2
    assert "until it is approved: inconclusive." in capsys.readouterr().err
    the.approved_by(the.cast.approver)
    assert code("release", "wait", the.candidate.pk, "--until", "approved", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "warming"
    assert code("release", "wait", the.candidate.pk, "--until", "live", "--timeout", 0) == 2
    assert code("release", "start", the.candidate.pk, "--user", "otto") == 0, "its approval has started it"
    assert code("release", "start", the.candidate.pk, "--user", "mila") == 3
    make.put_live(Release.objects.get(pk=the.candidate.pk))
    assert code("release", "wait", the.candidate.pk, "--until", "live") == 0
    assert code("release", "rollback", "--reason", "Names are wrong.") == 0
    assert code("release", "wait", the.candidate.pk, "--until", "live") == 1


@pytest.mark.django_db
def test_a_draft_is_not_waited_for_and_nothing_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    the = scene()
    assert code("release", "wait", the.candidate.pk) == 2
    assert "is draft; no gate has judged it" in capsys.readouterr().out
    assert code("release", "wait", the.candidate.pk, "--format", "junit") == 3, "there is no file to write"
    assert code("release", "wait", 999_999) == 3
    assert code("release", "wait", the.candidate.pk, "--timeout", "nan") == 3
    with pytest.raises(CommandError, match="rolling out") as refused:
        call_command("release", "hold", str(the.candidate.pk), "--reason", "Odd.")
    assert refused.value.returncode == 3
    assert Approval.objects.count() == 0


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_as_a_process_the_gates_of_a_draft_are_judged_for_real(tmp_path: Path) -> None:
    make.cast()
    candidate: Any = make.release()
    scenes.made_live(make.release(decoding={"max_words": 50}))
    scenes.evaluation_set(6)
    file = tmp_path / "gates.json"
    words = ["evaluate", "--candidate", str(candidate.pk), "--gate", "production"]
    done, nowhere, held, waited = commands(
        tmp_path,
        [*words, "--format", "json", "--output", str(file)],
        ["release", "wait", str(candidate.pk), "--until", "moon"],
        ["release", "hold"],
        ["release", "wait", str(candidate.pk)],
    )
    body = json.loads(file.read_text())
    assert done.returncode == {"pass": 0, "fail": 1, "inconclusive": 2, "error": 3}[body["verdict"]], (
        done.stderr
    )
    assert done.returncode != 0, "six documents prove nothing"
    run = GateRun.objects.get()
    assert (run.state, run.pk) == ("finished", body["run"])
    assert len(body["results"]) == run.results.count()
    assert Release.objects.get(pk=candidate.pk).state == "draft"
    assert [one.returncode for one in (nowhere, held, waited)] == [3, 3, 2]
