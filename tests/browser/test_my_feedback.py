"""My feedback: what became of each of my edits, up to the text that the live model writes of the same article."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from models_app.models import Job, Release
from reviews.examples.decisions import decline_example
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.reviews.desk.test_outcomes import MINE, example, learnt, reviewed
from tests.reviews.desk.test_outcomes import live as live

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
WHY = "The number of piles is right now, but nine months are said in the article's last sentence only. " * 2


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_each_edit_is_followed_to_the_live_model_s_text(
    enter: Enter, cast: make.Cast, live: Release, theme: str, width: int
) -> None:
    accepted, declined = reviewed(cast.reviewer), reviewed(cast.reviewer)
    run = learnt(example(accepted, "approved"))
    decline_example(example=example(declined, "proposed"), actor=cast.ml_engineer, reason=WHY)
    reviewed(cast.another_reviewer, comment="Not hers.")
    page = enter("rita", theme=theme, width=width)
    page.goto("/my-feedback/")
    expect(page.get_by_role("article")).to_have_count(2)
    first, second = page.locator(f"#review-{declined.pk}"), page.locator(f"#review-{accepted.pk}")
    road = page.get_by_role("article").filter(has=second).get_by_role("listitem")
    for step, words in enumerate(("Submitted", "Accepted", "Spring", run.state)):
        expect(road.nth(step)).to_contain_text(words)
    end = page.get_by_role("article").filter(has=first).get_by_role("listitem")
    expect(end).to_have_count(2)
    expect(end.last).to_contain_text(WHY.strip())
    place = end.last.bounding_box()
    assert place is not None
    assert place["height"] < (90 if width > 760 else 150), "it has room"
    if width > 760:
        asked = page.locator(f"#live-{accepted.pk}")
        asked.get_by_role("button", name="What does the live model write").click()
        expect(asked).to_contain_text("is writing this article")
        make.carried_out(Job.objects.get(kind="generate_summaries"))
        expect(asked).to_contain_text("The harbour authority of Nordhaven")
        expect(asked.locator("del").first).to_be_visible()
        assert MINE.split()[-1] in asked.inner_text()
    no_violation(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Show").select_option(label="Declined")
    page.wait_for_url("**state=declined**")
    expect(page.get_by_role("article")).to_have_count(1)
