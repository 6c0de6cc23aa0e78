"""Back at the desk: a submit or a skip undone for a moment, and what I submitted before."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from reviews.desk import claims, queries
from reviews.desk.reviews import submit_review
from reviews.models import (
    QueueItem,
    Review,
    ReviewQueue,
    Skip,
)
from tests import make
from tests.pages import markup
from tests.web.desk_forms import ANSWERS, JSON, WHOLE, assignment, submitted


def test_after_submitting_without_script_the_next_page_offers_to_take_it_back(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    first = make.queue_item(in_queue=queue)
    make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    page = rita.post(f"/desk/item/{first.pk}/submit/", WHOLE, follow=True)
    assert page.redirect_chain == [(f"/desk/new-drafts/?undo={first.pk}", 302)]
    assert f'action="/desk/item/{first.pk}/undo/"' in markup(page)
    page = rita.post(f"/desk/item/{first.pk}/undo/", follow=True)
    assert "Taken back: it is a draft again." in markup(page)
    assert f'data-item="{first.pk}"' in markup(page)
    assert Review.objects.get().state == "draft"
    page = rita.post(f"/desk/item/{first.pk}/undo/", follow=True)
    assert "nothing to take back" in markup(page)


def test_what_was_passed_by_can_be_taken_back_on_the_page_that_says_nothing_is_left(
    rita: Client, queue: ReviewQueue, item: QueueItem
) -> None:
    values = assignment(rita.get("/desk/new-drafts/"))
    page = rita.post(f"/desk/item/{item.pk}/skip/", {**values, "meaning": "skip"}, follow=True)
    assert "Nothing waits here" in markup(page)
    assert f'action="/desk/item/{item.pk}/undo/"' in markup(page)
    page = rita.post(f"/desk/item/{item.pk}/undo/", follow=True)
    assert f'data-item="{item.pk}"' in markup(page)
    assert not Skip.objects.exists()


def test_undo_is_offered_to_nobody_else_and_not_for_long(
    rita: Client, client: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    rita.get("/desk/new-drafts/")
    answer = rita.post(f"/desk/item/{item.pk}/submit/", WHOLE, headers=JSON).json()
    assert answer["undo"] == {"url": f"/desk/item/{item.pk}/undo/", "seconds": 10}
    Review.objects.update(submitted_at=timezone.now() - timedelta(seconds=11))
    assert "data-undo-offer" not in markup(rita.get(f"/desk/new-drafts/?undo={item.pk}"))
    Review.objects.update(submitted_at=timezone.now() - timedelta(seconds=60))
    refused = rita.post(f"/desk/item/{item.pk}/undo/", headers=JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "stale")
    client.force_login(cast.another_reviewer)
    assert "data-undo-offer" not in markup(client.get(f"/desk/new-drafts/?undo={item.pk}"))
    assert client.post(f"/desk/item/{item.pk}/undo/", headers=JSON).status_code == 409
    client.force_login(cast.approver)
    assert client.post(f"/desk/item/{item.pk}/undo/", headers=JSON).status_code == 403
    assert Review.objects.get().state == "submitted"


def three_submitted(cast: make.Cast, queue: ReviewQueue) -> list[QueueItem]:
    """Oldest first."""
    items = []
    for minutes in (30, 20, 10):
        review = submitted(cast, queue)
        Review.objects.filter(pk=review.pk).update(submitted_at=timezone.now() - timedelta(minutes=minutes))
        items.append(review.item)
    return items


def test_back_through_what_i_submitted_and_forward_to_where_i_was(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    oldest, middle, newest = three_submitted(cast, queue)
    here = make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")

    def went(way: str, than: QueueItem) -> str:
        return str(rita.get(f"/desk/my/recent/{way}/?than={than.pk}&back={here.pk}")["Location"])

    assert went("older", here) == f"/desk/item/{newest.pk}/?back={here.pk}"
    assert went("older", newest) == f"/desk/item/{middle.pk}/?back={here.pk}"
    assert went("older", oldest) == f"/desk/item/{oldest.pk}/?back={here.pk}"
    assert went("newer", oldest) == f"/desk/item/{middle.pk}/?back={here.pk}"
    assert went("newer", newest) == f"/desk/item/{here.pk}/"
    page = rita.get(f"/desk/item/{middle.pk}/?back={here.pk}")
    assert "Back to where you were" in markup(page)
    values = {**WHOLE, **assignment(page), "comment": "Seen again.", "back": str(here.pk)}
    corrected = rita.post(f"/desk/item/{middle.pk}/correct/", values)
    assert corrected["Location"] == f"/desk/item/{here.pk}/"
    assert Review.objects.get(item=middle).revisions.count() == 2


def test_my_last_twenty_are_mine_and_take_one_query(
    rita: Client, cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mine = three_submitted(cast, queue)
    other = make.queue_item(in_queue=queue)
    claims.hold(item=other, reviewer=cast.another_reviewer)
    submit_review(item=other, answers=ANSWERS, reviewer=cast.another_reviewer)
    with django_assert_num_queries(1):
        rows = queries.recent_of(cast.reviewer)
    assert [row.item_id for row in rows] == [item.pk for item in reversed(mine)]
    assert {(row.stars, row.verdict, row.edited, row.revisions) for row in rows} == {(2, "poor", True, 1)}
    for _ in range(20):
        submitted(cast, queue)
    with django_assert_num_queries(1):
        assert len(queries.recent_of(cast.reviewer)) == 20
    page = markup(rita.get("/desk/my/recent/"))
    assert page.count('<li> <a href="/desk/item/') == 20
    assert f"/desk/item/{other.pk}/" not in page
    fragment = markup(rita.get("/desk/my/recent/", headers={"HX-Request": "true"}))
    assert fragment.lstrip().startswith('<div class="recent" id="recent-list"')
