"""The pages of those who manage queues: who sees them, what they change, what blind queues keep, at what cost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from reviews.desk import assigning, claims
from reviews.desk.reviews import Answers, submit_review
from reviews.filling.rule_runs import set_rule
from reviews.models import Assignment, QueueItem, QueueRule, Review, ReviewQueue, RubricVersion
from reviews.queues import queries as queue_reading
from tests import make
from tests.pages import markup
from tests.reviews.desk.test_claims import COMPLETE, claimed

pytestmark = pytest.mark.django_db
HTML = "<script>alert(1)</script> & <b>bold</b>"


@pytest.fixture
def mila(cast: make.Cast) -> Client:
    return signed_in(cast.ml_engineer)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, (path, answer.status_code)
    return markup(answer)


def submitted(queue: ReviewQueue, reviewer: Any, **changes: Any) -> Review:
    lease = claimed(queue, reviewer)
    return submit_review(
        item=lease.assignment.item, answers=Answers(**{**COMPLETE, **changes}), reviewer=reviewer
    )


SETTINGS = {
    "name": "New drafts", "description": "", "kind": "rate and edit", "rubric": 1, "reviews_per_item": 2,
    "overlap_percent": 100, "lease_minutes": 30, "order": "priority", "blind_to_peers": "on", "blind_to_model": "on",
    "active": "on",
}  # fmt: skip


def test_only_those_who_manage_queues_see_and_change_anything(cast: make.Cast) -> None:
    queue = make.queue()
    item = make.queue_item(in_queue=queue)
    review = submitted(queue, cast.reviewer)
    assignment = Assignment.objects.get(item=item)
    pages = ["", "new/", "rubrics/", "rubrics/new/", "new-drafts/", "new-drafts/settings/", "new-drafts/rules/",
             "new-drafts/people/", f"new-drafts/items/{item.pk}/"]  # fmt: skip
    posts = ["new/", "rubrics/new/", "new-drafts/settings/", "new-drafts/rules/", "new-drafts/people/",
             f"new-drafts/assignments/{assignment.pk}/take-back/", f"new-drafts/items/{item.pk}/assign/",
             f"new-drafts/items/{item.pk}/put-back/", f"new-drafts/items/{item.pk}/step-aside/",
             f"new-drafts/reviews/{review.pk}/send-back/", "new-drafts/people/rita/unassign/"]  # fmt: skip
    for person in (cast.reviewer, cast.approver, cast.operator, cast.stranger):
        client = signed_in(person)
        for page in pages:
            assert client.get(f"/queues/{page}").status_code == 403, (person, page)
        for page in posts:
            assert client.post(f"/queues/{page}", SETTINGS).status_code == 403, (person, page)
    for page in pages:
        text_of(signed_in(cast.ml_engineer), f"/queues/{page}")
    assert "/queues/" not in text_of(signed_in(cast.reviewer), "/desk/")


def test_a_queue_is_made_changed_and_filled_by_forms(mila: Client) -> None:
    for _ in range(2):
        make.queue_item()
    made = mila.post("/queues/new/", {**SETTINGS, "name": "Hard & odd"}, follow=True)
    assert made.redirect_chain[-1][0] == "/queues/hard-odd/rules/"
    wrong = mila.post("/queues/new/", {**SETTINGS, "name": "Hard & odd"})
    assert wrong.status_code == 422
    assert "a queue of this name already" in markup(wrong)
    assert mila.post("/queues/new/", {**SETTINGS, "name": "x", "reviews_per_item": 99}).status_code == 422
    named = mila.post("/queues/new/", {**SETTINGS, "name": "Rubrics"}, follow=True)
    assert named.redirect_chain[-1][0] == "/queues/rubrics-queue/rules/", "its address must lead to it"
    ReviewQueue.objects.filter(slug="hard-odd").update(name="Renamed since")
    again = mila.post("/queues/new/", {**SETTINGS, "name": "Hard & odd"}, follow=True)
    assert again.redirect_chain[-1][0] == "/queues/hard-odd-2/rules/", (
        "the name is free, its old address is not"
    )
    saved = mila.post("/queues/new-drafts/settings/", SETTINGS, follow=True)
    assert "2 assignments more" in markup(saved)
    assert Assignment.objects.filter(queue__slug="new-drafts").count() == 4
    page = "/queues/hard-odd/rules/"
    answer = mila.post(page, {"kind": "random share", "random-of": "both", "random-percent": "0"})
    assert answer.status_code == 422
    assert mila.post(page, {"kind": "nonsense"}).status_code == 422
    mila.post(page, {"kind": "random share", "random-of": "both", "random-percent": "2.5", "active": "1"})
    rule = QueueRule.objects.get(queue__slug="hard-odd")
    assert (rule.params, rule.active) == ({"of": "both", "percent": 2.5}, True)
    mila.post(page, {"kind": "flagged by a check", "flagged-of": "drafts", "flagged-numbers": "on"})
    rule = QueueRule.objects.get(kind="flagged by a check")
    assert (rule.params["longest"], rule.params["names"], rule.active) == (None, False, False)
    mila.post(f"{page}{rule.pk}/remove/")
    assert QueueRule.objects.filter(queue__slug="hard-odd").count() == 1
    assert "2.5 % of new drafts and live requests" in text_of(mila, page)


def test_items_are_found_assigned_and_taken_back(mila: Client, cast: make.Cast) -> None:
    queue = make.queue()
    held = make.queue_item(of=make.summary(make.document(title=HTML)), in_queue=queue, priority=5)
    free = make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    page = text_of(mila, "/queues/new-drafts/")
    assert "rita has it checked out until" in page
    assert HTML not in page
    found = text_of(mila, "/queues/new-drafts/?person=rita")
    assert f"items/{held.pk}/" in found
    assert f"items/{free.pk}/" not in found
    assert "Nothing matches" in text_of(mila, "/queues/new-drafts/?person=nobody")
    assert "Nothing matches" in text_of(mila, "/queues/new-drafts/?state=disputed")
    mila.post(f"/queues/new-drafts/items/{free.pk}/assign/", {"person": "ruben"})
    assert Assignment.objects.get(item=free).assigned_to == cast.another_reviewer
    again = mila.post(f"/queues/new-drafts/items/{free.pk}/assign/", {"person": "ruben"}, follow=True)
    assert "has answered this item" in markup(again)
    nobody = mila.post(f"/queues/new-drafts/items/{free.pk}/assign/", {"person": "no\u0000body"}, follow=True)
    assert "Choose a person." in markup(nobody)
    mila.post(f"/queues/new-drafts/assignments/{lease.assignment.pk}/take-back/")
    assert Assignment.objects.get(item=held).state == "free"
    gone = mila.post(f"/queues/new-drafts/assignments/{lease.assignment.pk}/take-back/", follow=True)
    assert "Nobody has this assignment" in markup(gone)
    people = text_of(mila, "/queues/new-drafts/people/")
    assert "ruben" in people
    assert "stan" not in people, "no reviewer"
    mila.post("/queues/new-drafts/people/", {"people": ["rita"], "most": "5"})
    assert Assignment.objects.get(item=held).assigned_to == cast.reviewer
    assert mila.post("/queues/new-drafts/people/", {"people": ["stan"]}).status_code == 422
    assert mila.post("/queues/new-drafts/people/", {}).status_code == 422
    mila.post("/queues/new-drafts/people/rita/unassign/")
    assert Assignment.objects.get(item=held).assigned_to is None


def test_a_review_is_sent_back_with_a_comment(mila: Client, cast: make.Cast) -> None:
    queue = make.queue()
    item = make.queue_item(in_queue=queue)
    ratings = {"fluency": 4, "coherence": 3, "relevance": 2, "consistency": 1}
    review = submitted(queue, cast.reviewer, comment=HTML, ratings=ratings)
    page = text_of(mila, f"/queues/new-drafts/items/{item.pk}/")
    assert "Send back to rita" in page
    assert "Consistency 1, Relevance 2, Coherence 3, Fluency 4" in page, "as the rubric asks them"
    assert HTML not in page
    wrong = mila.post(f"/queues/new-drafts/reviews/{review.pk}/send-back/", {"comment": " "})
    assert wrong.status_code == 422
    assert "Say what is to be corrected." in markup(wrong)
    sent = mila.post(
        f"/queues/new-drafts/reviews/{review.pk}/send-back/", {"comment": "Look again."}, follow=True
    )
    assert "Look again." in markup(sent)
    review.refresh_from_db()
    assert review.state == "returned"
    stale = mila.post(f"/queues/new-drafts/reviews/{review.pk}/send-back/", {"comment": "Again."})
    assert stale.status_code == 409


def test_people_who_could_be_asked_see_no_answers_of_a_blind_queue(mila: Client, cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    submitted(queue, cast.reviewer, comment="The pier, not the quay.", stars=2)
    address = f"/queues/new-drafts/items/{item.pk}/"
    hidden = text_of(mila, address)
    for secret in ("The pier, not the quay.", "2 of 5 stars", "Send back to", COMPLETE["edited_text"]):
        assert secret not in hidden, secret
    mila.post(f"{address}step-aside/")
    assert "The pier, not the quay." in text_of(mila, address)
    assert claims.claim_next(queue=queue, reviewer=cast.ml_engineer) is None, "and is not asked any more"
    other = make.queue_item(in_queue=queue)
    claimed(queue, cast.administrator)
    alma = signed_in(cast.administrator)
    refused = alma.post(f"/queues/new-drafts/items/{item.pk}/step-aside/", follow=True)
    assert "You have this item checked out" in markup(refused)
    assert text_of(alma, f"/queues/new-drafts/items/{other.pk}/")
    open_queue = make.queue(slug="weak-outputs", blind_to_peers=False, reviews_per_item=2)
    seen = make.queue_item(in_queue=open_queue)
    submitted(open_queue, cast.another_reviewer, comment="Fine.")
    assert "Fine." in text_of(alma, f"/queues/weak-outputs/items/{seen.pk}/")


def test_a_flagged_item_is_put_back(mila: Client, cast: make.Cast) -> None:
    queue = make.queue()
    item = make.queue_item(in_queue=queue)
    QueueItem.objects.filter(pk=item.pk).update(state="flagged")
    assert "?state=flagged" in text_of(mila, "/queues/"), "the count leads to the list"
    assert str(item.summary.document) in text_of(mila, "/queues/new-drafts/?state=flagged")
    assert "Put back" in text_of(mila, f"/queues/new-drafts/items/{item.pk}/")
    mila.post(f"/queues/new-drafts/items/{item.pk}/put-back/")
    item.refresh_from_db()
    assert item.state == "open"
    again = mila.post(f"/queues/new-drafts/items/{item.pk}/put-back/", follow=True)
    assert "not flagged any more" in markup(again)


def test_a_new_rubric_begins_with_the_newest_and_names_what_is_missing(mila: Client) -> None:
    page = mila.get("/queues/rubrics/new/")
    form = page.context["form"]
    values = {name: form[name].value() or "" for name in form.fields}
    values |= {"name-4": "Length", "question-4": "Short enough?"}
    wrong = mila.post("/queues/rubrics/new/", values)
    assert wrong.status_code == 422
    assert "Word each of the 5 points" in markup(wrong)
    values |= {f"point-4-{point}": f"point {point}" for point in range(1, 6)}
    mila.post("/queues/rubrics/new/", values)
    rubric = RubricVersion.objects.get(number=2)
    keys = [criterion.key for criterion in rubric.criteria.order_by("position")]
    assert keys == ["consistency", "relevance", "coherence", "fluency", "length"]
    shown = text_of(mila, "/queues/rubrics/")
    assert "Version 2" in shown
    assert "asked nowhere" in shown


def test_lists_take_a_fixed_number_of_queries(mila: Client, cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)

    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            text_of(mila, path)
        return len(queries)

    paths = ["/queues/", "/queues/new-drafts/", "/queues/new-drafts/?state=open", "/queues/new-drafts/?person=rita",
             "/queues/new-drafts/people/", "/queues/new-drafts/rules/", "/queues/rubrics/"]  # fmt: skip
    make.queue_item(in_queue=queue)
    submitted(queue, cast.reviewer)
    set_rule(queue=queue, kind="random share", params={}, actor=cast.ml_engineer)
    assigning.assign_evenly(queue=queue, people=[cast.another_reviewer], actor=cast.ml_engineer)
    for path in paths:
        text_of(mila, path)
    before = [cost(path) for path in paths]
    for number in range(6):
        make.user(f"more{number}", "reviewer")
        make.queue_item(in_queue=queue)
    submitted(queue, cast.administrator)
    claimed(queue, cast.administrator)
    set_rule(queue=queue, kind="drift", params={}, actor=cast.ml_engineer)
    assert [cost(path) for path in paths] == before
    assert max(before) <= 14


def test_items_of_all_states_come_by_priority_and_no_more_are_counted_than_are_listed(
    mila: Client, cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make.queue()
    states = ("open", "done", "flagged", "disputed", "open", "done")
    items = [make.queue_item(in_queue=queue, priority=place % 4) for place in range(len(states))]
    for item, state in zip(items, states, strict=True):
        QueueItem.objects.filter(pk=item.pk).update(state=state)
    wanted = [item.pk for item in sorted(items, key=lambda item: (-item.priority, item.pk))]

    def listed(query: str = "") -> tuple[list[int], str]:
        page = text_of(mila, f"/queues/new-drafts/{query}")
        return [int(pk) for pk in re.findall(r'href="/queues/new-drafts/items/(\d+)/"', page)], page

    found, page = listed()
    assert found == wanted
    assert "all (6)" in page
    assert "1–6 of 6 items" in page
    assert listed("?state=open")[0] == [items[0].pk, items[4].pk]
    monkeypatch.setattr(queue_reading, "LISTED", 2)
    found, page = listed()
    assert found == wanted[:2]
    assert "all (2+)" in page
    assert "done (2+)" in page
    assert "disputed (1)" in page
    assert "1–2 of 2+ items" in page
    assert listed("?page=7")[0] == wanted[:2], "beyond the end is the last page"
