"""What goes on around somebody at the desk: wrong clocks, and changes by those who manage queues and people."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from reviews.desk.assigning import free_lost
from reviews.models import Assignment, QueueItem, Review
from reviews.queues.settings import Question, create_rubric_version
from tests import make
from tests.browser.conftest import Enter
from tests.browser.desk import BETTER, DRAFT, another_item, at_desk, saved
from tests.reviews.queues.test_settings import POINTS, changed

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_wrong_clock_neither_ends_a_lease_nor_loses_or_lengthens_work(
    enter: Enter, cast: make.Cast
) -> None:
    queue = make.queue(lease_minutes=5)
    for _ in range(3):
        make.queue_item(make.summary(make.document(), DRAFT), queue)
    for skew in (timedelta(days=-3), timedelta(hours=5)):
        page = enter("rita")
        page.clock.install(time=timezone.now() + skew)
        at_desk(page)
        for digit in "4554":
            page.keyboard.press(digit)
        page.locator("#edit").fill(BETTER)
        saved(page)
        page.clock.set_system_time(
            timezone.now()
        )  # the machine sets its clock right, while somebody is at work
        page.locator("#edit").fill(f"{BETTER} So.")
        saved(page)
        expect(page.locator("#notices .message")).to_have_count(0)
        with another_item(page):
            page.keyboard.press("Control+Enter")
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        review = Review.objects.filter(state="submitted").latest("submitted_at")
        assert review.edited_text == f"{BETTER} So."
        assert not review.late
        assert review.active_seconds < 120
        assert review.submitted_at is not None
        assert abs(timezone.now() - review.submitted_at) < timedelta(minutes=2), "by the server's clock"
        page.context.close()


def test_questions_and_reviews_per_item_changed_meanwhile_and_the_account_closed(
    enter: Enter, cast: make.Cast
) -> None:
    queue = make.queue()
    for _ in range(2):
        make.queue_item(make.summary(make.document(), DRAFT), queue)
    page = at_desk(enter("rita"))
    first = QueueItem.objects.get(pk=page.locator("form[data-desk]").get_attribute("data-item") or "")
    page.keyboard.press("4")
    saved(page)
    rubric = create_rubric_version(
        instructions="Be strict.",
        questions=[Question("Truth", "Is it true?", POINTS), Question("Length", "Short enough?", POINTS)],
        actor=cast.ml_engineer,
    )
    changed(queue, cast.ml_engineer, rubric=rubric.number, reviews_per_item=2)
    for digit in "554":
        page.keyboard.press(digit)
    saved(page)
    with another_item(page):
        page.keyboard.press("Control+Enter")
    review = Review.objects.get(item=first, state="submitted")
    assert (review.rubric.number, set(review.ratings)) == (
        1,
        {"consistency", "relevance", "coherence", "fluency"},
    ), "she answered what she was asked"
    first.refresh_from_db()
    assert (first.state, first.wanted_reviews) == ("open", 2), "one more is wanted now"
    page.reload()
    expect(page.get_by_text("Is it true?")).to_be_visible()

    page.locator("#edit").fill(BETTER)
    saved(page)
    rita = User.objects.get(pk=cast.reviewer.pk)
    rita.is_active = False
    rita.save()
    page.locator("#edit").fill(f"{BETTER} More.")
    saved(page, "Not saved · signed out")
    second = Review.objects.get(state="draft")
    assert second.edited_text == BETTER, "what was saved stays"
    assert free_lost() == 1
    assert Assignment.objects.filter(item=second.item_id, state="free").count() == 2, (
        "for others, both of them"
    )
