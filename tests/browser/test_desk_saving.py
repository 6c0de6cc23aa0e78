"""Nothing typed at the review desk is lost: connections and servers that go, crashes, two tabs, lost leases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Route, expect

from reviews.desk.claims import claim_next
from reviews.models import (
    Assignment,
    QueueItem,
    Review,
    ReviewQueue,
)
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import BETTER, at_desk, crash, eventually, saved, stopped_clock

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_what_is_typed_is_on_the_server_within_two_seconds_and_there_after_a_reload(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(stopped_clock(enter("rita")))
    saved(page, "No changes")
    page.locator("#edit").fill(BETTER)
    page.clock.run_for(2_000)
    saved(page)
    assert Review.objects.filter(edited_text=BETTER).exists()
    page.keyboard.press("Alt+4")
    page.clock.run_for(2_000)
    saved(page)
    page.reload()
    saved(page)
    expect(page.locator("#edit")).to_have_value(BETTER)
    expect(page.locator("[name=rating-consistency][value='4']")).to_be_checked()
    expect(page.locator("[data-diff] ins")).to_have_text("140")


def test_what_is_typed_before_the_scripts_are_there_is_saved_too(
    enter: Enter, items: list[QueueItem]
) -> None:
    page, held_up = enter("rita"), list[Route]()
    page.route("**/js/desk/autosave.js", lambda route: held_up.append(route))
    page.goto("/desk/new-drafts/", wait_until="commit")
    page.locator("#edit").fill(BETTER)
    eventually(page, lambda: held_up)
    held_up[0].continue_()
    saved(page)
    assert Review.objects.get().edited_text == BETTER


def test_somebody_who_types_without_a_pause_is_saved_too(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(stopped_clock(enter("rita")))
    page.locator("#comment").focus()
    for _ in range(13):  # never quiet for long enough, for two seconds
        page.keyboard.type("ab ")
        page.clock.run_for(150)
    eventually(page, lambda: Review.objects.exclude(comment="").exists())


def test_without_a_connection_the_text_stays_here_and_goes_out_when_it_is_back(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    page.context.set_offline(True)
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    assert not Review.objects.filter(edited_text=BETTER).exists()
    page.context.set_offline(False)
    saved(page)
    assert Review.objects.get().edited_text == BETTER


def test_after_a_crash_what_was_never_saved_is_back(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.context.set_offline(True)
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    crash(page)
    page.context.set_offline(False)
    other = at_desk(page.context.new_page())
    expect(other.locator("#edit")).to_have_value(BETTER)
    expect(other.locator("#notices")).to_contain_text("is back")
    saved(other)
    assert Review.objects.get().edited_text == BETTER


def test_a_server_that_restarts_while_somebody_types_loses_nothing(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = enter("rita")
    page.clock.install()
    down = [502, 503, 500]
    page.route("**/draft/", lambda route: route.fulfill(status=down.pop()) if down else route.continue_())
    at_desk(page)
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("x")

    def is_saved_a_little_later() -> bool:
        page.clock.run_for(1_000)
        return Review.objects.filter(edited_text=BETTER).exists()

    eventually(page, is_saved_a_little_later)
    assert not down
    saved(page)
    assert Review.objects.get().support == [[0, 53, False]]


def test_a_save_whose_answer_was_lost_is_no_conflict(enter: Enter, items: list[QueueItem]) -> None:
    page = enter("rita")

    def lose_the_answer(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/draft/", lose_the_answer, times=1)
    at_desk(page)
    page.locator("#edit").fill("One")
    eventually(page, lambda: Review.objects.filter(edited_text="One").exists())
    page.locator("#edit").fill("One and two.")
    saved(page)
    expect(page.locator("#stale")).to_be_hidden()
    assert Review.objects.get().edited_text == "One and two."


def test_a_stale_tab_is_told_and_either_text_can_go_on(enter: Enter, items: list[QueueItem]) -> None:
    one = at_desk(enter("rita"))
    other = at_desk(one.context.new_page())
    one.locator("#edit").fill("Typed in the first tab.")
    saved(one)
    other.evaluate("localStorage.clear()")
    other.locator("#edit").fill("Typed in the second tab.")
    dialog = other.locator("#stale")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Typed in the first tab.")
    expect(dialog).to_contain_text("Typed in the second tab.")
    no_violation(other)
    assert Review.objects.get().edited_text == "Typed in the first tab."
    dialog.get_by_role("button", name="Keep what is typed here").click()
    saved(other)
    eventually(other, lambda: Review.objects.get().edited_text == "Typed in the second tab.")
    one.locator("#edit").fill("Typed in the first tab again.")
    one.get_by_role("button", name="Take what is saved there").click()
    expect(one.locator("#edit")).to_have_value("Typed in the second tab.")
    saved(one)


def test_after_the_lease_ran_out_typing_goes_on_and_counts_as_extra(
    enter: Enter, cast: make.Cast, queue: ReviewQueue, items: list[QueueItem]
) -> None:
    for item in items[1:]:
        QueueItem.objects.filter(pk=item.pk).update(state="done")
        Assignment.objects.filter(item=item).delete()
    page = at_desk(enter("rita"))
    Assignment.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    assert claim_next(queue=queue, reviewer=cast.another_reviewer) is not None
    for digit in "4554":
        page.keyboard.press(digit)
    expect(page.locator("#notices")).to_contain_text("somebody else has it now")
    saved(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing waits here").or_(page.get_by_text("All done here"))).to_be_visible()
    review = Review.objects.get(state="submitted")
    assert (review.reviewer, review.late) == (cast.reviewer, True)


def test_who_was_signed_out_is_told_and_loses_nothing(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.context.clear_cookies()
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · signed out")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    kept = page.evaluate(
        "JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('galley-desk:'))[1])"
    )
    assert kept["answers"]["edited_text"] == BETTER


def test_time_at_work_is_measured(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(stopped_clock(enter("rita")))
    page.clock.run_for(7_000)
    page.locator("#comment").fill("Some time passed.")
    page.clock.run_for(1_000)
    saved(page)
    assert Review.objects.get().active_seconds in (7, 8)
