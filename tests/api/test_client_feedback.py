from __future__ import annotations

from typing import Any

import pytest

from models_app.models import ClientFeedback, Job, Release
from tests import make
from tests.api.conftest import Api, error

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(api: Api, live: Release) -> str:
    return api.post("summaries/", {"text": make.ARTICLE}).json()["id"]


def say(api: Api, made: str, **body: Any) -> Any:
    return api.post(f"summaries/{made}/feedback/", {"stars": 4, **body})


def sent_to_desk() -> list[int]:
    return [job.payload["feedback"] for job in Job.objects.filter(kind="review_requests").order_by("pk")]


def test_feedback_is_kept_with_its_sentiment_and_class(api: Api, made: str) -> None:
    answer = say(api, made, stars=2, comment="It says 410 piles, that number is wrong.", wants="retrain")
    assert answer.status_code == 201
    row = ClientFeedback.objects.get()
    assert (str(row.request_id), row.stars, row.wants) == (made, 2, "retrain")
    assert (row.sentiment, row.category) == ("negative", "factual error")
    assert row.sentiment_score is not None
    assert row.sentiment_score < 0
    assert answer.json()["id"] == row.pk
    assert answer.json()["summary_id"] == made


@pytest.mark.parametrize(
    "body",
    [
        {"stars": 1},
        {"stars": 2},
        {"stars": 4, "comment": "The date is wrong."},
        {"stars": 5, "wants": "retrain"},
        {"stars": 5, "wants": "refine"},
        {"stars": 5, "edited_summary": "Nordhaven closes its old pier for nine months."},
    ],
)
def test_few_stars_a_complaint_a_wish_or_a_correction_go_to_the_review_desk(
    api: Api, made: str, body: dict[str, Any]
) -> None:
    say(api, made, **body)
    assert sent_to_desk() == [ClientFeedback.objects.get().pk]


@pytest.mark.parametrize("body", [{"stars": 3}, {"stars": 5, "comment": "Excellent, very clear."}])
def test_the_rest_does_not(api: Api, made: str, body: dict[str, Any]) -> None:
    say(api, made, **body)
    assert ClientFeedback.objects.exists()
    assert sent_to_desk() == []


def test_without_the_text_nobody_could_judge_it(api: Api, live: Release, settings: Any) -> None:
    settings.GALLEY_KEEP_REQUEST_TEXT = False
    made = api.post("summaries/", {"text": make.ARTICLE}).json()["id"]
    assert say(api, made, stars=1).status_code == 201
    assert sent_to_desk() == []


def test_an_edit_that_changes_nothing_is_none(api: Api, made: str) -> None:
    summary = api.get(f"summaries/{made}/").json()["summary"]
    say(api, made, edited_summary=f"  {summary} ")
    say(api, made, edited_summary="Nordhaven closes its pier.\x00")
    assert list(ClientFeedback.objects.order_by("pk").values_list("edited_summary", flat=True)) == [
        "", "Nordhaven closes its pier.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("stars", {"stars": 0}),
        ("stars", {"stars": 6}),
        ("stars", {"stars": None}),
        ("stars", {"stars": "five"}),
        ("wants", {"wants": "coffee"}),
        ("comment", {"comment": "x" * 5001}),
        ("edited_summary", {"edited_summary": "x" * 20001}),
    ],
)
def test_wrong_fields_are_named(api: Api, made: str, field: str, body: dict[str, Any]) -> None:
    answer = say(api, made, **body)
    assert error(answer) == (422, "invalid")
    assert set(answer.json()["error"]["fields"]) == {field}
    assert not ClientFeedback.objects.exists()


def test_feedback_sent_twice_with_one_key_is_kept_once(api: Api, made: str) -> None:
    for _ in range(2):
        answer = api.post(f"summaries/{made}/feedback/", {"stars": 1}, **{"Idempotency-Key": "f-1"})
        assert answer.status_code == 201
    assert ClientFeedback.objects.count() == 1
    assert len(sent_to_desk()) == 1
