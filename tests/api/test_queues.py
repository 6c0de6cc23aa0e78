"""Reviewing by program: the same assignments, the same refusals as at the desk, and nothing that is kept from
reviewers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.api import authentication
from models_app.foundation.errors import InvalidInput
from models_app.foundation.tokens import create_token
from reviews.api.queues import _ANSWERS, _CLAIM, AnswersSerializer
from reviews.desk import claims
from reviews.models import Assignment, QueueItem, Review, SentenceSupport, SpanMark
from tests import make
from tests.api.conftest import Api, error
from tests.reviews.desk.test_claims import COMPLETE


@pytest.fixture
def rita(cast: make.Cast) -> Api:
    return Api(cast.reviewer, "reviews:write")


@pytest.fixture
def ruben(cast: make.Cast) -> Api:
    return Api(cast.another_reviewer, "reviews:write")


def claim(api: Api) -> dict[str, Any]:
    answer = api.post("queues/new-drafts/next/", {})
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def held(api: Api) -> dict[str, Any]:
    """What `renew` and `skip` ask for, of the next item."""
    claimed = claim(api)["assignment"]
    return {"assignment": claimed["id"], "token": claimed["token"]}


def test_an_item_is_claimed_kept_and_submitted(rita: Api, ruben: Api) -> None:
    item = make.queue_item()
    assert rita.get("queues/").json()["results"][0] == {
        "slug": "new-drafts", "name": "New drafts", "description": item.queue.description,
        "kind": "rate and edit", "waiting": 1, "done_today": 0, "lease_minutes": 30,
    }  # fmt: skip
    claimed = claim(rita)
    assert claimed["item"] == item.pk
    assert claimed["summary"] == item.summary.text
    assert claimed["document"]["text"] == item.summary.document.text
    assert [row["key"] for row in claimed["rubric"]["criteria"]] == list(COMPLETE["ratings"])
    assert claim(rita)["assignment"]["token"] == claimed["assignment"]["token"], "asked again, the same"
    assert ruben.post("queues/new-drafts/next/", {}).status_code == 204
    assignment = {"assignment": claimed["assignment"]["id"], "token": claimed["assignment"]["token"]}
    assert rita.post(f"items/{item.pk}/renew/", assignment).status_code == 200
    assert error(ruben.post(f"items/{item.pk}/renew/", assignment)) == (409, "stale")
    answers = {**COMPLETE, "rubric": claimed["rubric"]["id"]}
    answer = rita.post(f"items/{item.pk}/submit/", answers)
    review = Review.objects.get()
    assert (answer.status_code, answer.json()) == (200, {"review": review.pk, "revision": 1, "late": False})
    assert rita.post(f"items/{item.pk}/submit/", answers).json()["review"] == review.pk, "sent twice"
    assert review.reviewer == rita.user
    item.refresh_from_db()
    assert item.state == "done"
    done = {row["slug"]: row["done_today"] for row in rita.get("queues/").json()["results"]}
    assert done["new-drafts"] == 1


def test_what_must_not_be_submitted_is_refused_with_its_field(rita: Api, ruben: Api) -> None:
    item = make.queue_item()
    claim(rita)
    for changes, field in (
        ({"ratings": {**COMPLETE["ratings"], "fluency": 99}}, "fluency"),
        ({"ratings": {"consistency": 4}}, "fluency"),
        ({"ratings": {**COMPLETE["ratings"], "beauty": 3}}, "beauty"),
        ({"ratings": {**COMPLETE["ratings"], "half a character \ud83d": 3}}, "half a character ?"),
        ({"stars": 6}, "stars"),
        ({"stars": "many"}, "stars"),
        ({"verdict": "perfect"}, "verdict"),
        ({"edited_text": "   "}, "edited_text"),
        ({"edited_text": ""}, "edited_text"),
        ({"edited_text": 7}, "edited_text"),
        ({"active_seconds": -1}, "active_seconds"),
        ({"rubric": 99}, "rubric"),
    ):
        answer = rita.post(f"items/{item.pk}/submit/", {**COMPLETE, **changes})
        assert answer.status_code == 422, (changes, answer.content)
        assert any(name.startswith(field) or field in name for name in answer.json()["error"]["fields"]), (
            changes
        )
    assert rita.post(f"items/{item.pk}/submit/", {}).status_code == 422
    assert error(ruben.post(f"items/{item.pk}/submit/", COMPLETE)) == (409, "not_yours")
    rita.post(f"items/{item.pk}/submit/", COMPLETE)
    # finished: neither by the person who finished it nor by anybody else
    assert error(rita.post(f"items/{item.pk}/submit/", {**COMPLETE, "stars": 1})) == (409, "submitted")
    assert error(ruben.post(f"items/{item.pk}/submit/", COMPLETE)) == (409, "not_yours")
    assert Assignment.objects.get().state == "done"
    assert Review.objects.get().stars == 4


# A family of three people is five code points, eight UTF-16 units, and one character.
WROTE = "The pier closes 👩‍👩‍👧. 410 piles are rotten."
FAMILY = {
    "side": "summary", "start": 16, "end": 21, "quote": "👩‍👩‍👧", "error_type": "tone", "severity": "minor",
}  # fmt: skip
NUMBER = {
    "side": "summary", "start": 23, "end": 26, "quote": "410", "error_type": "wrong entity or number",
    "note": " 140,\u0000 says the source\ud800 ",
}  # fmt: skip


def test_marks_and_judged_sentences_are_kept_at_their_code_points(rita: Api) -> None:
    make.queue_item(make.summary(text=WROTE))
    claimed = claim(rita)
    assert claimed["sentences"] == [{"start": 0, "end": 22}, {"start": 23, "end": 44}]
    source = claimed["document"]["text"]
    said = source.index(".") + 1
    omitted = {
        "side": "source", "start": 0, "end": said, "quote": source[:said], "error_type": "omission",
        "severity": "critical",
    }  # fmt: skip
    half = {**FAMILY, "end": 19, "quote": WROTE[16:19], "error_type": "unclear"}
    answers = {
        **COMPLETE,
        "marks": [NUMBER, FAMILY, half, omitted, FAMILY],
        "support": [
            {**claimed["sentences"][1], "supported": False},
            {**claimed["sentences"][0], "supported": True},
        ],
    }
    answer = rita.post(f"items/{claimed['item']}/submit/", answers)
    assert answer.status_code == 200, answer.content
    kept = SpanMark.objects.order_by("side", "start", "error_type").values_list(
        "side", "start", "end", "quote", "error_type", "severity", "note", "suggested"
    )
    assert list(kept) == [
        ("source", 0, said, source[:said], "omission", "critical", "", False),
        ("summary", 16, 21, "👩‍👩‍👧", "tone", "minor", "", False),
        ("summary", 16, 21, "👩‍👩‍👧", "unclear", "minor", "", False),
        ("summary", 23, 26, "410", "wrong entity or number", "major", "140, says the source", False),
    ]
    judged = SentenceSupport.objects.order_by("start").values_list("start", "end", "supported")
    assert list(judged) == [(0, 22, True), (23, 44, False)]
    again = rita.post(f"items/{claimed['item']}/submit/", answers)
    assert (again.status_code, again.json()) == (200, answer.json()), "sent twice"
    fewer = {**answers, "marks": [NUMBER]}
    assert error(rita.post(f"items/{claimed['item']}/submit/", fewer)) == (409, "submitted")


def test_the_documented_answers_are_taken(rita: Api) -> None:
    make.queue_item(make.summary(text="The old pier 👷🏽 of Nordhaven will close. 410 piles are rotten."))
    claimed = claim(rita)
    text = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    (example,) = re.findall(r"items/17/submit/.*? -d '({.*?})'", text, re.DOTALL)
    answer = rita.post(f"items/{claimed['item']}/submit/", json.loads(example))
    assert answer.status_code == 200, answer.content
    assert (SpanMark.objects.get().quote, SentenceSupport.objects.count()) == ("410", 2)
    assert AnswersSerializer(data=_ANSWERS).is_valid()
    assert _CLAIM["sentences"] == claimed["sentences"]
    assert _ANSWERS["marks"] == json.loads(example)["marks"]


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"marks": [{**NUMBER, "start": 26, "end": 29}]}, "marks.0.quote", "“410” does not stand at 26–29"),
        ({"marks": [{**NUMBER, "end": 9999}]}, "marks.0.quote", "does not stand"),
        ({"marks": [{**NUMBER, "quote": "\ud83d"}]}, "marks.0.quote", "does not stand"),
        ({"marks": [{**NUMBER, "side": "source"}]}, "marks.0.quote", "of the source"),
        ({"marks": [{**NUMBER, "start": 22, "end": 23, "quote": " "}]}, "marks.0", "white space"),
        ({"marks": [FAMILY, {**NUMBER, "quote": "140"}]}, "marks.1.quote", "“140” does not stand"),
        ({"marks": [FAMILY, {**NUMBER, "start": -1}]}, "marks.1.start", "greater than"),
        ({"marks": [{**NUMBER, "start": 2**70}]}, "marks.0.start", "less than"),
        ({"marks": [{**NUMBER, "start": "23"}]}, "marks.0.start", "integer"),
        ({"marks": [{**NUMBER, "end": 26.0}]}, "marks.0.end", "integer"),
        ({"marks": [{**NUMBER, "end": True}]}, "marks.0.end", "integer"),
        ({"marks": [{**NUMBER, "side": "margin"}]}, "marks.0.side", "margin"),
        ({"marks": [{**NUMBER, "error_type": "ugly"}]}, "marks.0.error_type", "ugly"),
        ({"marks": [{**NUMBER, "severity": "awful"}]}, "marks.0.severity", "awful"),
        ({"marks": [{**NUMBER, "quote": 410}]}, "marks.0.quote", "string"),
        ({"marks": [{**NUMBER, "note": "x" * 301}]}, "marks.0.note", "300"),
        ({"marks": [{"side": "summary", "start": 23, "end": 26, "error_type": "tone"}]}, "marks.0.quote", "required"),
        ({"marks": [NUMBER] * 201}, "marks", "200"),
        ({"marks": [3]}, "marks.0", "dictionary"),
        ({"marks": {"start": 3}}, "marks", "list"),
        ({"marks": None}, "marks", "null"),
        ({"support": [{"start": 0, "end": 21, "supported": True}]}, "support.0", "Not a sentence of the summary: 0–21"),
        ({"support": [{"start": 0, "end": 22, "supported": True}] * 2}, "support.1", "twice"),
        ({"support": [{"start": 0, "end": 22, "supported": "no"}]}, "support.0.supported", "boolean"),
        ({"support": [{"start": 0, "end": 22}]}, "support.0.supported", "required"),
        ({"support": [[0, 22, True]]}, "support.0", "dictionary"),
    ],
)  # fmt: skip
def test_a_mark_that_is_not_right_is_refused_with_its_field(
    rita: Api, changes: dict[str, Any], field: str, why: str
) -> None:
    make.queue_item(make.summary(text=WROTE))
    claimed = claim(rita)
    answer = rita.post(f"items/{claimed['item']}/submit/", {**COMPLETE, **changes})
    assert answer.status_code == 422, answer.content
    fields = answer.json()["error"]["fields"]
    assert (list(fields), why in fields[field]) == ([field], True), fields
    assert not SpanMark.objects.exists()
    assert not Review.objects.filter(state="submitted").exists()


def test_skipping_needs_the_assignment_and_a_flag_a_reason(rita: Api, ruben: Api) -> None:
    item = make.queue_item()
    assignment = held(rita)
    assert error(ruben.post(f"items/{item.pk}/skip/", {**assignment, "meaning": "snooze"})) == (409, "stale")
    for nothing in ({}, {"reason": "\u0000\u200b \ud83d"}):
        answer = rita.post(f"items/{item.pk}/skip/", {**assignment, "meaning": "flag", **nothing})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, ["reason"])
    assert rita.post(f"items/{item.pk}/skip/", {**assignment, "meaning": "done"}).status_code == 422
    other = make.queue_item()
    assert error(rita.post(f"items/{other.pk}/skip/", {**assignment, "meaning": "snooze"})) == (409, "stale")
    assert rita.post(f"items/{item.pk}/skip/", {**assignment, "meaning": "skip"}).status_code == 204
    assert claim(ruben)["item"] == item.pk


def test_late_work_is_kept_as_an_extra_review(rita: Api, ruben: Api) -> None:
    item = make.queue_item()
    claim(rita)
    Assignment.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claim(ruben)["item"] == item.pk
    ruben.post(f"items/{item.pk}/submit/", COMPLETE)
    assert rita.post(f"items/{item.pk}/submit/", COMPLETE).json()["late"] is True


def test_blind_queues_say_nothing_of_the_model_of_peers_or_of_why(
    rita: Api, ruben: Api, cast: make.Cast
) -> None:
    release = make.release()
    queue = make.queue(reviews_per_item=2)
    summary = make.summary(release=release, model_version=release.model_version)
    make.queue_item(of=summary, in_queue=queue, reason="complaint", note="A client said it is wrong.")
    claim(ruben)
    ruben.post(f"items/{QueueItem.objects.get().pk}/submit/", {**COMPLETE, "comment": "Ruben was here."})
    said = json.dumps(claim(rita)) + rita.get("queues/").content.decode()
    for secret in (
        "complaint",
        "A client said",
        "Ruben",
        "ruben",
        f'"{release.model_version.name}',
        "release",
        "priority",
    ):
        assert secret not in said, secret


def test_only_tokens_with_the_scope_of_people_who_review(cast: make.Cast, rita: Api) -> None:
    item = make.queue_item()
    engineer = Api(cast.ml_engineer, "documents:read")
    assert engineer.get("queues/").status_code == 403
    assert engineer.post("queues/new-drafts/next/", {}).status_code == 403
    assert engineer.post(f"items/{item.pk}/submit/", COMPLETE).status_code == 403
    with pytest.raises(InvalidInput):
        create_token(user=cast.approver, name="x", scopes=["reviews:write"], days=1, actor=cast.approver)
    assert rita.post("queues/nowhere/next/", {}).status_code == 404
    assert rita.post("items/999999/submit/", COMPLETE).status_code == 404
    assert rita.post(f"items/{2**70}/submit/", COMPLETE).status_code == 404
    pairs = make.queue(slug="weak-outputs", kind="pairwise")
    document = make.document()
    pair = make.queue_item(make.summary(document, "A."), pairs, other=make.summary(document, "B."))
    assert rita.post("queues/weak-outputs/next/", {}).status_code == 404
    assert rita.post(f"items/{pair.pk}/submit/", COMPLETE).status_code == 404
    # a lost role counts in the use case once the token is looked up again, whatever the cache of scopes says
    claim(rita)
    cast.reviewer.groups.clear()
    authentication._recent.clear()
    assert rita.post(f"items/{item.pk}/submit/", COMPLETE).status_code == 403


def test_claims_by_token_and_at_the_desk_are_the_same_assignments(rita: Api, cast: make.Cast) -> None:
    queue = make.queue()
    make.queue_item()
    make.queue_item()
    lease = claims.claim_next(queue=queue, reviewer=cast.reviewer)
    assert lease is not None
    assert claim(rita)["assignment"]["id"] == lease.assignment.pk


def test_a_claim_takes_a_fixed_number_of_queries(
    rita: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make.queue_item()
    rita.get("queues/")
    with django_assert_max_num_queries(13):
        claim(rita)
    with django_assert_max_num_queries(6):
        rita.get("queues/")
