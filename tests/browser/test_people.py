"""An administrator makes an account; its person sets the password by the link and comes in; later they leave."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests import make
from tests.browser.conftest import Enter, no_violation

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NEW_PASSWORD = "quite another secret 7"


def confirm_password(page: Page) -> None:
    page.get_by_label("Password").fill(make.PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def test_an_account_is_made_by_a_link_and_ends_by_deactivating(enter: Enter) -> None:
    admin = enter("alma")
    admin.goto("/people/")
    no_violation(admin)
    admin.get_by_label("Name", exact=True).last.fill("nora")
    admin.get_by_label("reviewer: reads and corrects").check()
    admin.get_by_role("button", name="Make the account").click()
    confirm_password(admin)  # asked once, then not for a quarter of an hour
    expect(admin.get_by_role("heading", name="Hand this link to nora now")).to_be_visible()
    no_violation(admin)
    link = admin.locator("#link-address").inner_text()

    nora = enter("")
    nora.goto(link)
    assert nora.url.endswith("/accounts/link/")
    no_violation(nora)
    nora.get_by_label("New password").fill("short")
    nora.get_by_label("The same again").fill("short")
    nora.get_by_role("button", name="Set the password").click()
    expect(nora.get_by_text("too short")).to_be_visible()
    nora.get_by_label("New password").fill(NEW_PASSWORD)
    nora.get_by_label("The same again").fill(NEW_PASSWORD)
    nora.get_by_role("button", name="Set the password").click()
    nora.get_by_label("Username").fill("nora")
    nora.get_by_label("Password").fill(NEW_PASSWORD)
    nora.get_by_role("button", name="Sign in").click()
    expect(nora.get_by_role("link", name="Review desk")).to_be_visible()

    admin.goto("/people/?q=nora")
    admin.get_by_role("link", name="nora").click()
    expect(admin.get_by_text("Signed in 1 time.")).to_be_visible()
    no_violation(admin)
    admin.get_by_role("button", name="Deactivate").first.click()
    admin.get_by_label("Why").fill("Left the team.")
    admin.locator("#deactivate").get_by_role("button", name="Deactivate").click()
    expect(admin.get_by_text("nora is deactivated")).to_be_visible()
    expect(admin.get_by_text("“Left the team.”")).to_be_visible()
    nora.goto("/desk/")
    expect(nora.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("script", [True, False])
def test_the_pages_of_people_work_on_a_dark_phone_and_without_script(enter: Enter, script: bool) -> None:
    phone = enter("alma", theme="dark", width=390, height=844, script=script)
    phone.goto("/people/")
    assert script is False or phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.get_by_role("link", name="rita").click()
    if script:
        no_violation(phone)
    phone.get_by_label("approver: approves or rejects").check()
    phone.get_by_role("button", name="Save roles").click()
    confirm_password(phone)
    expect(phone.get_by_text("The roles of rita are changed.")).to_be_visible()
    phone.get_by_role("button", name="Make a link").first.click()
    phone.locator("#make-link").get_by_role("button", name="Make the link").click()
    expect(phone.get_by_role("heading", name="Hand this link to rita now")).to_be_visible()
