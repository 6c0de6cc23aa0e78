from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from models_app.models import Approval, AuditEvent, Job, Release, Route
from tests import make
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object, **options: Any) -> str:
        capsys.readouterr()  # what jobs said before
        call_command("release", *[str(word) for word in words], **options)
        return capsys.readouterr().out

    return run


def state(the: Scene) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=the.candidate.pk)


@pytest.mark.usefixtures("waiting")
def test_list_and_show(the: Scene, said: Any) -> None:
    lines = said("list").splitlines()
    assert lines[0].split()[:3] == [str(the.candidate.pk), "awaiting", "approval"]
    assert "improved" in lines[0]
    assert [row["id"] for row in json.loads(said("list", "--state", "live", "--format", "json"))] == [
        the.live.pk
    ]
    shown = said("show", the.candidate.pk)
    assert "tuned on snapshot" in shown
    assert "improved" in shown
    values = json.loads(said("show", the.candidate.pk, "--format", "json"))
    assert (values["state"], values["holds"]) == ("awaiting approval", True)


def test_compose_and_submit_on_behalf_of_a_user(the: Scene, said: Any) -> None:
    out = said(
        "compose",
        "--model",
        the.model.pk,
        "--decoding",
        '{"max_words": 45}',
        "--user",
        "mila",
        "--note",
        "Short.",
    )
    made = Release.objects.latest("pk")
    assert out == f"Release {made.pk} is draft.\n"
    assert (made.decoding["max_words"], made.decoding["max_input_tokens"], made.created_by) == (
        45,
        420,
        the.cast.ml_engineer,
    )
    out = said("submit", the.candidate.pk, "--user", "mila", "--note", "From the pipeline.")
    job = Job.objects.get(kind="judge_release")
    assert out == f"Release {the.candidate.pk} is evaluating; job {job.pk} judges its gates.\n"
    event = AuditEvent.objects.get(action="release.submit")
    assert (event.actor, event.data["comparison"]) == (the.cast.ml_engineer, the.comparison.pk)


def test_submitting_needs_a_comparison_with_what_is_live_and_a_user_who_may(the: Scene, said: Any) -> None:
    said("compose", "--model", the.model.pk, "--decoding", '{"max_words": 45}', "--user", "mila")
    made = Release.objects.latest("pk")
    with pytest.raises(CommandError, match=f"evaluate --candidate {made.pk}"):
        said("submit", made.pk, "--user", "mila")
    with pytest.raises(CommandError, match="role does not allow"):
        said("submit", the.candidate.pk, "--user", "ada")
    with pytest.raises(CommandError, match="no active user"):
        said("submit", the.candidate.pk, "--user", "nobody")
    with pytest.raises(CommandError, match="--user"):
        said("submit", the.candidate.pk)
    assert state(the) == "draft"


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("word", ["approve", "reject"])
def test_no_command_decides(the: Scene, said: Any, word: str) -> None:
    for words in ([word], [word, the.candidate.pk]):
        with pytest.raises(CommandError, match="by a person, on its page"):
            said(*words)
    assert (state(the), Approval.objects.count()) == ("awaiting approval", 0)


def test_withdraw(the: Scene, said: Any) -> None:
    said("withdraw", the.candidate.pk, "--user", "mila", "--reason", "Too early.")
    assert state(the) == "withdrawn"


def test_only_what_is_approved_starts(the: Scene, said: Any) -> None:
    with pytest.raises(CommandError):
        said("start", the.candidate.pk)
    make.approval(make.forced(the.candidate, "approved"))
    with pytest.raises(CommandError, match="role"):
        said("start", the.candidate.pk, "--user", "mila")
    said("start", the.candidate.pk, "--user", "otto")
    assert state(the) == "warming"


def test_rollback_takes_a_reason(the: Scene, said: Any) -> None:
    with pytest.raises(CommandError, match="reason"):
        said("rollback")
    with pytest.raises(CommandError, match="no earlier release"):
        said("rollback", "--reason", "Bad.")
    scenes.made_live(the.candidate)
    assert (
        said("rollback", "--reason", "Names are wrong.", "--user", "otto")
        == f"Release {the.live.pk} is live again.\n"
    )
    assert Route.objects.get().release == the.live
    assert state(the) == "rolled back"


def test_what_was_live_at_a_moment(the: Scene, said: Any) -> None:
    long_ago = timezone.now() - timedelta(days=400)
    assert "nothing was live" in said("as-of", long_ago.isoformat())
    assert f"release {the.live.pk}, starter with news summary v1" in said("as-of", timezone.now().isoformat())
    for nonsense in ("yesterday", "2026-13-45T99:00"):
        with pytest.raises(CommandError, match="no date and time"):
            said("as-of", nonsense)


def test_what_does_not_exist_is_said(the: Scene, said: Any) -> None:
    for words in (
        ["show", 999999], ["start", 999999], ["compose", "--model", 999999, "--user", "mila"],
        ["submit", the.candidate.pk, "--comparison", 999999, "--user", "mila"],
        ["rollback", "--reason", "x", "--environment", "moon"], ["compose", "--model", the.model.pk, "--prompt", 999999,
        "--user", "mila"],
    ):  # fmt: skip
        with pytest.raises(CommandError, match="no "):
            said(*words)


def test_the_first_release_of_all_is_started_without_an_approval(said: Any) -> None:
    cast = make.cast()
    first = make.release(origin="initial")
    with pytest.raises(CommandError, match="role"):
        said("start", first.pk, "--user", "mila")
    said("start", first.pk, "--user", "otto")
    assert Release.objects.get(pk=first.pk).state == "warming"
    scenes.made_live(first)
    with pytest.raises(CommandError, match="need an approval"):
        said("start", make.release(origin="initial").pk, "--user", cast.operator.get_username())
