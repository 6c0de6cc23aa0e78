"""A submitted answer takes a short way from the request to its row (`pytest -s` prints it)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.foundation.tokens import create_token
from reviews.desk.choices import Judgement, begin
from reviews.desk.claims import claim_next
from reviews.desk.reviews import Answers
from reviews.filling.pairs import pair_releases, pairwise_queue
from reviews.models import Preference, QueueItem, Review, ReviewQueue
from tests import make
from tests.walks import Walk, followed
from tests.web.desk_forms import JSON, WHOLE, assignment

MOST_MODULES, MOST_TURNS = 12, 2


def short(walk: Walk, what: str) -> None:
    print(f"\n{what}: {walk}")
    assert len(walk.modules) <= MOST_MODULES, walk
    assert len(walk.turns) <= MOST_TURNS, walk


@pytest.fixture
def item(db: None) -> QueueItem:
    return make.queue_item()


@pytest.mark.parametrize("begun", [False, True], ids=["at once", "after a draft"])
def test_a_review_from_the_desk(rita: Client, item: QueueItem, begun: bool) -> None:
    values = {**WHOLE, **assignment(rita.get(f"/desk/item/{item.pk}/"))}
    if begun:
        draft = rita.post(f"/desk/item/{item.pk}/draft/", {**values, "stars": "3"}, headers=JSON)
        values["base_revision"] = draft.json()["revision"]
    with followed("reviews_review", Answers, QueueItem, Review) as walk:
        assert rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON).status_code == 200
    short(walk, "review from the desk")


def test_a_review_by_program(client: Client, cast: make.Cast, item: QueueItem) -> None:
    claim_next(queue=item.queue, reviewer=cast.reviewer)
    token = create_token(
        user=cast.reviewer, name="walk", scopes=["reviews:write"], days=1, actor=cast.reviewer
    )[1]
    answers = {
        "stars": 4, "verdict": "good", "edited_text": "The pier closes.",
        "ratings": dict.fromkeys(("consistency", "relevance", "coherence", "fluency"), 4),
    }  # fmt: skip
    with followed("reviews_review", Answers, QueueItem, Review) as walk:
        answer = client.post(
            f"/api/v1/items/{item.pk}/submit/", answers, content_type="application/json",
            headers={"Authorization": f"Token {token}"},
        )  # fmt: skip
        assert answer.status_code == 200
    short(walk, "review by program")


def test_a_choice_between_two_summaries(rita: Client, cast: make.Cast) -> None:
    queue, releases = pairwise_queue(actor=cast.ml_engineer), (make.release(), make.release())
    document = make.document(split="test")
    for release, text in zip(releases, ("Old words.", "New words."), strict=True):
        make.summary(document, text, release=release)
    pair_releases(before=releases[0], after=releases[1], queue=queue, limit=1, actor=cast.ml_engineer)
    lease = claim_next(queue=queue, reviewer=cast.reviewer, kind=ReviewQueue.Kind.PAIRWISE)
    assert lease is not None
    begin(item=lease.assignment.item, reviewer=cast.reviewer)
    values: dict[str, Any] = {"choice": "left 2", "reason": "Says when.", "base_revision": 0}
    with followed("reviews_preference", Judgement, QueueItem, Preference) as walk:
        answer = rita.post(f"/pairwise/item/{lease.assignment.item_id}/submit/", values, headers=JSON)
        assert answer.status_code == 200
    short(walk, "choice between two summaries")
