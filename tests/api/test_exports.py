"""Exports by program: asked for, written by the queue, fetched; what somebody may have is the page's rule."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.api import authentication
from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput
from models_app.foundation.tokens import create_token
from models_app.models import AuditEvent, DatasetSnapshot, SnapshotExample
from reviews.exports import files
from reviews.models import Export
from tests import make
from tests.api.conftest import Api, error
from tests.reviews.exports.exported import review


@pytest.fixture(autouse=True)
def empty_store() -> Iterator[None]:
    yield
    shutil.rmtree(Path(django_settings.GALLEY_HOME) / "exports", ignore_errors=True)


@pytest.fixture
def mila(cast: make.Cast) -> Api:
    """She manages queues and decides about feedback."""
    return Api(cast.ml_engineer, "exports:write")


@pytest.fixture
def rita(cast: make.Cast) -> Api:
    return Api(cast.reviewer, "exports:write")


def asked(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api.post("exports/", {"kind": "reviews", **fields})
    assert answer.status_code == 202, answer.content
    body: dict[str, Any] = answer.json()
    assert answer["Location"] == f"/api/v1/exports/{body['id']}/"
    return body


def written(export: dict[str, Any]) -> None:
    job = make.carried_out(Export.objects.get(pk=export["id"]).job)  # type: ignore[arg-type]
    assert job.state == "succeeded", job.reason


def fetched(api: Api, export: dict[str, Any]) -> bytes:
    answer = api.get(f"exports/{export['id']}/file/")
    assert answer.status_code == 200
    return b"".join(answer)


def snapshot() -> DatasetSnapshot:
    made = DatasetSnapshot.objects.create(
        name="spring", digest="d" * 64, train_rows=2, validation_rows=1, directory="snapshots/1"
    )
    rows = (("train", "One.", ""), ("train", "Two.", "Lost."), ("validation", "Three.", ""))
    for position, (split, target, rejected) in enumerate(rows):
        SnapshotExample.objects.create(
            snapshot=made, position=position, split=split, document_hash="0" * 64, origin="feedback:1",
            source=make.ARTICLE, target=target, rejected=rejected,
        )  # fmt: skip
    return made


# ---------------------------------------------------------------- from asking to the file


def test_a_file_is_asked_for_watched_and_fetched(mila: Api, cast: make.Cast) -> None:
    one = review(cast.reviewer)
    export = asked(mila, queue="new-drafts", reviewers="names", texts=False)
    assert (export["state"], export["file"], export["rows"], export["progress"]) == (
        "waiting", None, None, None,
    )  # fmt: skip
    assert export["asked"]["queue"] == "new-drafts"
    assert error(mila.get(f"exports/{export['id']}/file/")) == (409, "not_ready")
    written(export)
    ready = mila.get(f"exports/{export['id']}/").json()
    assert (ready["state"], ready["rows"], ready["error"]) == ("ready", 1, None)
    answer = Client().get(
        ready["file"], headers={"Authorization": f"Token {mila.token}", "Accept": "application/jsonl"}
    )
    assert answer.streaming
    content = b"".join(answer)
    (row,) = (json.loads(line) for line in content.splitlines())
    assert (row["review"], row["reviewer"], "article" in row) == (one.pk, "rita", False)
    assert len(content) == ready["bytes"]
    final = Path(django_settings.GALLEY_HOME) / Export.objects.get().file
    assert ready["sha256"] == files.digest_of(final)
    assert answer["Content-Type"] == "application/jsonl"
    assert answer["Content-Disposition"] == f'attachment; filename="galley-reviews-{export["id"]}.jsonl"'
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Request-ID"]
    assert AuditEvent.objects.filter(action="export.fetch", actor_name="mila").count() == 1
    assert mila.get("exports/").json()["results"] == [ready]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_queue_s_own_process_writes_it(mila: Api, cast: make.Cast) -> None:
    review(cast.reviewer)
    export = asked(mila, kind="ratings", format="csv", compressed=True)
    job = Export.objects.get().job
    assert job is not None
    jobs.supervise(job.pk)
    assert mila.get(f"exports/{export['id']}/").json()["rows"] == 4
    text = gzip.decompress(fetched(mila, export)).decode()
    assert {row["criterion"] for row in csv.DictReader(io.StringIO(text, newline=""))} == {
        "consistency", "relevance", "coherence", "fluency",
    }  # fmt: skip


def test_while_it_is_written_it_says_how_far_it_is_and_afterwards_why_it_failed(mila: Api) -> None:
    export = asked(mila, kind="spans")
    job = Export.objects.get().job
    assert job is not None
    claimed = jobs.claim(job.pk)
    assert claimed is not None
    context = jobs.JobContext(claimed)
    context.phase("writing the file", total=1840)
    type(claimed).objects.filter(pk=job.pk).update(step=500)
    now = mila.get(f"exports/{export['id']}/").json()
    assert (now["state"], now["progress"]) == ("writing", {"done": 500, "total": 1840})
    jobs.run(claimed.pk, str(claimed.lease_token))
    now = mila.get(f"exports/{export['id']}/").json()
    assert (now["state"], now["progress"], now["file"]) == ("failed", None, None)
    assert "no marked error to export" in now["error"]


def test_a_snapshot_is_exported_as_it_was_frozen(mila: Api) -> None:
    frozen = snapshot()
    sft = asked(mila, kind="sft", snapshot=frozen.pk)
    dpo = asked(mila, kind="dpo", snapshot=frozen.pk)
    held_out = asked(mila, kind="chat", snapshot=frozen.pk, split="validation")
    for export in (sft, dpo, held_out):
        written(export)
    rows = [json.loads(line) for line in fetched(mila, sft).splitlines()]
    assert [row["completion"] for row in rows] == ["One.", "Two."]
    assert make.ARTICLE in rows[0]["prompt"]
    (pair,) = (json.loads(line) for line in fetched(mila, dpo).splitlines())
    assert (pair["chosen"], pair["rejected"]) == ("Two.", "Lost.")
    (row,) = (json.loads(line) for line in fetched(mila, held_out).splitlines())
    assert row["messages"][-1]["content"] == "Three."


def test_the_same_key_is_the_same_export_and_so_is_the_same_request_under_way(
    mila: Api, cast: make.Cast
) -> None:
    review(cast.reviewer)
    key = {"Idempotency-Key": "nightly-1"}
    first = mila.post("exports/", {"kind": "reviews"}, **key)
    again = mila.post("exports/", {"kind": "reviews"}, **key)
    assert (again.status_code, again.json(), again["Location"]) == (202, first.json(), first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert error(mila.post("exports/", {"kind": "edits"}, **key)) == (422, "idempotency_key")
    assert asked(mila)["id"] == first.json()["id"]
    assert Export.objects.count() == 1
    written(first.json())
    assert asked(mila)["id"] != first.json()["id"], "what is done is asked for again"
    asked(mila, kind="edits")
    asked(mila, kind="spans")
    assert error(mila.post("exports/", {"kind": "ratings"})) == (409, "refused")


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "everything"}, "kind"),
        ({"kind": None}, "kind"),
        ({"format": "xlsx"}, "format"),
        ({"kind": "chat", "format": "csv"}, "format"),
        ({"format": "datasets", "compressed": True}, "compressed"),
        ({"queue": "nowhere"}, "queue"),
        ({"queue": "no slug!"}, "queue"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-05-02", "until": "2026-05-01"}, "until"),
        ({"kind": "sft", "split": "test"}, "split"),
        ({"kind": "sft", "prompt": 2**62}, "prompt"),
        ({"kind": "sft", "snapshot": 2**62}, "snapshot"),
        ({"kind": "sft", "snapshot": 2**70}, "snapshot"),
        ({"kind": "reviews", "snapshot": 1}, "snapshot"),
        ({"kind": "sft", "snapshot": 1, "queue": "new-drafts"}, "queue"),
        ({"max_words": 0}, "max_words"),
        ({"reviewers": "addresses"}, "reviewers"),
        ({"sinse": "2026-05-01"}, "sinse"),
    ],
)
def test_nonsense_is_refused_with_its_field(mila: Api, fields: dict[str, Any], name: str) -> None:
    make.queue()
    answer = mila.post("exports/", {"kind": "reviews", **fields})
    assert answer.status_code == 422, answer.content
    assert set(answer.json()["error"]["fields"]) == {name}
    assert not Export.objects.exists()


def test_a_body_that_is_no_object_is_refused(mila: Api) -> None:
    assert mila.post("exports/", [1]).status_code == 422
    assert not Export.objects.exists()


def test_a_reviewer_gets_their_own_without_models_and_cannot_widen_it(
    mila: Api, rita: Api, cast: make.Cast
) -> None:
    own = review(cast.reviewer)
    other = review(cast.another_reviewer)
    export = asked(rita)
    assert export["asked"]["mine"] is True
    written(export)
    content = fetched(rita, export).decode()
    (row,) = (json.loads(line) for line in content.splitlines())
    assert (row["review"], row["model_version"], row["reason"]) == (own.pk, None, None)
    assert make.lead_model().name not in content
    assert error(rita.post("exports/", {"kind": "reviews", "mine": False})) == (403, "forbidden")
    assert error(rita.post("exports/", {"kind": "sft"})) == (403, "forbidden")
    # nobody else's file, whatever their role
    for path in (f"exports/{export['id']}/", f"exports/{export['id']}/file/"):
        assert error(mila.get(path)) == (404, "not_found")
    assert mila.get("exports/").json()["count"] == 0
    assert mila.get(f"exports/{2**70}/").status_code == 404
    everything = asked(mila)
    written(everything)
    assert {json.loads(line)["review"] for line in fetched(mila, everything).splitlines()} == {
        own.pk, other.pk,
    }  # fmt: skip


def test_only_tokens_with_the_scope_of_people_who_review(cast: make.Cast) -> None:
    without = Api(cast.ml_engineer, "reviews:write")
    assert without.get("exports/").status_code == 403
    assert without.post("exports/", {"kind": "reviews"}).status_code == 403
    assert Client().get("/api/v1/exports/1/file/").status_code == 401
    with pytest.raises(InvalidInput):
        create_token(user=cast.approver, name="x", scopes=["exports:write"], days=1, actor=cast.approver)


def test_who_lost_the_right_does_not_get_the_file(mila: Api, cast: make.Cast) -> None:
    review(cast.reviewer)
    export = asked(mila)
    written(export)
    cast.ml_engineer.groups.set(cast.reviewer.groups.all())  # may still use the scope
    authentication._recent.clear()
    assert error(mila.get(f"exports/{export['id']}/file/")) == (403, "forbidden")
    assert AuditEvent.objects.filter(action="export.fetch").count() == 0


def test_it_is_stopped_or_removed_by_the_person_who_asked(
    mila: Api, rita: Api, cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    review(cast.reviewer)
    waiting = asked(mila)
    assert error(rita.delete(f"exports/{waiting['id']}/")) == (404, "not_found")
    assert mila.delete(f"exports/{waiting['id']}/").status_code == 204
    assert mila.get(f"exports/{waiting['id']}/").json()["state"] == "cancelled"
    assert mila.delete(f"exports/{waiting['id']}/").status_code == 204, "again: nothing is left to stop"
    export = asked(mila)
    written(export)
    final = Path(django_settings.GALLEY_HOME) / Export.objects.get(pk=export["id"]).file
    assert final.is_file()
    with django_capture_on_commit_callbacks(execute=True):
        assert mila.delete(f"exports/{export['id']}/").status_code == 204
    assert not final.exists()
    assert mila.get(f"exports/{export['id']}/").json()["state"] == "removed"


def test_a_file_whose_time_is_over_is_not_given_any_more(mila: Api, cast: make.Cast) -> None:
    review(cast.reviewer)
    export = asked(mila)
    written(export)
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    now = mila.get(f"exports/{export['id']}/").json()
    assert (now["state"], now["file"]) == ("removed", None)
    assert error(mila.get(f"exports/{export['id']}/file/")) == (409, "expired")


def test_the_list_takes_a_fixed_number_of_queries(
    mila: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for kind in ("reviews", "edits", "spans"):
        asked(mila, kind=kind)
    mila.get("exports/")
    with django_assert_max_num_queries(6):
        assert mila.get("exports/?page_size=2").json()["count"] == 3
