"""Evidence stays as it was: the database refuses to rewrite it, and who switches the refusal off is found out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.models import (
    Approval,
    AuditEvent,
    Comparison,
    ComparisonResult,
    EvaluationExample,
    ExampleScore,
    Release,
    Route,
    SnapshotExample,
    TrainingMetric,
    TrainingRun,
)
from models_app.releases.composing import digests_of_rows
from models_app.releases.deploying import go_live
from models_app.releases.hands import training_lineage
from models_app.releases.standing import evidence_problem
from tests.database import without_guards
from tests.doors import guarantees
from tests.releases import scene as scenes
from tests.releases.scene import Scene, decisions, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return scenes.waiting()


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


# ---------------------------------------------------------------- found out, where the triggers were off

REWRITTEN: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "a score of the candidate": (ExampleScore, {"rouge2": 0.99}),
    "an output": (ExampleScore, {"output": "Better words."}),
    "what a score says of facts": (ExampleScore, {"unsupported_numbers": 0, "unsupported_names": 3}),
    "a result": (ComparisonResult, {"after": 99.0}),
    "the verdict": (Comparison, {"verdict": "improved", "sentence": "Much better."}),
    "a reference": (EvaluationExample, {"reference": "Better words."}),
    "a test document": (EvaluationExample, {"source": "Another article."}),
    "a training row": (SnapshotExample, {"target": "Another summary."}),
    "which document a row came from": (SnapshotExample, {"document_hash": "0" * 64}),
}


def rewrite(what: str) -> None:
    model, values = REWRITTEN[what]
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    with without_guards(model):
        assert model._default_manager.filter(pk=row.pk).update(**values) == 1


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_is_rewritten_with_the_triggers_off_is_found_at_the_approval(the: Scene, what: str) -> None:
    assert evidence_problem(now(the), thorough=True) == ""
    rewrite(what)
    with pytest.raises(Refused, match="not what it was") as refused:
        the.approved_by(the.cast.approver)
    assert refused.value.code == "evidence_changed"
    assert (now(the).state, Approval.objects.filter(voided_at=None).count()) == ("awaiting approval", 0)


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_is_rewritten_after_the_approval_is_found_when_it_would_go_live(the: Scene, what: str) -> None:
    the.approved_by(the.cast.approver)
    rewrite(what)
    with pytest.raises(Refused, match="not what it was"):
        go_live(release=now(the))
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)
    assert decisions(the.candidate) == [("ada", "approved", False)]
    assert "not what it was" in Approval.objects.get().void_reason
    assert AuditEvent.objects.filter(action="deployment.sent_back").count() == 1


@pytest.mark.parametrize("what", ["a score of the candidate", "an output"])
def test_scores_that_were_rewritten_before_it_was_submitted_are_found_then(what: str) -> None:
    the = scene()
    rewrite(what)
    with pytest.raises(Refused, match="not those that comparison"):
        the.submitted()
    assert now(the).state == "draft"


def test_a_row_that_is_added_or_taken_away_is_found(the: Scene) -> None:
    comparison, lineage = the.comparison, training_lineage(the.candidate)
    before = digests_of_rows(comparison, lineage)
    with without_guards(ExampleScore):
        ExampleScore.objects.filter(run=comparison.candidate).order_by("-pk")[:1].get().delete()
    after = digests_of_rows(comparison, lineage)
    assert before["scores"]["candidate"] != after["scores"]["candidate"]
    assert before["scores"]["baseline"] == after["scores"]["baseline"]
    SnapshotExample.objects.create(
        snapshot=the.snapshot,
        position=99,
        split="train",
        document_hash="f" * 64,
        origin="x",
        source="a",
        target="b",
    )
    assert before["snapshots"] != digests_of_rows(comparison, lineage)["snapshots"]


def test_words_that_move_from_one_column_to_the_next_are_found(the: Scene) -> None:
    before = digests_of_rows(the.comparison, [])["test_set"]
    row = EvaluationExample.objects.first()
    assert row is not None
    with without_guards(EvaluationExample):
        EvaluationExample.objects.filter(pk=row.pk).update(
            source=row.source + row.reference[:1], reference=row.reference[1:]
        )
    assert digests_of_rows(the.comparison, [])["test_set"] != before


def test_deciding_on_other_evidence_in_the_release_s_own_row_is_refused(the: Scene) -> None:
    """Both columns rewritten together, while that is allowed: the approval is bound to the digest that was seen."""
    the.approved_by(the.cast.approver)
    with without_guards(Release):
        Release.objects.filter(pk=the.candidate.pk).update(evidence={}, evidence_digest="0" * 64)
    with pytest.raises(Refused):
        go_live(release=now(the))
    assert now(the).state == "awaiting approval"


# ---------------------------------------------------------------- every line of the table in docs/architecture.md


def table() -> list[str]:
    text = (Path(settings.BASE_DIR) / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## What the database itself guarantees", 1)[1].split("\n## ", 1)[0]
    return [
        row.group(1).strip() for row in re.finditer(r"^\| (?!\||---)(.+?) \| .+ \|$", section, re.MULTILINE)
    ]


def test_every_line_of_the_table_is_tried() -> None:
    assert table(), "the table was not found"
    assert sorted(table()) == sorted(guarantees.ATTEMPTS)


@pytest.mark.parametrize("line", guarantees.ATTEMPTS)
def test_the_database_guarantees(line: str) -> None:
    for attempt, meant in guarantees.ATTEMPTS[line]:
        with transaction.atomic():
            statements = attempt(scene_with_everything())
            assert statements, line
            for statement in statements:
                assert refusal(statement) in meant, f"{line}: {statement}"
            transaction.set_rollback(True)


def scene_with_everything() -> Scene:
    return scenes.waiting()


def refusal(statement: str) -> str:
    """The SQLSTATE with which the database refuses it; empty where it does not."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(statement)
            assert cursor.rowcount != 0, f"it found no row to change: {statement}"
            transaction.set_rollback(True)
    except DatabaseError as error:
        return str(getattr(error.__cause__, "sqlstate", ""))
    return ""


def test_a_broken_chain_of_the_audit_trail_is_found(the: Scene) -> None:
    assert audit.verify().whole
    event = AuditEvent.objects.order_by("pk")[1]
    with without_guards(AuditEvent):
        AuditEvent.objects.filter(pk=event.pk).update(actor_name="somebody else")
    assert audit.verify().broken == event.pk


def test_the_last_digit_of_a_score_counts(the: Scene) -> None:
    before = digests_of_rows(the.comparison, [])["scores"]
    row = ExampleScore.objects.first()
    assert row is not None
    with without_guards(ExampleScore):
        ExampleScore.objects.filter(pk=row.pk).update(rouge1=row.rouge1 + 1e-15)
    assert digests_of_rows(the.comparison, [])["scores"] != before


def test_metrics_of_a_training_under_way_are_written_and_those_of_a_finished_one_kept(the: Scene) -> None:
    run = the.model.training_run
    assert run is not None
    with pytest.raises(DatabaseError), transaction.atomic():
        TrainingMetric.objects.create(run=run, step=1, loss=0.1)
    going = TrainingRun.objects.create(
        name="going", snapshot=run.snapshot, base="starter", prompt_version=run.prompt_version, recipe={},
        recipe_digest="x", state="running",
    )  # fmt: skip
    metric = TrainingMetric.objects.create(run=going, step=1, loss=0.5)
    TrainingMetric.objects.filter(pk=metric.pk).update(validation_loss=0.4)
    with pytest.raises(DatabaseError), transaction.atomic():
        metric.delete()


# ---------------------------------------------------------------- how much is asked


def test_looking_at_more_documents_again_asks_no_more_statements() -> None:
    """How long it takes for 11,490 documents is in benchmarks/evidence_speed.py."""
    counts = []
    for documents in (2, 40):
        with transaction.atomic():
            the = scene(documents=documents)
            with CaptureQueriesContext(connection) as asked:
                digests_of_rows(the.comparison, training_lineage(the.candidate))
            counts.append(len(asked))
            transaction.set_rollback(True)
    assert counts[0] == counts[1]
