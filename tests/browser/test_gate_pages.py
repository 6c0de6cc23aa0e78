"""The policy and the gates of a release in a browser: edited by one person, waived by two, without violations."""

from __future__ import annotations

from itertools import product

import pytest
from playwright.sync_api import expect

from models_app.gates import policies
from models_app.models.releases import Environment
from tests import make
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless
from tests.releases import scene as scenes

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LOOKS = tuple(product(("light", "dark"), (DESKTOP, PHONE)))


@pytest.fixture
def cast(transactional_db: None) -> scenes.Scene:
    """Judged, and inconclusive for want of documents; Petra edits policies."""
    the = scenes.scene()
    make.user("petra", "policy editor")
    scenes.small_policy(guards={"least_documents": 100, "margins": {"rouge1": 1.0}})
    scenes.judged(the.candidate, the.comparison)
    return the


def test_an_editor_changes_the_policy_and_sees_what_changed(enter: Enter, cast: scenes.Scene) -> None:
    page = enter("petra")
    page.goto("/policies/")
    page.get_by_role("link", name="Edit policy").click()
    page.locator("[name='primary.margin']").fill("much")
    page.get_by_role("textbox", name="Reason").fill("Half a point is what readers notice.")
    page.get_by_role("button", name="Save policy").click()
    expect(page.locator(".errorlist").get_by_text("From 0 to 100.")).to_be_visible()
    page.locator("[name='primary.margin']").fill("0.75")
    page.get_by_role("button", name="Save policy").click()
    expect(page.get_by_text("Half a point is what readers notice.").first).to_be_visible()
    assert policies.policy_of(Environment.objects.get()).primary.margin == 0.75
    page.get_by_role("link", name="Compare versions").click()
    expect(page.get_by_role("cell", name="0.75")).to_be_visible()
    for path in ("/policies/production/", "/policies/production/edit/", "/policies/production/changes/"):
        faultless(page, path, *LOOKS)


def test_one_asks_for_a_waiver_and_another_agrees(enter: Enter, cast: scenes.Scene) -> None:
    address = f"/releases/{cast.candidate.pk}/gates/"
    page = enter("mila")
    page.goto(address)
    page.get_by_text("Ask for a waiver").first.click()
    page.get_by_label("Reason").first.fill("The test set is small.")
    page.get_by_role("button", name="Ask for it").first.click()
    expect(page.get_by_text("mila asked for a waiver").first).to_be_visible()
    faultless(page, address, *LOOKS)
    other = enter("ada")
    other.goto(address)
    other.get_by_text("Agree", exact=True).click()
    other.get_by_label("Why you agree").fill("It is.")
    other.get_by_label("Your password").fill(make.PASSWORD)
    other.get_by_role("button", name="Agree to the waiver").click()
    expect(other.get_by_text("holds", exact=True)).to_be_visible()
    expect(other.get_by_text("waived", exact=True).first).to_be_visible()
    faultless(other, address, *LOOKS)
