"""Rules fill queues once with what they say, from where they last looked; what they cannot judge they leave out."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.models import AuditEvent, ClientFeedback, InferenceRequest, Job
from reviews.filling import client_feedback, rule_runs
from reviews.filling.rule_runs import fill, fill_later, remove_rule, set_rule
from reviews.models import QueueItem, QueueRule, ReviewQueue, Summary
from reviews.queues import rules
from reviews.queues.rules import Check, Drift, Share, grown_shares, length_of, params_of
from reviews.queues.settings import QueueSettings, create_queue
from tests import make

AGO = timedelta(minutes=5)


def request_of(number: int, **fields: Any) -> InferenceRequest:
    text = f"{make.ARTICLE} This was request number {number}."
    values: dict[str, Any] = {
        "text": text, "summary": "The old pier of Nordhaven closes for nine months.", "summary_words": 9,
        "input_words": len(text.split()), "outcome": "ok", "domain": "news",
        "text_hash": hashlib.sha256(text.encode()).hexdigest(), "created_at": timezone.now() - AGO,
    }  # fmt: skip
    return InferenceRequest.objects.create(**{**values, **fields})


def queue_with(kind: str, actor: Any, **params: Any) -> QueueRule:
    queue = create_queue(settings=QueueSettings(name=f"For {kind}", rubric=1), actor=actor)
    rule = set_rule(queue=queue, kind=kind, params=params, actor=actor)
    # made before what the tests put in
    long_ago = (timezone.now() - timedelta(days=400)).isoformat()
    rule.place = {**rule.place, "request": long_ago}
    rule.save()
    return rule


# ---------------------------------------------------------------- what can be set


def test_parameters_are_checked_by_name_and_kind() -> None:
    assert params_of("few stars", {}) == rules.FewStars(2)
    assert params_of("flagged by a check", {"longest": None, "shortest": "12"}) == Check(shortest=12)
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("few stars", {"at_most": 5}, "at_most"),
        ("few stars", {"at_most": "many"}, "at_most"),
        ("few stars", {"at_most": 1.5}, "at_most"),
        ("few stars", {"at_most": True}, "at_most"),
        ("few stars", {"stars": 1}, "stars"),
        ("complaint", {"classes": []}, "classes"),
        ("complaint", {"classes": ["praise"]}, "classes"),
        ("retraining or a better prompt wanted", {"retrain": False, "refine": False}, "retrain"),
        ("flagged by a check", {"of": "everything"}, "of"),
        ("flagged by a check", {"shortest": 50, "longest": 40}, "longest"),
        ("flagged by a check", {"numbers": False, "repetition": None, "shortest": None}, "numbers"),
        ("random share", {"percent": 0}, "percent"),
        ("random share", {"percent": "nan"}, "percent"),
        ("drift", {"by": "colour"}, "by"),
        ("drift", {"certainty": 1}, "certainty"),
        ("other", {}, "kind"),
    ]
    for kind, values, field in bad:
        with pytest.raises(InvalidInput) as refused:
            params_of(kind, values)
        assert field in refused.value.fields, (kind, values)
    for kind, known in rules.KINDS.items():
        assert params_of(kind, rules.to_json(known())) == known(), "what is stored can be read"
        assert known().words()


def test_a_share_is_drawn_for_ever_and_a_larger_one_holds_the_smaller() -> None:
    keys = [f"request {number}" for number in range(4000)]
    few = {key for key in keys if Share(percent=5).takes(key)}
    many = {key for key in keys if Share(percent=25).takes(key)}
    assert few < many
    assert 140 <= len(few) <= 260  # a binomial of 4,000 at 5 %: 200 ± 4 deviations
    assert all(Share(percent=100).takes(key) for key in keys)


def test_checks_say_what_they_found() -> None:
    check = Check(names=True, longest=20)
    source = "The pier has 140 piles. Ada Lund said so."
    assert check.flags(source=source, summary="The pier has 140 piles, and that is what she said.") == []
    assert check.flags(source=source, summary="The pier has 410 piles, as said by Bo Holm, they say.") == [
        "numbers that the article does not have: 410",
        "names that the article does not have: Bo Holm",
    ]
    assert check.flags(source=source, summary="Too short.") == ["only 2 words"]
    assert "% of it is repeated" in check.flags(source=source, summary="It is so. " * 5)[0]
    assert check.flags(source=source, summary="all different words " + " ".join("abcdefghijklmnopqrst")) == [
        "23 words"
    ]


def test_a_share_has_grown_only_where_numbers_say_so() -> None:
    before = {"news": 800, "sport": 100, "law": 100}
    grown = grown_shares({"news": 120, "sport": 80}, before, least=50, certainty=0.99)
    assert [shift.name for shift in grown] == ["sport"]
    assert (grown[0].now, grown[0].of_now, grown[0].before, grown[0].of_before) == (80, 200, 100, 1000)
    assert grown[0].words() == "sport: 40 % of 200 requests, before 10 % of 1,000"
    # the same, by hand: z = 0.3 / sqrt(0.15 · 0.85 · (1/200 + 1/1000)) = 10.85
    assert grown[0].p == pytest.approx(1.02e-27, rel=0.05)
    assert grown_shares({"news": 160, "sport": 20, "law": 20}, before, least=50, certainty=0.99) == []
    assert grown_shares({"news": 10, "sport": 30}, before, least=50, certainty=0.99) == [], "too few"
    assert grown_shares({"news": 200}, {}, least=50, certainty=0.99) == [], "nothing to compare with"
    assert grown_shares({"news": 60, "new": 3}, {"news": 100}, least=50, certainty=0.99) == []
    assert [length_of(n) for n in (0, 199, 200, 1199, 1200, 50_000)] == [
        "0 to 199 words", "0 to 199 words", "200 to 599 words", "600 to 1,199 words",
        "1,200 words and more", "1,200 words and more",
    ]  # fmt: skip


# ---------------------------------------------------------------- who, and what is kept


@pytest.mark.django_db
def test_rules_are_set_by_those_who_manage_queues_and_recorded() -> None:
    cast, queue = make.cast(), make.queue()
    with pytest.raises(NotAllowed):
        set_rule(queue=queue, kind="random share", params={}, actor=cast.reviewer)
    rule = set_rule(queue=queue, kind="random share", params={"percent": 10}, actor=cast.ml_engineer)
    again = set_rule(queue=queue, kind="random share", params={"percent": 10}, actor=cast.ml_engineer)
    assert again.pk == rule.pk
    set_rule(queue=queue, kind="random share", params={"percent": 20}, actor=cast.ml_engineer)
    assert list(AuditEvent.objects.filter(action__startswith="rule.").values_list("action", flat=True)) in (
        ["rule.create", "rule.change"], ["rule.change", "rule.create"],
    )  # fmt: skip
    with pytest.raises(NotAllowed):
        remove_rule(rule=rule, actor=cast.approver)
    remove_rule(rule=rule, actor=cast.ml_engineer)
    assert AuditEvent.objects.filter(action="rule.remove").exists()
    queue.kind = ReviewQueue.Kind.PAIRWISE
    with pytest.raises(InvalidInput):
        set_rule(queue=queue, kind="random share", params={}, actor=cast.ml_engineer)


@pytest.mark.django_db
def test_a_check_puts_flagged_drafts_and_requests_in_once() -> None:
    cast = make.cast()
    rule = queue_with("flagged by a check", cast.ml_engineer)
    document = make.document()
    wrong = make.summary(document, created_at=timezone.now() - AGO)  # 410 piles
    make.summary(
        document,
        text="The old pier of Nordhaven will close for nine months.",
        created_at=timezone.now() - AGO,
    )
    make.summary(document)  # too young: its neighbours may not be committed yet
    request_of(1)
    flagged = request_of(2, summary="The old pier of Nordhaven closes for 99 long months.")
    request_of(3, summary="It closes for 99 months.", text="")
    request_of(4, summary="", outcome="timeout")
    assert fill(rule=rule) == 2
    items = list(QueueItem.objects.filter(queue=rule.queue).order_by("pk"))
    assert {item.reason for item in items} == {"flagged by a check"}
    assert items[0].summary == wrong
    assert items[0].note == "A check found numbers that the article does not have: 410."
    assert items[1].summary.request_id == flagged.pk
    assert items[0].assignments.get().rank == -10
    events = list(AuditEvent.objects.filter(action="queue.fill").values_list("data", flat=True))
    assert events == [{"rule": rule.pk, "kind": "flagged by a check", "items": 1}] * 2
    assert fill(rule=rule) == 0
    # even where it forgot how far it was
    rule.place = {"request": (timezone.now() - timedelta(days=1)).isoformat()}
    assert fill(rule=rule) == 0
    assert QueueItem.objects.filter(queue=rule.queue).count() == 2


@pytest.mark.django_db
def test_a_new_rule_looks_at_what_comes_from_now_on() -> None:
    cast, queue = make.cast(), make.queue()
    make.summary(created_at=timezone.now() - AGO)
    request_of(1)
    rule = set_rule(
        queue=queue, kind="random share", params={"percent": 100, "of": "both"}, actor=cast.ml_engineer
    )
    assert fill(rule=rule) == 0
    Summary.objects.all().delete()
    made = make.summary(created_at=timezone.now() - AGO)
    assert fill(rule=rule) == 1
    assert QueueItem.objects.get().summary == made
    # what came while it was off is not made up for
    set_rule(
        queue=queue,
        kind="random share",
        params={"percent": 100, "of": "both"},
        active=False,
        actor=cast.ml_engineer,
    )
    make.summary(created_at=timezone.now() - AGO)
    rule = set_rule(
        queue=queue, kind="random share", params={"percent": 100, "of": "both"}, actor=cast.ml_engineer
    )
    assert fill(rule=rule) == 0


@pytest.mark.django_db
def test_a_random_share_of_requests_is_what_the_hash_says() -> None:
    cast = make.cast()
    rule = queue_with("random share", cast.ml_engineer, percent=30)
    requests = [request_of(number) for number in range(40)]
    make.summary(created_at=timezone.now() - AGO)
    expected = {row.pk for row in requests if Share(percent=30).takes(f"request {row.pk}")}
    assert fill(rule=rule) == len(expected)
    assert set(QueueItem.objects.values_list("summary__request_id", flat=True)) == expected


@pytest.mark.django_db
def test_feedback_that_only_a_wider_rule_wants_is_found_later() -> None:
    cast = make.cast()
    rule = queue_with("few stars", cast.ml_engineer, at_most=3)
    feedback = ClientFeedback.objects.create(
        request=request_of(1), stars=3, comment="Hm.", created_at=timezone.now() - AGO
    )
    assert fill(rule=rule) == 1
    item = QueueItem.objects.get()
    assert (item.queue, item.reason, item.note) == (rule.queue, "few stars", "Hm.")
    rule.refresh_from_db()
    assert rule.place["feedback"] == feedback.pk
    assert fill(rule=rule) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("by", ["domain", "length"])
def test_drift_puts_in_some_of_what_there_is_more_of(by: str) -> None:
    cast = make.cast()
    rule = queue_with("drift", cast.ml_engineer, by=by, least=20, most=3)
    then = timezone.now() - timedelta(days=14)
    for number in range(60):
        old = number % 30 == 0
        request_of(
            number, created_at=then, domain="sport" if old else "news", input_words=900 if old else 100
        )
    for number in range(60, 90):
        new = number % 2
        request_of(number, domain="sport" if new else "news", input_words=900 if new else 100)
    assert fill(rule=rule) == 3
    items = list(QueueItem.objects.filter(queue=rule.queue).select_related("summary__document"))
    name = "sport" if by == "domain" else "600 to 1,199 words"
    assert {item.note for item in items} == {
        f"More of this kind than before. {name}: 50 % of 30 requests, before 3 % of 60."
    }
    assert {item.summary.document.domain for item in items} == {"sport"}
    assert {item.reason for item in items} == {"drift"}
    assert fill(rule=rule) == 0, "as many as were wanted are in"


# ---------------------------------------------------------------- the clock


@pytest.mark.django_db
def test_a_job_is_queued_only_where_a_rule_has_something_to_look_at() -> None:
    cast = make.cast()
    assert fill_later() is None
    rule = queue_with("random share", cast.ml_engineer, percent=100)
    assert fill_later() is None
    request_of(1)
    job = fill_later()
    assert job is not None
    again = fill_later()
    assert again is not None
    assert again.pk == job.pk, "one at a time"
    done = make.carried_out(job)
    assert done.state == "succeeded", done.reason
    assert done.result["put_in"][f"{rule.queue.slug}: random share"] == 1
    assert fill_later() is None
    ReviewQueue.objects.filter(pk=rule.queue_id).update(active=False)
    request_of(2)
    assert fill_later() is None, "a closed queue is not filled"
    assert Job.objects.filter(kind="fill_queues").count() == 1


@pytest.mark.django_db
def test_filling_stops_where_it_is_asked_to_and_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make.cast()
    rule = queue_with("random share", cast.ml_engineer, percent=100)
    for number in range(5):
        request_of(number, created_at=timezone.now() - AGO + timedelta(seconds=number))
    monkeypatch.setattr(rule_runs, "BATCH", 2)
    real = client_feedback.take_in

    def breaks(request: InferenceRequest) -> Summary | None:
        if QueueItem.objects.count() >= 2:
            raise RuntimeError("the power is cut")
        return real(request)

    monkeypatch.setattr(rule_runs, "take_in", breaks)
    with pytest.raises(RuntimeError):
        fill(rule=rule)
    rule.refresh_from_db()
    assert QueueItem.objects.count() == 2
    monkeypatch.setattr(rule_runs, "take_in", real)
    assert fill(rule=rule) == 3
    with pytest.raises(jobs.JobCancelled):
        rule_runs.fill_queues(should_stop=lambda: True)


def test_the_words_of_drift_name_both_windows() -> None:
    assert Drift(by="length", days=3, reference_days=10).words() == (
        "requests whose length is more frequent in the last 3 days than in the 10 before"
    )
