"""Those who manage queues: a queue with a rule, assignments for one person, and a review sent back, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from reviews.models import Assignment, QueueRule, ReviewQueue, ReviewReturn
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.reviews.quality.test_adjudication import POOR, reviewed

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("script", [True, False])
def test_a_queue_is_made_and_a_rule_is_set_and_removed(cast: make.Cast, enter: Enter, script: bool) -> None:
    page = enter("mila", script=script)
    page.goto("/queues/")
    page.get_by_role("link", name="New queue").click()
    page.get_by_label("Name").fill("Hard articles")
    page.get_by_role("button", name="Make the queue").click()
    page.wait_for_url("**/queues/hard-articles/rules/")
    queue = ReviewQueue.objects.get(name="Hard articles")
    few = page.get_by_role("region", name="Few stars")
    few.get_by_text("Set it up").click()
    few.get_by_label("Stars or fewer").fill("1")
    few.get_by_role("button", name="Save this rule").click()
    expect(few).to_contain_text("1 star")
    assert QueueRule.objects.get(queue=queue).active
    few.get_by_text("Change it").click()
    if script:
        no_violation(page)
    few.get_by_role("button", name="Remove this rule").click()
    expect(few.get_by_text("Set it up")).to_be_visible()
    assert not QueueRule.objects.filter(queue=queue).exists()


def test_assignments_are_kept_given_back_and_a_review_is_sent_back(cast: make.Cast, enter: Enter) -> None:
    queue = make.queue()
    done = make.queue_item(in_queue=queue)
    reviewed(done, cast.reviewer, POOR)
    make.queue_item(in_queue=queue)
    page = enter("mila")
    page.goto("/queues/new-drafts/people/")
    page.get_by_role("checkbox", name="rita").check()
    page.get_by_role("button", name="Assign", exact=True).click()
    expect(page.get_by_text("New assignments: rita 1.")).to_be_visible()
    expect(page.get_by_role("button", name="Give back what is assigned to rita")).to_be_visible()
    assert Assignment.objects.get(assigned_to=cast.reviewer, state="free").item.queue == queue
    page.get_by_role("checkbox", name="rita").check()
    page.get_by_role("button", name="Assign", exact=True).click()
    expect(page.get_by_text("No open assignment is left for them.")).to_be_visible()
    no_violation(page)
    page.get_by_role("button", name="Give back what is assigned to rita").click()
    expect(page.get_by_role("button", name="Give back what is assigned to rita")).to_have_count(0)
    assert not Assignment.objects.filter(assigned_to=cast.reviewer, state="free").exists()

    page.get_by_role("link", name="Items", exact=True).click()
    page.get_by_label("State").focus()
    for state in ("open", "done"):  # the keyboard goes through the choices without losing its place
        page.keyboard.press("ArrowDown")
        page.wait_for_url(f"**state={state}**")
        expect(page.get_by_label("State")).to_be_focused()
    page.locator("#queue-items tbody a").click()
    page.get_by_text("Send it back").click()
    page.get_by_label("What is to be corrected").fill("The number of piles.")
    page.get_by_role("button", name="Send back to rita").click()
    expect(page.get_by_text("mila sent it back")).to_contain_text("The number of piles.")
    assert ReviewReturn.objects.get().comment == "The number of piles."
    rita = enter("rita")
    rita.goto(f"/desk/item/{done.pk}/")
    expect(rita.locator("#notices")).to_contain_text("The number of piles.")
