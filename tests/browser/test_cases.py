"""A case made from a complaint, with assertions that come and go, in a browser with and without script."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from models_app.models import CaseVersion
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.cases import scene

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("script", [True, False])
def test_a_complaint_becomes_a_case_and_the_case_is_edited(
    cast: make.Cast, enter: Enter, script: bool
) -> None:
    document = make.document(scene.ARTICLE)
    item = make.queue_item(make.summary(document, "410 piles are rotten."), note="The number is wrong.")
    page = enter("mila", script=script)
    page.goto(f"/queues/{item.queue.slug}/items/{item.pk}/")
    page.get_by_role("link", name="Make it a case").click()
    page.get_by_label("Title").fill("Rotten piles")
    page.get_by_label("Kind of the next assertion").select_option("number")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Number", exact=True).fill("140")
    page.get_by_label("Kind of the next assertion").select_option("typos")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Remove: stays as it is with typos").click()
    expect(page.get_by_label("Seed")).to_have_count(0)
    expect(page.get_by_label("Number", exact=True)).to_have_value("140")
    if script:
        no_violation(page)
    page.get_by_label("Number", exact=True).press("Enter")
    page.wait_for_url("**/cases/*/1/")
    case = CaseVersion.objects.get()
    assert (case.title, [one["kind"] for one in case.assertions]) == ("Rotten piles", ["lacks", "number"])

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("What changed and why").fill("Not so strict.")
    page.get_by_role("button", name="Remove: must not contain").click()
    expect(page.get_by_role("button", name="Remove: must not contain")).to_have_count(0)
    page.get_by_role("button", name="Save").last.click()
    page.wait_for_url("**/cases/*/1/")
    expect(page.get_by_text("“Not so strict.”")).to_be_visible()
    page.get_by_role("button", name="Retire").click()
    page.get_by_label("Why").fill("Nobody needs it.")
    page.get_by_role("button", name="Retire").last.click()
    page.wait_for_url("**/cases/*/")
    expect(page.get_by_text("No cases in this version")).to_be_visible()
    if script:
        no_violation(page)
