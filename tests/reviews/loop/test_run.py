"""The T5 road, end to end: a T5 made and trained here goes through the command that runs the whole loop."""

from __future__ import annotations

import json
import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_app.models import AuditEvent, Comparison, DatasetSnapshot, ExampleScore, Release, TrainingRun
from reviews.models import FeedbackExample, Summary
from tests.e2e.conftest import without_children as without_children
from tests.tiny_models import make_tiny_t5, topic_task

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FILLER = "the people said that it would not be new and the old town said that it would be open after june ."


def toy_file(path: Path, count: int = 220) -> Path:
    """Articles of a toy task whose summary is learnable, long enough to be taken in."""
    chosen = random.Random(3)
    with path.open("w") as file:
        for number, (source, target) in enumerate(topic_task(count, seed=5)):
            filler = FILLER.split()
            chosen.shuffle(filler)
            # What no other text says, or all of them would be nearly the same and in one split: behind all that the
            # model reads of an article, and at the end of a summary.
            own = " ".join(f"{number}-{word}" for word in range(90))
            score = " ".join(f"{number}{letter}" for letter in "abc")
            row = {
                "id": f"toy-{number}",
                "article": f"{source} {' '.join(filler)} {own}",
                "reference": f"the {target.rstrip('.')} won match {score}.",
            }
            file.write(json.dumps(row) + "\n")
    return path


def run(tmp_path: Path, documents: Path, model: str, *extra: str, **counts: int) -> str:
    said = StringIO()
    numbers = {"train": 60, "validation": 10, "test": 20, **counts}
    call_command(
        "run_loop",
        "--documents", str(documents), "--model", model, "--seed", "3", "--report", str(tmp_path / "report"),
        *(part for name, n in numbers.items() for part in (f"--{name}", str(n))),
        *extra,
        stdout=said,
    )  # fmt: skip
    return said.getvalue()


@pytest.mark.usefixtures("without_children")
def test_a_t5_goes_through_the_whole_loop_and_learns_the_toy_task(tmp_path: Path, settings: Any) -> None:
    settings.GALLEY_MODEL_DIRECTORIES = [tmp_path]
    base = make_tiny_t5(tmp_path / "tiny-t5")
    recipe = {
        "epochs": 25,
        "learning_rate": 0.01,
        "batch_tokens": 1024,
        "max_source_tokens": 64,
        "patience": None,
    }
    said = run(
        tmp_path, toy_file(tmp_path / "toy.jsonl"), str(base), "--preset", "t5-default",
        "--recipe", json.dumps(recipe | {"max_target_tokens": 24}),
    )  # fmt: skip

    report = json.loads((tmp_path / "report" / "report.json").read_text())
    results = {
        (row["against"], row["metric"]): row
        for row in report["comparison"]["results"]
        if row["slice"] == "all"
    }
    assert report["comparison"]["verdict"] == "improved", said
    assert results["baseline", "rouge1"]["low"] > 0
    assert results["baseline", "rouge1"]["n"] == 20
    assert ("lead", "rouge2") in results
    assert report["release"]["state"] == "needs evidence", "twenty test documents are few"
    assert "no person reviewed anything" in report["reviewers"]

    run_row = TrainingRun.objects.get()
    assert run_row.state == "succeeded"
    assert run_row.metrics.filter(validation_loss__isnull=False).exists()
    snapshot = DatasetSnapshot.objects.get()
    tested = set(ExampleScore.objects.values_list("example__document_hash", flat=True))
    learnt = set(snapshot.examples.values_list("document_hash", flat=True))
    assert len(tested) == 20
    assert not tested & learnt, "a test document was learnt from"
    assert set(snapshot.examples.values_list("split", flat=True)) == {"train", "validation"}
    assert FeedbackExample.objects.filter(document__split="test").count() == 0
    assert Summary.objects.filter(source="batch").count() == 70, (
        "the base model drafts what may be learnt from"
    )

    markdown = (tmp_path / "report" / "report.md").read_text()
    for words in (
        "Table 1. Baseline against tuned model",
        "Lead-3 against tuned model",
        "Table 5.",
        "CPU-minutes",
    ):
        assert words in markdown
    assert AuditEvent.objects.filter(action="release.submit").count() == 1

    # the same command again finds what is there
    run(
        tmp_path, tmp_path / "toy.jsonl", str(base), "--preset", "t5-default",
        "--recipe", json.dumps(recipe | {"max_target_tokens": 24}),
    )  # fmt: skip
    assert DatasetSnapshot.objects.count() == 1
    assert Comparison.objects.count() == 1
    assert Release.objects.filter(state="needs evidence").count() == 1


def test_too_few_documents_of_a_split_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="500 test documents with a reference are wanted"):
        run(tmp_path, toy_file(tmp_path / "toy.jsonl", 60), "starter", train=5, validation=2, test=500)
    assert not TrainingRun.objects.exists()
