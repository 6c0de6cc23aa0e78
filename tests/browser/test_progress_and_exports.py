"""Progress, exports and ratings from elsewhere, as people use them: to the end, with the real jobs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from django.core.cache import cache
from playwright.sync_api import Page, expect

from models_app.foundation import jobs
from models_app.models import Job
from reviews.models import Export, FeedbackExample, Preference, QueueItem, Rater, Review, ReviewQueue
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.reviews.exports.exported import BETTER, review
from tests.reviews.reports.test_progress import done

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
BESSER = "Die neue Brücke über den Fluss wird ab Mai gebaut."
ARTICLE = "Stadtrat beschließt neue Brücke über den Fluss. " * 6


def downloaded(page: Page) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    return Path(download.value.path())


def test_a_file_is_asked_for_watched_fetched_and_removed(enter: Enter, cast: make.Cast) -> None:
    review(cast.reviewer)
    review(cast.another_reviewer, stars=4, comment="Ends well 👷🏽, «so»")
    page = enter("mila")
    page.goto("/exports/")
    page.get_by_label("What", exact=True).select_option(label="Chat: messages")
    page.get_by_label("As", exact=True).select_option(label="CSV")
    page.get_by_role("button", name="Export").click()
    expect(page.locator(".field", has=page.get_by_label("As", exact=True))).to_contain_text(
        "Messages are a list"
    )
    no_violation(page)
    page.get_by_label("What", exact=True).select_option(label="Reviews")
    page.get_by_label("Queue").select_option(label="New drafts")
    page.get_by_label("Whose").select_option(label="everybody’s, by name")
    page.get_by_role("button", name="Export").click()
    files = page.locator("#export-list")
    expect(files).to_contain_text("waits for the queue")
    no_violation(page)
    make.carried_out(Job.objects.get(kind="export"))
    expect(files).to_contain_text("ready")
    with downloaded(page).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [(row["reviewer"], row["stars"], row["edited_text"]) for row in rows] == [
        ("rita", "2", BETTER), ("ruben", "4", BETTER),
    ]  # fmt: skip
    assert rows[1]["comment"] == "Ends well 👷🏽, «so»"
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The file is removed.")).to_be_visible()
    expect(files).to_contain_text("removed")
    expect(page.get_by_role("link", name="Download")).to_have_count(0)

    own = enter("rita", script=False, width=390, height=844)
    own.goto("/exports/")
    expect(own.get_by_label("Whose")).to_have_count(0)
    own.get_by_role("button", name="Export").click()
    expect(own.locator("#export-list tbody tr")).to_have_count(1)
    make.carried_out(Job.objects.get(kind="export", state="queued"))
    own.reload()
    (row,) = map(json.loads, downloaded(own).read_text().splitlines())
    assert (row["reviewer"][:9], row["stars"]) == ("reviewer-", 2), "her own alone, by pseudonym"
    assert Export.objects.filter(requested_by=cast.reviewer).count() == 1


def test_ratings_from_elsewhere_are_mapped_and_brought_in(
    enter: Enter, cast: make.Cast, tmp_path: Path
) -> None:
    records = [
        {"inhalt": f"{number}. {ARTICLE}", "kurz": "Die Brücke kommt.", "besser": BESSER,
         "noten": dict.fromkeys(("inhalt", "bezug", "bau", "stil"), note), "wer": who}
        for number, (note, who) in enumerate([(80, "a"), (100, "b"), (140, "a")])
    ]  # fmt: skip
    path = tmp_path / "bewertungen.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    page = enter("mila")
    page.goto("/exports/")
    page.get_by_role("link", name="Ratings from elsewhere").click()
    page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Preview").click()
    page.wait_for_url("**/ratings/*/")
    jobs.carry_out(Job.objects.get(kind="import_ratings"))
    sample = page.locator("#import-sample")
    expect(sample).to_contain_text("Say which column it is")
    for label, column in {
        "Article": "inhalt", "Summary": "kurz", "Corrected summary": "besser", "Rater": "wer",
        "Consistency": "noten.inhalt", "Relevance": "noten.bezug", "Coherence": "noten.bau", "Fluency": "noten.stil",
    }.items():  # fmt: skip
        page.get_by_label(re.compile(rf"^\s*{label}")).fill(column)
    page.get_by_label("Numbers from").fill("0")
    page.get_by_label(re.compile(r"^\s*to")).fill("100")
    page.get_by_label("Round to the nearest point").check()
    expect(sample).to_contain_text("1 of 3 would be refused")
    expect(sample.get_by_role("article", name="Row 2")).to_contain_text("5 stars, from the ratings")
    page.get_by_label("Names of raters").fill("a=anna\nb")
    page.get_by_label("Queue").fill("Münchner Studie")
    no_violation(page)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".field", has=page.get_by_label("Names of raters"))).to_contain_text(
        "write value=name"
    )
    expect(page.get_by_label("Coherence")).to_have_value("noten.bau")
    page.get_by_label("Names of raters").fill("a=anna\nb=bernd")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("waiting for the queue")).to_be_visible()
    make.carried_out(Job.objects.get(kind="import_ratings", state="queued"))
    expect(page.get_by_text("2 of 3 rows came in")).to_be_visible()
    expect(page.get_by_role("region", name="Table of refused rows").get_by_role("row")).to_have_count(2)
    no_violation(page)
    assert set(Rater.objects.values_list("user__username", flat=True)) == {"anna", "bernd"}
    assert sorted(Review.objects.values_list("reviewer__username", "stars")) == [("anna", 4), ("bernd", 5)]
    assert not ReviewQueue.objects.get(name="Münchner Studie").active, "closed to the desk"
    assert FeedbackExample.objects.filter(kind="demonstration", target=BESSER).count() == 2
    page.goto("/progress/")
    expect(page.get_by_text("Nobody has submitted anything yet")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_progress_of_me_the_queue_and_the_team_is_what_was_done(
    enter: Enter, cast: make.Cast, theme: str, width: int
) -> None:
    cache.clear()
    for number in range(12):
        done(cast.reviewer, days_ago=number % 3, seconds=90)
    for _ in range(2):
        done(cast.another_reviewer, seconds=30)
    Preference.objects.create(
        item=QueueItem.objects.earliest("pk"), reviewer=cast.reviewer, choice="tie", state="submitted",
        submitted_at=Review.objects.latest("pk").submitted_at, active_seconds=0,
    )  # fmt: skip
    for _ in range(6):
        make.queue_item()
    page = enter("rita", theme=theme, width=width)
    page.goto("/progress/")
    for label, value, note in (
        ("Today", "5", "6 min at work"), ("Last 7 days", "13", "13 in all"),
        ("Per hour at work", "40.0", "12 in 18 min"), ("Median", "1 min 30 s", ""),
    ):  # fmt: skip
        tile = page.locator(".tile", has=page.get_by_text(label, exact=True))
        expect(tile.locator(".tile-value")).to_have_text(value)
        expect(tile.locator(".tile-note")).to_contain_text(note)
    row = page.get_by_role("region", name="Table of queues").get_by_role("row").filter(has_text="New drafts")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "14")
    expect(row.get_by_role("cell").nth(1)).to_contain_text("6")
    expect(row).to_contain_text("Too little to say when: 15 on 3 days of the last 14.")
    expect(page.get_by_text("The team")).to_have_count(0)
    chart = page.get_by_role("img", name="My reviews by day")
    expect(chart.locator("rect")).to_have_count(3)
    room = chart.locator("xpath=..").bounding_box()
    drawn = chart.bounding_box()
    assert room is not None
    assert drawn is not None
    assert drawn["width"] > 0.75 * room["width"]
    no_violation(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page = enter("mila", theme=theme, width=width)
    page.goto("/progress/")
    team = page.get_by_role("region", name="Table of the team")
    for name, numbers in (
        ("rita", ["13", "18 min", "40.0"]),
        ("ruben", ["2", "1 min", "–"]),
        ("All", ["15", "19 min"]),
    ):
        cells = (
            team.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name)).get_by_role("cell")
        )
        for place, words in enumerate(numbers):
            expect(cells.nth(place)).to_contain_text(words)
    no_violation(page)
