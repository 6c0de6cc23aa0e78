"""Requests for retraining and for another prompt: opened, voted for, decided on with the figures, followed."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent, SnapshotExample, TrainingRun
from reviews.improvement import following, requests
from reviews.improvement.facts import Facts, facts_now, in_words, new_pairs, obstacle
from reviews.models import FeedbackExample, ImprovementRequest, ImprovementVote, Notification, Review
from tests import make
from tests.api.conftest import Api
from tests.database import somebody_waits_for_a_lock, without_guards
from tests.releases.scene import made_live, scene
from tests.serving.conftest import until


def opened(
    cast: make.Cast, kind: str = "retraining", reason: str = "Numbers are wrong."
) -> ImprovementRequest:
    return requests.open_request(kind=kind, reason=reason, actor=cast.reviewer)


def corrections(cast: make.Cast, count: int, *, split: str = "train") -> list[FeedbackExample]:
    return [
        FeedbackExample.objects.create(
            kind="demonstration", origin="client", document=make.document(split=split), target="What it says.",
            state="approved", created_by=cast.reviewer, decided_by=cast.ml_engineer, decided_at=timezone.now(),
        )
        for _ in range(count)
    ]  # fmt: skip


def begun(run: TrainingRun, *, at: datetime) -> None:
    with without_guards(TrainingRun):
        TrainingRun.objects.filter(pk=run.pk).update(created_at=at)
    run.refresh_from_db()


def facts(**figures: Any) -> Facts:
    usual = {
        "release": 2, "since": "", "train_pairs": 64, "validation_pairs": 9, "least_pairs": 20, "new_pairs": 73,
        "reviews": 120, "stars": 3.4, "ask_for_retraining": 31, "ask_for_a_prompt": 4, "client_answers": 40,
        "client_stars": 3.1, "complaints": 12, "open_suggestions": 2,
    }  # fmt: skip
    return Facts(**{**usual, **figures})


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"train_pairs": 9}, "Only 9 usable pairs: a training run needs 20"),
        ({"train_pairs": 1}, "Only 1 usable pair:"),
        ({"validation_pairs": 0}, "No usable pair is in the validation split"),
        ({"new_pairs": 0}, "trained on all 73 usable pairs already"),
        ({}, ""),
    ],
)
def test_what_stands_in_the_way_of_retraining_is_said_with_the_numbers(figures: Any, says: str) -> None:
    why = obstacle("retraining", facts(**figures))
    assert says in why
    assert bool(why) is bool(says)
    assert not obstacle("prompt", facts(**figures))


def test_what_speaks_for_it_is_said_in_whole_sentences() -> None:
    assert in_words("retraining", facts())[:2] == [
        "64 usable training pairs and 9 for validation; 73 of them are new to the live model.",
        "Reviews and client answers that say that release 2 needs retraining: 31.",
    ]
    assert in_words("prompt", facts(reviews=1))[2] == "Reviewers give release 2 3.40 stars of 5 (1 review)."
    assert len(in_words("prompt", facts(stars=None, client_stars=None))) == 2


@pytest.mark.django_db
def test_a_request_keeps_what_spoke_for_it_and_others_vote_once(cast: make.Cast) -> None:
    corrections(cast, 3)
    made = opened(cast)
    assert (made.state, made.opened_by, made.trigger) == ("open", cast.reviewer, "person")
    assert made.evidence == facts_now().as_json()
    assert Facts.of_json(made.evidence).train_pairs == 3
    requests.vote(request=made, text="Seen it, too.", actor=cast.another_reviewer)
    assert requests.votes_of([made]) == {made.pk: 2}
    for person in (cast.reviewer, cast.another_reviewer):
        with pytest.raises(Refused, match="voted for it already"):
            requests.vote(request=made, actor=person)
    with pytest.raises(NotAllowed):
        requests.vote(request=made, actor=cast.approver)
    assert AuditEvent.objects.filter(subject=f"improvementrequest:{made.pk}").count() == 2


@pytest.mark.django_db
def test_a_second_request_of_a_kind_is_a_vote_for_the_one_that_is_open(cast: make.Cast) -> None:
    made = opened(cast)
    same = requests.open_request(kind="retraining", reason="Names, too.", actor=cast.ml_engineer)
    assert same == made
    assert [vote.text for vote in made.votes.all()] == ["Names, too."]
    assert opened(cast) == made, "what its opener says again adds no vote"
    assert opened(cast, "prompt") != made
    assert ImprovementRequest.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", " \x00 \n", "x" * 2001])
def test_a_reason_is_wanted_and_not_a_book(cast: make.Cast, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        opened(cast, reason=reason)
    assert "reason" in refused.value.fields
    assert not ImprovementRequest.objects.exists()


@pytest.mark.django_db
def test_it_is_not_accepted_without_anything_to_train_on(cast: make.Cast) -> None:
    corrections(cast, 9)
    made = opened(cast)
    with pytest.raises(Refused, match="Only 9 usable pairs: a training run needs 20"):
        requests.accept(request=made, actor=cast.ml_engineer)
    made.refresh_from_db()
    assert made.state == "open"
    with pytest.raises(NotAllowed):
        requests.accept(request=made, actor=cast.another_reviewer)


@pytest.mark.django_db
def test_what_is_declined_tells_those_who_asked_why(cast: make.Cast) -> None:
    made = opened(cast)
    requests.vote(request=made, actor=cast.another_reviewer)
    with pytest.raises(InvalidInput):
        requests.decline(request=made, reason=" ", actor=cast.ml_engineer)
    requests.decline(request=made, reason="The prompt is to blame.", actor=cast.ml_engineer)
    told = Notification.objects.filter(kind="request")
    assert {row.user for row in told} == {cast.reviewer, cast.another_reviewer}
    assert "The prompt is to blame." in told[0].text
    assert told[0].url == f"/requests/{made.pk}/"
    with pytest.raises(StaleState):
        requests.vote(request=made, actor=cast.ml_engineer)


@pytest.mark.django_db
def test_whoever_opened_it_withdraws_it_as_long_as_nobody_else_wants_it(cast: make.Cast) -> None:
    made = opened(cast)
    with pytest.raises(NotAllowed):
        requests.withdraw(request=made, actor=cast.ml_engineer)
    requests.vote(request=made, actor=cast.another_reviewer)
    with pytest.raises(Refused, match="Others have voted"):
        requests.withdraw(request=made, actor=cast.reviewer)
    other = opened(cast, "prompt")
    requests.withdraw(request=other, actor=cast.reviewer)
    assert following.steps(other, [])[-1].label == "Withdrawn"


@pytest.mark.django_db
def test_it_is_followed_to_the_release_that_went_live(monkeypatch: pytest.MonkeyPatch) -> None:
    the = scene()
    cast = the.cast
    made = opened(cast)
    monkeypatch.setattr(requests, "obstacle", lambda kind, facts: "")
    requests.accept(request=made, reason="Next week.", actor=cast.ml_engineer)
    assert [step.state for step in following.steps(made, [])] == ["done", "done", "now", "to come"]
    run = the.candidate.model_version.training_run
    assert run is not None
    begun(run, at=timezone.now())
    requests.answer_with_training(request=made, run=run, actor=cast.ml_engineer)
    with pytest.raises(Refused):
        requests.answer_with_prompt(
            request=made, version=the.candidate.prompt_version, actor=cast.ml_engineer
        )
    steps = following.steps(made, following.releases_of([made])[made.pk])
    assert steps[-1].label == f"Release {the.candidate.pk}"
    the.submitted()
    the.approved_by(the.cast.approver)
    made_live(the.candidate)
    (release,) = following.releases_of([made])[made.pk]
    assert (release, following.steps(made, [release])[-1].state) == (the.candidate, "done")


@pytest.mark.django_db
def test_galley_opens_one_at_the_thresholds_and_not_again_for_what_was_decided(
    cast: make.Cast, settings: Any
) -> None:
    settings.GALLEY_REQUEST_AFTER_CORRECTIONS = 3
    corrections(cast, 2)
    assert requests.open_by_itself() is None
    corrections(cast, 1)
    number = requests.open_by_itself()
    assert number is not None
    made = ImprovementRequest.objects.get(pk=number)
    assert (made.trigger, made.opened_by) == ("corrections", None)
    assert made.reason.startswith("3 accepted corrections that the live model has not been trained on")
    assert requests.open_by_itself() is None, "it is open"
    requests.decline(request=made, reason="Not now.", actor=cast.ml_engineer)
    assert requests.open_by_itself() is None, "decided on"
    corrections(cast, 3)
    assert requests.open_by_itself() is not None
    assert set(requests.votes_of(ImprovementRequest.objects.all()).values()) == {0}


def test_a_floor_of_stars_needs_enough_reviews(settings: Any) -> None:
    settings.GALLEY_REQUEST_AFTER_CORRECTIONS = 0
    settings.GALLEY_REQUEST_BELOW_STARS = 3.5
    assert requests._threshold(facts(reviews=29), 500) is None
    assert requests._threshold(facts(stars=3.5), 500) is None
    found = requests._threshold(facts(), 500)
    assert found is not None
    assert (found[0], "3.40 stars of 5 in 120 reviews" in found[1]) == ("quality", True)
    settings.GALLEY_REQUEST_BELOW_STARS = 0
    assert requests._threshold(facts(), 500) is None


@pytest.mark.django_db
def test_what_the_live_model_was_trained_on_is_not_new() -> None:
    the = scene()
    cast = the.cast
    made_live_from = the.candidate
    known, new = corrections(cast, 2)
    run = made_live_from.model_version.training_run
    assert isinstance(run, TrainingRun)
    before = new_pairs(made_live_from).count()
    last = SnapshotExample.objects.filter(snapshot=run.snapshot).order_by("-position").first()
    SnapshotExample.objects.create(
        snapshot=run.snapshot, position=(last.position if last else 0) + 1, split="train",
        document_hash=known.document.content_hash, origin=f"feedback:{known.pk}", source="A", target="B",
    )  # fmt: skip
    assert new_pairs(made_live_from).count() == before - 1
    assert new in set(new_pairs(made_live_from))


@pytest.mark.django_db(transaction=True)
def test_two_who_open_one_at_the_same_time_open_one(cast: make.Cast) -> None:
    made: list[int] = []

    def ask(person: Any) -> None:
        try:
            made.append(requests.open_request(kind="retraining", reason="Now.", actor=person).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=[one]) for one in (cast.reviewer, cast.another_reviewer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert ImprovementRequest.objects.count() == 1
    assert ImprovementVote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["vote", "withdrawal"])
def test_a_vote_and_a_withdrawal_at_the_same_instant_are_one_after_the_other(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    made = opened(cast)
    acts = {
        "vote": lambda: requests.vote(request=made, actor=cast.another_reviewer),
        "withdrawal": lambda: requests.withdraw(request=made, actor=cast.reviewer),
    }
    began, waited = threading.Event(), list[str]()
    record = audit.record

    def record_once_the_other_waits(**event: Any) -> Any:
        if not began.is_set():
            began.set()
            until(somebody_waits_for_a_lock, seconds=30)
            waited.append(first)
        return record(**event)

    monkeypatch.setattr(audit, "record", record_once_the_other_waits)
    refused: list[Exception] = []

    def act(name: str) -> None:
        try:
            acts[name]()
        except (Refused, StaleState) as error:
            refused.append(error)
        finally:
            connections.close_all()

    one = threading.Thread(target=act, args=[first])
    one.start()
    assert began.wait(20)
    other = threading.Thread(target=act, args=["withdrawal" if first == "vote" else "vote"])
    other.start()
    one.join()
    other.join()
    made.refresh_from_db()
    assert waited == [first]
    assert (made.state, made.votes.count()) == (("open", 1) if first == "vote" else ("withdrawn", 0))
    assert [type(error) for error in refused] == [Refused if first == "vote" else StaleState]


@pytest.mark.django_db
def test_a_long_list_asks_no_more_questions_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    the = scene()
    run, prompt = the.candidate.model_version.training_run, the.candidate.prompt_version
    assert run is not None
    page, api = Client(), Api(the.cast.reviewer, "reviews:write")
    page.force_login(the.cast.reviewer)
    monkeypatch.setattr(requests, "obstacle", lambda kind, facts: "")

    def answered(kind: str, **answer: Any) -> ImprovementRequest:
        made = opened(the.cast, kind)
        requests.vote(request=made, actor=the.cast.another_reviewer)
        requests.accept(request=made, actor=the.cast.ml_engineer)
        ImprovementRequest.objects.filter(pk=made.pk).update(**answer)
        return made

    def questions() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as of_page:
            assert page.get("/requests/").status_code == 200
        with CaptureQueriesContext(connection) as of_program:
            assert api.get("improvement-requests/").status_code == 200
        return len(of_page), len(of_program)

    by_run, by_prompt = answered("retraining", training_run=run), answered("prompt", prompt_version=prompt)
    questions()  # a token's first use is written down
    few = questions()
    for _ in range(4):
        answered("retraining", training_run=run)
        answered("prompt", prompt_version=prompt)
    assert questions() == few
    rows = {row["id"]: row for row in api.get("improvement-requests/").json()["results"]}
    assert len(rows) == 10
    for made in (by_run, by_prompt):
        assert rows[made.pk]["votes"] == 2
        assert the.candidate.pk in [release["id"] for release in rows[made.pk]["releases"]]


@pytest.mark.django_db
def test_the_database_keeps_requests_and_votes(cast: make.Cast) -> None:
    made = opened(cast)
    requests.vote(request=made, actor=cast.another_reviewer)
    for attempt in (
        lambda: ImprovementRequest.objects.update(reason="Something else."),
        lambda: ImprovementRequest.objects.update(evidence={}),
        lambda: ImprovementRequest.objects.all()._raw_delete("default"),
        lambda: ImprovementVote.objects.update(text="Mine."),
        lambda: ImprovementVote.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            attempt()


@pytest.mark.django_db
def test_pages_show_it_and_take_votes_and_decisions(cast: make.Cast) -> None:
    reader, engineer = Client(), Client()
    reader.force_login(cast.another_reviewer)
    engineer.force_login(cast.ml_engineer)
    assert b"No requests yet" in reader.get("/requests/").content
    answer = reader.post("/requests/new/", {"kind": "retraining", "reason": ""})
    assert answer.status_code == 422
    reader.post("/requests/new/", {"kind": "retraining", "reason": "Names <b>are</b> wrong."})
    made = ImprovementRequest.objects.get()
    page = engineer.get(f"/requests/{made.pk}/").content.decode()
    assert "Names &lt;b&gt;are&lt;/b&gt; wrong." in page
    assert "It can't be accepted yet." in page
    assert "Only 0 usable pairs" in page
    engineer.post(f"/requests/{made.pk}/vote/", {"text": "Yes."})
    assert "2 votes" in engineer.get(f"/requests/{made.pk}/").content.decode()
    assert engineer.post(f"/requests/{made.pk}/decide/", {"act": "accept"}).status_code == 409
    assert reader.post(f"/requests/{made.pk}/decide/", {"act": "decline", "reason": "No."}).status_code == 403
    engineer.post(f"/requests/{made.pk}/decide/", {"act": "decline", "reason": "Later."})
    made.refresh_from_db()
    assert (made.state, made.decision) == ("declined", "Later.")
    assert "Later." in reader.get(f"/requests/{made.pk}/").content.decode()
    assert made.reason[:5] in reader.get("/requests/").content.decode()


@pytest.mark.django_db
def test_a_run_that_was_begun_before_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    the = scene()
    cast = the.cast
    run = the.candidate.model_version.training_run
    assert run is not None
    made = opened(cast)
    monkeypatch.setattr(requests, "obstacle", lambda kind, facts: "")
    requests.accept(request=made, actor=cast.ml_engineer)
    engineer = Client()
    engineer.force_login(cast.ml_engineer)
    begun(run, at=made.opened_at - timedelta(days=1))
    assert engineer.post(f"/requests/{made.pk}/answer/", {"answer": run.pk}).status_code == 422
    assert engineer.post(f"/requests/{made.pk}/answer/", {"answer": "\u0661"}).status_code == 404
    begun(run, at=timezone.now())
    engineer.post(f"/requests/{made.pk}/answer/", {"answer": run.pk})
    made.refresh_from_db()
    assert made.training_run == run
    assert f"Training run {run.pk}" in engineer.get(f"/requests/{made.pk}/").content.decode()


@pytest.mark.django_db
def test_programs_open_and_read_them_and_never_decide(cast: make.Cast) -> None:
    api = Api(cast.reviewer, "reviews:write")
    made = api.post("improvement-requests/", {"kind": "retraining", "reason": "Numbers."})
    assert made.status_code == 201
    assert made.json()["votes"] == 1
    again = Api(cast.another_reviewer, "reviews:write").post(
        "improvement-requests/", {"kind": "retraining", "reason": "Names."}
    )
    assert (again.status_code, again.json()["id"], again.json()["votes"]) == (200, made.json()["id"], 2)
    assert api.get(f"improvement-requests/{made.json()['id']}/").json()["evidence"]["least_pairs"] == 20
    assert api.get("improvement-requests/").json()["count"] == 1
    wrong = api.post("improvement-requests/", {"kind": "magic", "reason": ""})
    assert set(wrong.json()["error"]["fields"]) == {"kind", "reason"}
    assert Api(cast.approver, "releases:read").get("improvement-requests/").status_code == 403
    assert Review.objects.count() == 0
