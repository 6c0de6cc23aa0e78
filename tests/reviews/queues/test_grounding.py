"""What waits in a queue is linked to its source by a job, once, whatever cuts it off."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from models_app.foundation.jobs import JobCancelled
from models_app.models import Job
from reviews.models import Grounding, QueueItem
from reviews.queues import grounding
from reviews.queues.grounding import link_queued, start_linking
from reviews.queues.items import put_in_queue
from reviews.texts.grounding import METHOD
from tests import make


def test_a_summary_put_into_a_queue_is_linked_by_the_queue(cast: make.Cast) -> None:
    summary = make.summary()
    put_in_queue(summary=summary, queue_slug="new-drafts", reason="put in by hand", actor=cast.ml_engineer)
    assert not Grounding.objects.exists()
    job = make.carried_out(Job.objects.get(kind="ground_summaries"))
    assert (job.state, job.result) == ("succeeded", {"linked": 1})
    kept = Grounding.objects.get()
    assert (kept.summary, kept.method) == (summary, METHOD)
    first, second = kept.data["sentences"]
    source = summary.document.text
    (link,) = first["links"]
    assert source[link["start"] : link["end"]].startswith("The harbour authority of Nordhaven")
    assert [summary.text[it["start"] : it["end"]] for it in second["unsupported"]] == ["410"]


def test_a_hundred_items_put_in_make_one_sweep(cast: make.Cast, django_assert_max_num_queries: Any) -> None:
    for _ in range(20):
        make.queue_item()
    first, second = start_linking(), start_linking()
    assert first == second
    with django_assert_max_num_queries(4):
        assert link_queued() == 20
    assert link_queued() == 0


def test_a_sweep_goes_on_where_it_was_cut_off(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounding, "BATCH", 2)
    for _ in range(5):
        make.queue_item()
    with pytest.raises(JobCancelled):
        link_queued(should_stop=lambda: Grounding.objects.count() >= 2)
    assert Grounding.objects.count() == 2
    assert link_queued() == 3


def test_only_what_waits_is_linked_and_pairs_are_not(cast: make.Cast) -> None:
    make.queue_item(state=QueueItem.State.DONE)
    document = make.document()
    pairs = make.queue(kind="pairwise", slug="weak-outputs")
    make.queue_item(make.summary(document, "A."), pairs, other=make.summary(document, "B."))
    assert link_queued() == 0


def test_a_newer_method_replaces_what_an_older_one_found(cast: make.Cast) -> None:
    item = make.queue_item()
    Grounding.objects.create(summary=item.summary, method="older", data={})
    said = StringIO()
    call_command("ground_summaries", stdout=said)
    job = Job.objects.get()
    assert said.getvalue() == f"Summaries are linked to their sources (job {job.pk}).\n"
    assert make.carried_out(job).result == {"linked": 1}
    assert Grounding.objects.get().data["sentences"]


def test_a_whole_sweep_finds_what_lies_behind_many_that_are_linked(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounding, "BATCH", 2)
    monkeypatch.setattr(grounding, "ENOUGH", 4)
    _, *newer = [make.queue_item() for _ in range(9)]
    grounding.link(summaries=[item.summary_id for item in newer])
    assert link_queued() == 0
    assert link_queued(whole=True) == 1


def test_what_came_while_a_sweep_was_ending_gets_its_own(cast: make.Cast) -> None:
    job = make.carried_out(start_linking())
    assert not Job.objects.filter(state="queued").exists()
    make.queue_item()
    grounding.linking_ended(job)
    assert Job.objects.get(state="queued").kind == "ground_summaries"


def test_a_failed_sweep_is_not_begun_again_for_ever(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    make.queue_item()

    def broken(**_: Any) -> int:
        raise RuntimeError("no")

    monkeypatch.setattr(grounding, "link", broken)
    assert make.carried_out(start_linking()).state == "failed"
    assert not Job.objects.filter(state="queued").exists()
