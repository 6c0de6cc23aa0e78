"""Where the metric hardly moved, the release says how far people are and lets them be asked."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.evaluation.people import cast_vote
from models_app.models import EvaluationExample
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> scenes.Scene:
    """It moved by half a point on 40 documents; people are asked below one."""
    the = scenes.scene(before=0.10, after=0.105)
    scenes.small_policy(preference={"ask": "small", "documents": 20})
    return the


def shown(the: scenes.Scene, person: Any) -> str:
    client = Client()
    client.force_login(person)
    answer = client.get(f"/releases/{the.candidate.pk}/")
    assert answer.status_code == 200
    return markup(answer)


def voted(the: scenes.Scene, judge: Any, preferred: str, documents: int) -> None:
    for example in EvaluationExample.objects.filter(evaluation_set=the.on).order_by("position")[:documents]:
        cast_vote(
            candidate=the.candidate, baseline=the.live, document_hash=example.document_hash, origin="queueitem:1",
            judge=judge, preferred=preferred, candidate_left=True,
        )  # fmt: skip


def test_a_release_that_hardly_moved_says_whom_to_ask_and_leads_to_the_queue(the: scenes.Scene) -> None:
    page = shown(the, the.cast.ml_engineer)
    assert "Human evaluation" in page
    assert "0 of 20 documents are judged and 0 of 2 people have judged" in page
    assert f"/pairwise/new/?comparison={the.comparison.pk}&amp;documents=20" in page
    assert "/pairwise/new/" not in shown(the, the.cast.approver), "approvers may not make queues"
    client = Client()
    client.force_login(the.cast.ml_engineer)
    form = markup(client.get(f"/pairwise/new/?comparison={the.comparison.pk}&documents=20"))
    assert 'name="limit" value="20"' in form


@pytest.mark.parametrize("asked", ["-5", "0", "99999999999999999999", "abc", ""])
def test_nonsense_as_number_of_documents_suggests_a_number_that_can_be(the: scenes.Scene, asked: str) -> None:
    client = Client()
    client.force_login(the.cast.ml_engineer)
    answer = client.get(f"/pairwise/new/?comparison={the.comparison.pk}&documents={asked}")
    assert answer.status_code == 200
    assert any(f'name="limit" value="{number}"' in markup(answer) for number in (1, 50, 5000))


def test_progress_follows_the_votes_that_count(the: scenes.Scene) -> None:
    voted(the, the.cast.another_reviewer, "candidate", 12)
    voted(the, the.cast.ml_engineer, "baseline", 30)
    page = shown(the, the.cast.approver)
    assert "12 of 20 documents are judged and 1 of 2 people have judged" in page
    assert 'max="20" value="12"' in page
    assert "an interval that holds at every look" in page


def test_a_release_that_moved_far_asks_nobody() -> None:
    the = scenes.scene()
    scenes.small_policy(preference={"ask": "small"})
    assert "human-evaluation" not in shown(the, the.cast.ml_engineer)


def test_the_pages_of_a_comparison_and_of_its_test_set_say_what_slices_and_words_are(
    the: scenes.Scene,
) -> None:
    client = Client()
    client.force_login(the.cast.ml_engineer)
    page = markup(client.get(f"/comparisons/{the.comparison.pk}/"))
    assert "ROUGE-2, difference by slice" in page
    assert "domain: news" in page
    assert "All documents" in page
    assert make.PASSWORD not in page
