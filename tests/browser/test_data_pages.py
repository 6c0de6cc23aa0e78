"""Importing, deciding by keyboard, freezing: as an ML engineer does it, without script too; axe on each page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from models_app.models import DatasetSnapshot, Job, Route
from reviews.examples.proposals import propose_from_review
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import freeze_snapshot
from reviews.ingest import uploads
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.models import FeedbackExample, ImportBatch, Review, SourceDocument
from tests import make
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless, no_violation
from tests.browser.desk import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


def rows_file(directory: Path, count: int, column: str = "article") -> Path:
    path = directory / "news week 47.jsonl"
    rows = [
        {column: f"{make.ARTICLE} Row {number}.", "highlights": "It closes.", "section": "News"}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {column: "Too short."}]))
    return path


def examples(cast: make.Cast, count: int) -> list[FeedbackExample]:
    found = []
    for _ in range(count):
        item = make.queue_item(make.summary(make.document()), state="done")
        review = Review.objects.create(
            item=item, summary=item.summary, reviewer=cast.reviewer, rubric=item.queue.rubric, state="submitted",
            stars=2, verdict="poor", edited_text=BETTER, submitted_at=item.created_at,
        )  # fmt: skip
        found += propose_from_review(review=review)[:1]
    FeedbackExample.objects.filter(kind="preference").delete()
    return found


def state(example: FeedbackExample) -> str:
    return FeedbackExample.objects.values_list("state", flat=True).get(pk=example.pk)


def test_a_file_is_uploaded_looked_at_mapped_and_imported(
    enter: Enter, cast: make.Cast, tmp_path: Path
) -> None:
    page = enter("mila")
    page.goto("/documents/")
    with page.expect_navigation():
        page.get_by_role("link", name="Import documents").first.click()
    page.get_by_label("File", exact=True).set_input_files(rows_file(tmp_path, 4, column="inhalt"))
    page.get_by_role("button", name="Preview").first.click()
    expect(page.get_by_role("heading", name="news week 47.jsonl")).to_be_visible()
    expect(page.get_by_role("heading", name="Looking at the first rows")).to_be_visible()
    no_violation(page)
    make.carried_out(Job.objects.get())
    expect(page.get_by_text("No column is known to hold the article's text")).to_be_visible()
    page.get_by_label("Article").select_option("inhalt")
    expect(page.get_by_text("1 of 5 would be refused")).to_be_visible()
    expect(page.get_by_label("Domain").first).to_have_value("section")
    page.get_by_label("Licence").last.fill("CC0-1.0")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("waiting for the queue")).to_be_visible()
    make.carried_out(Job.objects.exclude(payload__has_key="look").get())
    expect(page.get_by_text("4 of 5 rows came in as new documents")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("cell", name=re.compile("2 words; an article has at least 20"))).to_be_visible()
    no_violation(page)
    with page.expect_download() as download:
        page.get_by_text("Report", exact=True).click()
        page.get_by_role("link", name="CSV").click()
    assert "refused,5,text" in Path(download.value.path()).read_text()
    page.get_by_role("link", name="Its documents").click()
    expect(page.get_by_role("row")).to_have_count(5)
    assert SourceDocument.objects.filter(licence="CC0-1.0", domain="news").count() == 4


def test_what_is_wrong_with_a_file_is_said_without_leaving_the_page(
    enter: Enter, cast: make.Cast, tmp_path: Path, settings: Any
) -> None:
    settings.GALLEY_MAX_UPLOAD_MB = 1
    page = enter("mila")
    page.goto("/documents/imports/")
    picture, large = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    picture.write_bytes(b"\x89PNG\r\n")
    large.write_bytes(b"x" * (2 << 20))
    field = page.get_by_label("File", exact=True)
    field.set_input_files(picture)
    page.get_by_role("button", name="Preview").first.click()
    expect(page.get_by_text("a.jsonl is a picture.")).to_be_visible()
    field.set_input_files(large)
    page.get_by_role("button", name="Preview").first.click()
    assert field.evaluate("input => input.validationMessage") == "This file has 2 MB; at most 1 MB are taken."
    assert not ImportBatch.objects.exists()


def test_without_script_a_file_comes_in_too(enter: Enter, cast: make.Cast, tmp_path: Path) -> None:
    page = enter("mila", script=False)
    page.goto("/documents/imports/")
    page.get_by_label("File", exact=True).set_input_files(rows_file(tmp_path, 2))
    page.get_by_role("button", name="Preview").first.click()
    expect(page.get_by_role("heading", name="Looking at the first rows")).to_be_visible()
    make.carried_out(Job.objects.get())
    page.reload()
    page.get_by_label("Reference summary").select_option("")
    page.get_by_role("button", name="Show the rows again").click()
    expect(page.get_by_text("1 of 3 would be refused")).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).click()
    make.carried_out(Job.objects.exclude(payload__has_key="look").get())
    page.reload()
    expect(page.get_by_text("2 of 3 rows came in as new documents")).to_be_visible()
    assert set(SourceDocument.objects.values_list("reference", flat=True)) == {""}


def test_examples_are_decided_by_keyboard(enter: Enter, cast: make.Cast) -> None:
    first, second, third = examples(cast, 3)
    page = enter("mila")
    page.goto("/feedback/")
    page.keyboard.press("j")
    expect(page.locator(f"#example-{first.pk}")).to_be_focused()
    page.keyboard.press("o")
    expect(
        page.locator(f"#example-{first.pk}").get_by_role("region", name="Text of the article")
    ).to_be_visible()
    page.keyboard.press("a")
    eventually(page, lambda: state(first) == "approved")
    expect(page.locator(f"#example-{first.pk}")).to_contain_text("approved")
    expect(page.locator(f"#example-{second.pk}")).to_be_focused()
    expect(page.locator("#example-tabs")).to_contain_text("Approved 1")
    page.keyboard.press("d")
    page.keyboard.type("Not our style, a and j")  # letters are letters in a field
    page.keyboard.press("Enter")
    eventually(page, lambda: state(second) == "declined")
    second.refresh_from_db()
    assert second.reason == "Not our style, a and j"
    expect(page.locator(f"#example-{third.pk}")).to_be_focused()
    page.keyboard.press("d")
    page.keyboard.press("Escape")
    expect(page.locator(f"#example-{third.pk}")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(f"#example-{second.pk}")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    assert state(third) == "proposed"


def test_many_examples_are_ticked_and_declined_for_one_reason(enter: Enter, cast: make.Cast) -> None:
    found = examples(cast, 3)
    page = enter("mila")
    page.goto("/feedback/")
    button = page.get_by_role("button", name="Decline selected")
    expect(button).to_be_disabled()
    page.get_by_label("Select all on this page").check()
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.get_by_label(f"Select example {found[0].pk}").uncheck()
    expect(page.get_by_text("2 selected")).to_be_visible()
    button.click()
    page.locator("#many-reason").fill("Too long")
    page.locator("#decline-many").get_by_role("button", name="Decline", exact=True).click()
    expect(page.get_by_text("2 examples are declined.")).to_be_visible()
    assert [state(example) for example in found] == ["proposed", "declined", "declined"]


def test_a_second_decision_on_the_same_is_told_as_a_toast(enter: Enter, cast: make.Cast) -> None:
    document = make.document()
    fields = {"document": document, "kind": "demonstration", "origin": "reference", "target": BETTER}
    FeedbackExample.objects.create(**fields, state="approved")
    other = FeedbackExample.objects.create(**{**fields, "target": f"{BETTER} Again."})
    page = enter("mila")
    page.goto("/feedback/")
    page.locator(f"#example-{other.pk}").get_by_role("button", name="Approve").click()
    expect(page.locator("#toasts")).to_contain_text("has an approved demonstration already")
    assert state(other) == "proposed"


def test_freezing_follows_what_is_ticked_and_leads_to_training(enter: Enter, cast: make.Cast) -> None:
    for domain, split in (("news", "train"), ("news", "validation"), ("sport", "train")):
        document = make.document(domain=domain, split=split)
        FeedbackExample.objects.create(
            document=document, kind="demonstration", origin="reference", target=BETTER, state="approved"
        )
    page = enter("mila")
    page.goto("/feedback/")
    with page.expect_navigation():
        page.get_by_role("link", name="Create a snapshot").click()
    preview = page.locator("#freeze-preview")
    expect(preview).to_contain_text("18 more training rows of the 20 that a run needs")
    page.get_by_label("news").check()
    expect(preview).to_contain_text("19 more training rows of the 20")
    no_violation(page)
    page.get_by_label("Name").fill("News only")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="News only")).to_be_visible()
    expect(page.get_by_text("domains: news")).to_be_visible()
    page.get_by_role("link", name="Train on this").click()
    expect(page.get_by_label("Snapshot")).to_have_value(str(DatasetSnapshot.objects.get().pk))


def test_documents_are_found_while_typing_and_drafted_with_one_choice(enter: Enter, cast: make.Cast) -> None:
    Route.objects.update(release=make.release(state="live"))
    wanted = make.document(title="Choir sings for the harbour")
    make.document(title="Old pier to close")
    page = enter("mila")
    page.goto("/documents/")
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_label("Find").fill("choir si")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page).to_have_url(re.compile("q=choir%20si"))
    menu = page.get_by_text("Actions")
    menu.click()
    expect(page.locator("#toasts")).to_contain_text("Select at least one first.")
    page.get_by_label(f"Select document {wanted.pk}").check()
    menu.click()
    page.get_by_role("button", name="Summarize into New drafts").first.click()
    expect(page.get_by_text("1 document will be summarised")).to_be_visible()
    assert Job.objects.get().payload["documents"] == [wanted.pk]


# The other two of the four are taken by test_axe.
def test_axe_finds_nothing_on_any_page(enter: Enter, cast: make.Cast, tmp_path: Path) -> None:
    found = examples(cast, 2)
    test_document = make.document(split="test")
    FeedbackExample.objects.filter(pk=found[0].pk).update(state="approved")
    FeedbackExample.objects.create(
        document=test_document,
        kind="demonstration",
        origin="review",
        target=BETTER,
        state="declined",
        reason="Test.",
    )
    snapshot, tests = freeze_snapshot(name="S", actor=None), freeze_test_set(actor=None)
    path = uploads.keep(
        chunks=[rows_file(tmp_path, 2).read_bytes()], name="rows.jsonl", place=DOCUMENTS.place
    )
    batch = make.looked_at(DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=cast.ml_engineer))
    page = enter("mila")
    for address in (
        "/documents/", "/documents/?q=nothing-like-it", f"/documents/{found[0].document_id}/",
        f"/documents/{test_document.pk}/", "/documents/imports/", f"/documents/imports/{batch.pk}/", "/feedback/",
        "/feedback/?state=declined", "/feedback/?domain=nowhere", f"/feedback/{found[0].pk}/", "/feedback/freeze/",
        "/feedback/test-set/", "/snapshots/", "/snapshots/?list=test-sets", f"/snapshots/{snapshot.pk}/",
        f"/snapshots/test-sets/{tests.pk}/",
    ):  # fmt: skip
        faultless(page, address, ("dark", DESKTOP), ("light", PHONE))
