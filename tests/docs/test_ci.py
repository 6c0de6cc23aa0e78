"""The files of docs/ci, step by step as GitHub Actions and Azure Pipelines run them, against a live Galley whose jobs
are carried out for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from models_app.foundation.tokens import create_token
from models_app.gates.running import newest
from models_app.models import Comparison, Job, ModelVersion, PromptVersion, Release, TrainingRun
from models_app.releases.composing import compose_release
from models_app.training.registering import register_base
from reviews.examples.decisions import approve_examples
from reviews.examples.proposals import propose_from_references
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import Selection, freeze_snapshot
from reviews.ingest.documents import import_rows
from reviews.ingest.records import read_file
from reviews.models import SourceDocument
from tests import make
from tests.e2e.conftest import Worker
from tests.e2e.conftest import without_children as without_children
from tests.e2e.conftest import worker as worker
from tests.releases import scene as scenes
from tests.reviews.loop.test_run import toy_file
from tests.tiny_models import make_tiny_t5

CI = Path(django_settings.BASE_DIR) / "docs" / "ci"
SCOPES = ("training:write", "evaluations:write", "releases:submit", "releases:read")
DECODING = {"max_new_tokens": 24, "max_words": 20, "max_input_tokens": 64}
RECIPE = {
    "epochs": 14,
    "learning_rate": 0.01,
    "batch_tokens": 1024,
    "max_source_tokens": 64,
    "max_target_tokens": 24,
    "patience": None,
}
CODES = {"awaiting approval": 0, "blocked": 1, "needs evidence": 2}


@dataclass
class Runner:
    """What both services do around a step: a shell, the variables of the pipeline, and those that steps set."""

    directory: Path
    variables: dict[str, str]
    said: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.directory / "ci").mkdir(parents=True)
        shutil.copy(CI / "galley.sh", self.directory / "ci")

    def step(self, script: str, *shell: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", *shell, "-c", script],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), **env},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        self.said.append(done)
        return done


def github(runner: Runner) -> list[tuple[str, int]]:
    """(step, exit code) of each step with a shell, up to the first that fails."""
    (job,) = yaml.safe_load((CI / "github-actions.yml").read_text())["jobs"].values()
    assert job["defaults"]["run"]["shell"] == "bash"
    given = {"GITHUB_RUN_ID": "77", "GITHUB_REPOSITORY": "paper/models", "GITHUB_SHA": "0123abcd"}
    for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY"):
        given[name] = str(runner.directory / name)
        Path(given[name]).touch()

    def value(expression: re.Match[str]) -> str:
        name, _, default = expression[1].partition("||")
        return runner.variables.get(name.strip().split(".")[1]) or default.strip().strip("'")

    env = {name: re.sub(r"\$\{\{(.+?)\}\}", value, str(text)) for name, text in job["env"].items()}
    codes = []
    for step in job["steps"]:
        if "run" not in step:
            assert step["uses"].startswith("actions/")
            continue
        assert "${{" not in step["run"], "an expression in a script could be code"
        set_before = dict(line.split("=", 1) for line in Path(given["GITHUB_ENV"]).read_text().splitlines())
        done = runner.step(
            step["run"], "-eo", "pipefail", **env, **given, **set_before, GALLEY_POLL_SECONDS="1"
        )
        codes.append((step["name"], done.returncode))
        if done.returncode:
            break
    return codes


def azure(runner: Runner) -> list[tuple[str, int]]:
    pipeline = yaml.safe_load((CI / "azure-pipelines.yml").read_text())
    (job,) = pipeline["jobs"]
    assert pipeline["variables"] == [{"group": "galley"}]
    secret = {"GALLEY_TOKEN"}
    given = {"BUILD_BUILDID": "78", "BUILD_DEFINITIONNAME": "galley", "BUILD_SOURCEVERSION": "0123abcd"}
    given |= {name: text for name, text in runner.variables.items() if name not in secret}
    codes = []
    for step in job["steps"]:
        if "bash" not in step:
            assert set(step) & {"checkout", "task"}
            continue
        macros = re.findall(r"\$\((\w+)\)", step["bash"])
        assert not set(macros) & set(runner.variables), "Azure would paste it into the script"
        mapped = {name: runner.variables[text[2:-1]] for name, text in step["env"].items()}
        done = runner.step(step["bash"], **given, **mapped, GALLEY_POLL_SECONDS="1")
        given |= dict(re.findall(r"^##vso\[task\.setvariable variable=(\w+)\](.*)$", done.stdout, re.M))
        codes.append((step["displayName"], done.returncode))
        if done.returncode:
            break
    return codes


@pytest.fixture
def base(transactional_db: None, tmp_path: Path, settings: Any) -> ModelVersion:
    """An untrained T5 is live; a snapshot and a test set are frozen."""
    cast = make.cast()
    import_rows(rows=list(read_file(toy_file(tmp_path / "toy.jsonl", 160))), origin="toy", actor=None)
    documents = SourceDocument.objects.filter(split__in=("train", "validation"))
    examples = propose_from_references(documents=documents, actor=cast.ml_engineer)
    approve_examples(examples=examples, actor=cast.ml_engineer)
    freeze_snapshot(
        name="References",
        selection=Selection(documents=tuple(documents.values_list("pk", flat=True)), origins=("reference",)),
        actor=cast.ml_engineer,
    )
    freeze_test_set(actor=cast.ml_engineer, limit=20)
    settings.GALLEY_MODEL_DIRECTORIES = [tmp_path]
    model = register_base(
        reference=str(make_tiny_t5(tmp_path / "tiny-t5", seed=3)), name="tiny T5", actor=None
    )
    make.put_live(
        compose_release(
            model_version=model, prompt_version=PromptVersion.objects.get(prompt__name="summarize", number=1),
            decoding=DECODING, origin="initial", actor=None,
        )
    )  # fmt: skip
    return model


def variables(base: ModelVersion, url: str, **recipe: Any) -> dict[str, str]:
    training = {"base": f"model:{base.pk}", "preset": "t5-default", "recipe": RECIPE | recipe}
    return {"GALLEY_URL": url, "GALLEY_TOKEN": token_of_mila(), "GALLEY_TRAINING": json.dumps(training)}


def what_came(runner: Runner, codes: list[tuple[str, int]]) -> Release:
    told = "\n".join(done.stdout + done.stderr for done in runner.said)
    names = [name for name, _ in codes]
    assert names == ["Train", "Compose a release", "Compare with what is live", "Submit", "Gates"], told
    assert [code for _, code in codes[:-1]] == [0, 0, 0, 0], told
    release = Release.objects.filter(origin="retraining").latest("pk")
    assert codes[-1][1] == CODES[release.state], told
    assert release.requested_by is not None
    assert (release.requested_by.username, release.approvals.count()) == ("mila", 0)
    body = json.loads((runner.directory / "gates.json").read_text())
    run = newest(release)
    assert run is not None
    assert (body["state"], body["gates"]["verdict"]) == (release.state, run.verdict)
    suite = ElementTree.parse(runner.directory / "gates.xml").getroot()
    assert len(suite) == run.results.count() == int(str(suite.get("tests")))
    bad = sum(case.find("failure") is not None for case in suite)
    assert (
        bad
        == int(str(suite.get("failures")))
        == run.results.filter(verdict__in=("fail", "inconclusive")).count()
    )
    assert all(runner.variables["GALLEY_TOKEN"] not in done.stdout + done.stderr for done in runner.said)
    return release


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("without_children")
def test_every_step_of_both_files_does_what_it_says(
    base: ModelVersion, worker: Worker, live_server: LiveServer, tmp_path: Path
) -> None:
    # evaluations in this test's own process are as large as all that it did before, and share the cores
    scenes.small_policy(speed={"times_slower": None, "times_memory": None})
    first = Runner(tmp_path / "github", variables(base, live_server.url))
    release = what_came(first, github(first))
    assert Comparison.objects.get(releases=release).verdict == "improved", first.said[2].stderr
    summary = (first.directory / "GITHUB_STEP_SUMMARY").read_text()
    assert summary.startswith(f"## Release {release.pk}: ")
    assert "| Primary metric |" in summary
    assert release.requester_reason == "Run 77 of paper/models at 0123abcd."

    trained, jobs = TrainingRun.objects.count(), Job.objects.count()
    again = Runner(tmp_path / "again", first.variables)
    assert [code for _, code in github(again)] == [done.returncode for done in first.said]
    assert (TrainingRun.objects.count(), Job.objects.count()) == (trained, jobs), "it is the same run"

    second = Runner(tmp_path / "azure", variables(base, f"{live_server.url}/", seed=5, epochs=1))
    other = what_came(second, azure(second))
    assert other.pk != release.pk
    assert f"##vso[task.uploadsummary]{second.directory}/gates.md" in second.said[-1].stdout
    assert (second.directory / "gates.md").read_text().startswith(f"## Release {other.pk}: ")


@pytest.mark.django_db(transaction=True)
def test_what_goes_wrong_ends_with_three_and_says_why(live_server: LiveServer, tmp_path: Path) -> None:
    make.cast()
    runner = Runner(tmp_path / "run", {})

    def galley(*words: str, **env: str) -> tuple[int, str]:
        given = {"GALLEY_URL": live_server.url, "GALLEY_TOKEN": "gly_wrong", "GALLEY_KEY": "9", **env}
        done = runner.step(f"bash ci/galley.sh {' '.join(words)}", **given)
        return done.returncode, done.stderr

    for words, env, said in (
        (["train"], {}, "training-runs/: authentication_failed: Invalid token."),
        (["train"], {"GALLEY_TOKEN": ""}, "set GALLEY_URL and GALLEY_TOKEN"),
        (["train"], {"GALLEY_KEY": ""}, "set GALLEY_KEY"),
        (["approve", "14"], {}, "not 'approve'"),
        ([], {}, "not ''"),
        (["compose", "model"], {}, "takes the number of a model version, not 'model'"),
        (["gates"], {}, "takes the number of a release, not ''"),
        (["submit", "1x", "Why"], {}, "takes the number of a comparison, not '1x'"),
    ):
        code, told = galley(*words, **env)
        assert (code, said in told) == (3, True), told
    token = token_of_mila()
    for words, said in (
        (["train"], "not_found: There is no snapshot yet."),
        (["compose", "999999"], "There is no model 999999."),
        (["compare", "999999"], "There is no release 999999."),
        (["submit", "999999", "Why"], "There is no comparison 999999."),
        (["gates", "999999"], "There is no release 999999."),
    ):
        code, told = galley(*words, GALLEY_TOKEN=token)
        assert (code, said in told) == (3, True), told
    draft: Any = make.release()
    assert galley("gates", str(draft.pk), GALLEY_TOKEN=token)[0] == 2


def token_of_mila() -> str:
    mila = User.objects.get(username="mila")
    return create_token(user=mila, name="pipeline", scopes=list(SCOPES), days=1, actor=mila)[1]
