"""A snapshot is what its rows are: the same rows, the same digest; files that say so; nothing of a test document."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from models_app.datasets.freezing import SnapshotRow, files_of, freeze, rows_digest
from models_app.evaluation.sets import EvaluationRow, freeze_evaluation_set
from models_app.foundation.errors import NotAllowed, Refused
from models_app.models import AuditEvent, DatasetSnapshot, EvaluationExample, EvaluationSet, SnapshotExample
from tests import make


def row(number: int, split: str = "train", **fields: Any) -> SnapshotRow:
    values = {
        "document_hash": hashlib.sha256(str(number).encode()).hexdigest(),
        "origin": f"feedback:{number}",
        "source": f"Article {number}: »quotes«\nand lines.",
        "target": f"Summary {number}.",
        "domain": "news",
    }
    return SnapshotRow(split=split, **{**values, **fields})


ROWS = [row(1), row(2), row(3, "validation")]


def frozen(rows: list[SnapshotRow] = ROWS, **fields: Any) -> DatasetSnapshot:
    values: dict[str, Any] = {"name": "first", "selection": {}, "curators": [3, 1, 3], "actor": None}
    return freeze(rows=rows, **{**values, **fields})


@given(st.permutations(ROWS))
def test_the_order_of_selection_does_not_matter(rows: list[SnapshotRow]) -> None:
    assert rows_digest(rows) == rows_digest(ROWS)


def test_the_digest_is_over_what_a_model_learns_not_where_it_came_from() -> None:
    same = [replace(each, origin="elsewhere:9") for each in ROWS]
    assert rows_digest(same) == rows_digest(ROWS)
    for name in ("split", "document_hash", "source", "target", "title", "domain", "rejected"):
        assert rows_digest([replace(ROWS[0], **{name: "other"}), *ROWS[1:]]) != rows_digest(ROWS), name


@pytest.mark.django_db
def test_the_same_rows_give_the_snapshot_there_is() -> None:
    first = frozen()
    again = frozen([*reversed(ROWS)], name="second")
    assert again == first
    assert again.name == "first"
    assert SnapshotExample.objects.count() == 3
    assert AuditEvent.objects.filter(action="snapshot.freeze").count() == 1


@pytest.mark.django_db
def test_a_snapshot_counts_its_rows_and_names_its_curators() -> None:
    snapshot = frozen()
    assert (snapshot.train_rows, snapshot.validation_rows, snapshot.curators) == (2, 1, [1, 3])


@pytest.mark.django_db
def test_its_files_hold_the_rows_and_the_manifest_says_so() -> None:
    snapshot = frozen()
    directory = Path(settings.GALLEY_HOME) / snapshot.directory
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["digest"] == snapshot.digest
    assert {name for name, _ in files_of(snapshot)} == {"train.jsonl", "validation.jsonl"}
    for name, facts in files_of(snapshot):
        content = (directory / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"]
        assert len(content) == facts["bytes"]
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert len(rows) == facts["rows"]
        assert {each["split"] for each in rows} == {name.removesuffix(".jsonl")}
    assert [path.name for path in directory.parent.glob(".*")] == []


@pytest.mark.django_db
def test_lost_files_are_said() -> None:
    snapshot = frozen([row(77), row(78, "validation")])
    (Path(settings.GALLEY_HOME) / snapshot.directory / "manifest.json").unlink()
    with pytest.raises(Refused, match=f"files of snapshot {snapshot.pk} are missing"):
        files_of(snapshot)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "Nothing was selected"),
        ([row(1), row(2, "test")], "1 of the rows belong to the test split.* never enter a snapshot"),
        ([row(1), row(1, "validation")], "is there twice"),
        ([row(1), row(1, target="another")], "is there twice"),
    ],
)
def test_what_must_not_be_frozen_is_refused(rows: list[SnapshotRow], message: str) -> None:
    with pytest.raises(Refused, match=message):
        frozen(rows)
    assert not DatasetSnapshot.objects.exists()


@pytest.mark.django_db
def test_the_database_itself_keeps_test_rows_out_and_rows_as_they_are() -> None:
    snapshot = frozen()
    with pytest.raises(IntegrityError, match="snapshot_keeps_test_out"), transaction.atomic():
        SnapshotExample.objects.create(
            snapshot=snapshot, position=9, split="test", document_hash="x", origin="x", source="x", target="x"
        )
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        SnapshotExample.objects.filter(snapshot=snapshot).update(target="other")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        DatasetSnapshot.objects.filter(pk=snapshot.pk)._raw_delete("default")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["reviewer", "approver", "operator", "stranger"])
def test_who_may_not_freeze_is_refused(name: str) -> None:
    actor = getattr(make.cast(), name)
    with pytest.raises(NotAllowed):
        frozen(actor=actor)
    with pytest.raises(NotAllowed):
        freeze_evaluation_set(rows=[evaluation_row(1)], name="x", selection={}, actor=actor)


@pytest.mark.django_db(transaction=True)
def test_two_people_who_freeze_the_same_at_once_get_one_snapshot() -> None:
    rows = [row(number) for number in range(200, 230)]
    start = threading.Barrier(2)
    found: list[DatasetSnapshot] = []

    def work() -> None:
        start.wait()
        found.append(frozen(rows))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    assert SnapshotExample.objects.count() == 30


# ---------------------------------------------------------------- evaluation sets


def evaluation_row(number: int, **fields: Any) -> EvaluationRow:
    values = {
        "document_hash": f"{number:064}",
        "origin": f"document:{number}",
        "source": "S",
        "reference": "R",
    }
    return EvaluationRow(**{**values, **fields})


@pytest.mark.django_db
def test_the_same_test_documents_give_the_set_there_is() -> None:
    first = freeze_evaluation_set(
        rows=[evaluation_row(1), evaluation_row(2)], name="a", selection={}, actor=None
    )
    again = freeze_evaluation_set(
        rows=[evaluation_row(2), evaluation_row(1)], name="b", selection={}, actor=None
    )
    assert first == again
    assert EvaluationExample.objects.count() == 2
    for change in ({"reference": "other"}, {"title": "other"}, {"domain": "other"}):
        assert (
            freeze_evaluation_set(
                rows=[evaluation_row(1, **change), evaluation_row(2)], name="c", selection={}, actor=None
            )
            != first
        )


@pytest.mark.django_db
def test_an_evaluation_set_without_references_or_documents_is_refused() -> None:
    with pytest.raises(Refused, match="No test document has a reference summary"):
        freeze_evaluation_set(rows=[], name="a", selection={}, actor=None)
    with pytest.raises(Refused, match="needs a reference summary"):
        freeze_evaluation_set(rows=[evaluation_row(1, reference=" ")], name="a", selection={}, actor=None)
    assert not EvaluationSet.objects.exists()
