"""Documents, imports, feedback examples, snapshots and test sets: who sees what, what happens, at what cost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext

from models_app.models import DatasetSnapshot, EvaluationSet, Job, Release, Route
from reviews.examples import search
from reviews.examples.decisions import TEST_SPLIT
from reviews.examples.proposals import propose_from_review
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import freeze_snapshot
from reviews.ingest import uploads
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.models import FeedbackExample, ImportBatch, Review, SourceDocument
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
HTML = "<script>alert(1)</script> & <b>bold</b>"
BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


@pytest.fixture
def live(cast: make.Cast) -> Release:
    release = make.release(state="live")
    Route.objects.update(release=release)
    return release


@pytest.fixture(autouse=True)
def empty_store() -> Iterator[None]:
    yield
    shutil.rmtree(Path(django_settings.GALLEY_HOME) / DOCUMENTS.place, ignore_errors=True)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, path: str, status: int = 200, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, (path, answer.status_code)
    return markup(answer)


def lines(count: int, start: str = "word") -> bytes:
    rows = [
        {"article": " ".join(f"{start}{row}-{i}" for i in range(30)), "highlights": "It rained."}
        for row in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def example(document: SourceDocument | None = None, **fields: Any) -> FeedbackExample:
    values = {"kind": "demonstration", "origin": "reference", "target": BETTER}
    return FeedbackExample.objects.create(document=document or make.document(), **{**values, **fields})


def reviewed(cast: make.Cast, document: SourceDocument | None = None, **fields: Any) -> Review:
    item = make.queue_item(
        make.summary(document or make.document(), release=make.release(), model_version=make.lead_model()),
        state="done",
    )
    values = {
        "item": item, "summary": item.summary, "reviewer": cast.reviewer, "rubric": item.queue.rubric,
        "state": "submitted", "stars": 2, "verdict": "poor", "edited_text": BETTER, "comment": "Wrong number.",
        "submitted_at": item.created_at,
    }  # fmt: skip
    return Review.objects.create(**{**values, **fields})


def batch(cast: make.Cast, content: bytes = b"", name: str = "rows.jsonl") -> ImportBatch:
    path = uploads.keep(chunks=[content or lines(3)], name=name, place=DOCUMENTS.place)
    return make.looked_at(DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=cast.ml_engineer))


# ---------------------------------------------------------------- who may what


@pytest.fixture
def paths(cast: make.Cast) -> dict[str, str]:
    document = make.document()
    one = example(document, state="approved")
    example(make.document(split="validation"), state="approved")
    make.document(split="test")
    snapshot, tests = freeze_snapshot(name="S", actor=None), freeze_test_set(actor=None)
    return {
        "documents": "/documents/",
        "document": f"/documents/{document.pk}/",
        "imports": "/documents/imports/",
        "batch": f"/documents/imports/{batch(cast).pk}/",
        "feedback": "/feedback/",
        "example": f"/feedback/{one.pk}/",
        "article": f"/feedback/{one.pk}/article/",
        "freeze": "/feedback/freeze/",
        "test_set_new": "/feedback/test-set/",
        "snapshots": "/snapshots/",
        "test_sets": "/snapshots/?list=test-sets",
        "snapshot": f"/snapshots/{snapshot.pk}/",
        "file": f"/snapshots/{snapshot.pk}/files/train.jsonl",
        "test_set": f"/snapshots/test-sets/{tests.pk}/",
    }


SEES = {
    "reviewer": {"documents", "document", "batch"},
    "approver": {"documents", "document", "batch", "snapshots", "test_sets", "snapshot", "file", "test_set"},
    "operator": {"documents", "document", "batch", "snapshots", "test_sets", "snapshot", "file", "test_set"},
    "stranger": set[str](),
}


@pytest.mark.parametrize(
    "who", ["reviewer", "approver", "operator", "stranger", "ml_engineer", "administrator"]
)
def test_each_role_sees_its_pages(cast: make.Cast, paths: dict[str, str], who: str) -> None:
    client = signed_in(getattr(cast, who))
    seen = {name for name, path in paths.items() if client.get(path).status_code == 200}
    assert seen == SEES.get(who, set(paths))
    assert {client.get(paths[name]).status_code for name in set(paths) - seen} <= {403}


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_who_may_only_look_can_change_nothing(cast: make.Cast, live: Release, who: str) -> None:
    document, one, submitted = make.document(), example(), batch(cast)
    client = signed_in(getattr(cast, who))
    posts = {
        "/documents/draft/": {"draft": "chosen:", "document": document.pk},
        "/documents/propose-references/": {"scope": "chosen", "document": document.pk},
        "/documents/imports/": {"from": "hub", "hub": "a/b"},
        f"/documents/imports/{submitted.pk}/start/": {"map_text": "article"},
        f"/documents/imports/{submitted.pk}/discard/": {},
        f"/documents/imports/{submitted.pk}/cancel/": {},
        f"/feedback/{one.pk}/approve/": {},
        f"/feedback/{one.pk}/decline/": {"reason": "No."},
        "/feedback/decide/": {"decision": "approve", "example": one.pk},
        "/feedback/freeze/": {"name": "x"},
        "/feedback/test-set/": {"name": "x"},
    }
    assert {client.post(path, values).status_code for path, values in posts.items()} == {403}
    assert not imports_asked_for()
    assert not DatasetSnapshot.objects.exists()
    assert FeedbackExample.objects.get().state == "proposed"
    assert ImportBatch.objects.count() == 1


@pytest.mark.parametrize("path", ["draft/", "propose-references/", "imports/1/start/"])
def test_changes_are_never_made_by_get(cast: make.Cast, path: str) -> None:
    assert signed_in(cast.ml_engineer).get(f"/documents/{path}").status_code == 405


# ---------------------------------------------------------------- documents


def test_documents_are_found_by_words_split_domain_and_origin(cast: make.Cast) -> None:
    make.document(title="Harbour closes", split="train", domain="news", origin="a.jsonl")
    make.document(title="Choir sings", split="test", domain="culture", origin="b.jsonl", external_id="x-77")
    client = signed_in(cast.reviewer)
    assert "Harbour closes" in text_of(client, "/documents/")
    for query, found in {
        "q=harb+closes": "Harbour", "q=x-77": "Choir", "split=test": "Choir", "domain=news": "Harbour",
        "origin=b.jsonl": "Choir",
    }.items():  # fmt: skip
        page = text_of(client, f"/documents/?{query}")
        other = "Choir sings" if found == "Harbour" else "Harbour closes"
        assert found in page, query
        assert other not in page, query
    assert "No document fits" in text_of(client, "/documents/?q=nothing-like-it")


@pytest.mark.parametrize(
    "query",
    [
        "q=%27%5C%26%7C%21%3A%2A",
        "split=dev&domain=%01&batch=abc&reference=x",
        "batch=99999999999999999999",
        "page=2",
    ],
)
def test_nonsense_in_the_address_finds_what_it_can(cast: make.Cast, query: str) -> None:
    make.document()
    assert signed_in(cast.reviewer).get(f"/documents/?{query}").status_code == 200


def test_nonsense_as_page_is_told(cast: make.Cast) -> None:
    assert signed_in(cast.reviewer).get("/documents/?page=x").status_code == 422


def test_html_of_an_article_is_shown_as_text_everywhere(cast: make.Cast) -> None:
    document = make.document(
        f"{HTML} {make.ARTICLE}", title=HTML, reference=HTML, external_id=HTML, licence=HTML
    )
    one = example(document, target=f"{HTML} is the correction of it.", reason=HTML)
    propose_from_review(
        review=reviewed(cast, document, edited_text=f"{HTML} is better than it.", comment=HTML)
    )
    client = signed_in(cast.ml_engineer)
    for path in ("/documents/", f"/documents/{document.pk}/", "/feedback/", f"/feedback/{one.pk}/article/"):
        page = text_of(client, path)
        assert "<script>alert" not in page, path
        assert "<b>bold</b>" not in page, path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path


@pytest.mark.parametrize(
    ("split", "words"),
    [("test", "never trains"), ("train", "may become training data"), ("validation", "checkpoint")],
)
def test_a_document_says_what_its_split_means(cast: make.Cast, split: str, words: str) -> None:
    page = text_of(signed_in(cast.reviewer), f"/documents/{make.document(split=split).pk}/")
    assert words in page
    assert "It never changes; the database holds that." in page


def test_a_reviewer_learns_neither_the_model_nor_what_others_answered(cast: make.Cast) -> None:
    review = reviewed(cast)
    path = f"/documents/{review.summary.document_id}/"
    for_engineer = text_of(signed_in(cast.ml_engineer), path)
    assert "lead-3" in for_engineer
    assert "Wrong number." in for_engineer
    for_other = text_of(signed_in(cast.another_reviewer), path)
    assert "lead-3" not in for_other
    assert "Wrong number." not in for_other
    assert "stays hidden from reviewers" in for_other
    assert "Wrong number." in text_of(signed_in(cast.reviewer), path)  # her own


def test_drafts_are_asked_for_of_ticked_or_of_all_found(cast: make.Cast, live: Release) -> None:
    ticked = [make.document(domain="news").pk for _ in range(2)]
    make.document(domain="sport")
    client = signed_in(cast.ml_engineer)
    answer = client.post("/documents/draft/", {"draft": "chosen:new-drafts", "document": ticked})
    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}/"
    assert (job.payload["documents"], job.payload["release"], job.payload["queue"]) == (
        ticked,
        live.pk,
        "new-drafts",
    )
    client.post("/documents/draft/?domain=sport", {"draft": "found:"})
    assert len(Job.objects.latest("pk").payload["documents"]) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"draft": "chosen:new-drafts"}, "Select at least one document"),
        ({"draft": "found:nowhere"}, "no review queue"),
        ({"draft": "chosen:", "document": "x"}, "Select at least one document"),
    ],
)
def test_drafts_that_cannot_be_asked_for_are_told(
    cast: make.Cast, live: Release, values: dict[str, str], words: str
) -> None:
    make.document()
    answer = signed_in(cast.ml_engineer).post(
        "/documents/draft/", {**values, "back": "/documents/"}, follow=True
    )
    assert words in markup(answer)
    assert not Job.objects.exists()


def test_a_form_sends_nobody_elsewhere(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    for to in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        assert client.post("/documents/draft/", {"back": to})["Location"] == "/documents/"


def test_references_are_proposed_and_what_is_left_out_is_told(cast: make.Cast) -> None:
    for split, reference in (("train", "Good."), ("test", "Good."), ("train", "")):
        make.document(split=split, reference=reference)
    client = signed_in(cast.ml_engineer)
    page = markup(client.post("/documents/propose-references/", {"scope": "found"}, follow=True))
    assert "1 reference summary is proposed as examples." in page
    assert "1 of the test split, which never trains, 1 without a reference summary" in page
    page = markup(client.post("/documents/propose-references/", {"scope": "found"}, follow=True))
    assert "Nothing was proposed." in page
    assert FeedbackExample.objects.count() == 1


# ---------------------------------------------------------------- importing


def upload(client: Client, content: bytes, name: str = "rows.jsonl", **values: str) -> Any:
    return client.post(
        "/documents/imports/",
        {"from": "file", "format": "", "file": SimpleUploadedFile(name, content), **values},
    )


def imports_asked_for() -> QuerySet[Job]:
    return Job.objects.exclude(payload__has_key="look")


def test_a_file_is_looked_at_mapped_imported_and_reported(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(cast.ml_engineer)
    answer = upload(client, lines(3) + b'{"article": "short"}\n')
    submitted = ImportBatch.objects.get()
    assert answer["Location"] == f"/documents/imports/{submitted.pk}/"
    assert "Looking at the first rows" in text_of(client, answer["Location"])
    assert "HX-Refresh" not in client.get(answer["Location"], headers=HTMX)
    assert client.post(f"{answer['Location']}preview/", {}).status_code == 409
    assert client.post(f"{answer['Location']}start/", {"map_text": "article"}).status_code == 302
    make.looked_at(submitted)
    assert client.get(answer["Location"], headers=HTMX)["HX-Refresh"] == "true"
    page = text_of(client, answer["Location"])
    assert "1 of 4 would be refused" in page
    assert not SourceDocument.objects.exists()
    preview = markup(client.post(f"{answer['Location']}preview/", {"map_text": "highlights"}, headers=HTMX))
    assert "4 of 4 would be refused" in preview
    assert "<html" not in preview
    client.post(
        f"{answer['Location']}start/",
        {
            "map_text": "article",
            "map_reference": "highlights",
            "domain": "Sport",
            "licence": "CC0",
            "limit": "4",
        },
    )
    assert "waiting for the queue" in text_of(client, answer["Location"])
    assert "HX-Refresh" not in client.get(answer["Location"], headers=HTMX)
    with django_capture_on_commit_callbacks(execute=True):
        make.carried_out(imports_asked_for().get())
    assert client.get(answer["Location"], headers=HTMX)["HX-Refresh"] == "true"
    page = text_of(client, answer["Location"])
    assert "3 of 4 rows came in as new documents" in page
    assert "1 word; an article has at least 20" in page
    assert SourceDocument.objects.filter(domain="sport", licence="CC0", reference="It rained.").count() == 3
    report = b"".join(client.get(f"{answer['Location']}report.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert report.splitlines()[1].startswith("refused,4,text,1 word")
    assert client.get(f"{answer['Location']}report.json").json()["report"]["imported"] == 3


def test_without_script_the_rows_are_shown_again(cast: make.Cast) -> None:
    path = f"/documents/imports/{batch(cast).pk}/"
    answer = signed_in(cast.ml_engineer).post(f"{path}start/", {"map_text": "highlights", "preview": "1"})
    assert answer.status_code == 200
    assert "3 of 3 would be refused" in markup(answer)
    assert not imports_asked_for()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "a.jsonl", "empty"),
        (b"%PDF-1.7", "a.jsonl", "a.jsonl is a PDF document"),
        (b"<!doctype html>", "page.csv", "page.csv is a web page"),
    ],
)
def test_a_file_that_is_something_else_is_told_at_the_field(
    cast: make.Cast, content: bytes, name: str, words: str
) -> None:
    answer = upload(signed_in(cast.ml_engineer), content, name)
    assert answer.status_code == 422
    assert words in markup(answer)
    assert not ImportBatch.objects.exists()


def test_a_file_that_cannot_be_read_is_told_on_its_page_and_goes(
    cast: make.Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(cast.ml_engineer)
    path = upload(client, b'{"article": "caf\xe9"}')["Location"]
    with django_capture_on_commit_callbacks(execute=True):
        refused = make.looked_at(ImportBatch.objects.get())
    page = text_of(client, path)
    assert "It could not be read" in page
    assert "line 1, byte 17 of the file is 0xE9" in page
    assert "Submit it again once that is fixed" in page
    assert refused.upload == ""
    assert list((Path(settings.GALLEY_HOME) / "uploads").glob("*")) == []
    assert client.post(f"{path}start/", {"map_text": "article"}).status_code == 302
    assert not imports_asked_for()
    assert client.post(f"{path}discard/").status_code == 302
    assert not ImportBatch.objects.exists()


def test_a_file_without_a_column_for_the_text_can_be_mapped(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    path = upload(client, lines(2).replace(b"article", b"inhalt"))["Location"]
    make.looked_at(ImportBatch.objects.get())
    page = text_of(client, path)
    assert "No column is known to hold the article&#x27;s text. The columns are" in page
    client.post(f"{path}start/", {"map_text": "inhalt"})
    assert imports_asked_for().count() == 1


def test_a_mapping_that_is_wrong_is_told_at_the_field(cast: make.Cast) -> None:
    path = f"/documents/imports/{batch(cast).pk}/start/"
    client = signed_in(cast.ml_engineer)
    for values in (
        {"map_text": "nowhere"},
        {"map_text": ""},
        {"map_text": "article", "map_reference": "article"},
    ):
        assert client.post(path, values).status_code == 422, values
    assert not imports_asked_for()


def test_a_file_above_the_limit_is_read_away_and_told(cast: make.Cast, settings: Any) -> None:
    settings.GALLEY_MAX_UPLOAD_MB = 1
    answer = upload(signed_in(cast.ml_engineer), b"x" * (3 << 20))
    assert answer.status_code == 422
    assert "rows.jsonl has more than 1 MB, the most that is taken (GALLEY_MAX_UPLOAD_MB)" in markup(answer)
    assert list((Path(settings.GALLEY_HOME) / "uploads").glob("*")) == []


def test_a_name_of_a_data_set_is_handed_to_the_queue(cast: make.Cast, settings: Any) -> None:
    settings.GALLEY_OFFLINE = True
    client = signed_in(cast.ml_engineer)
    answer = client.post("/documents/imports/", {"from": "hub", "hub": "abisee/cnn_dailymail"})
    path = answer["Location"]
    assert "Looking at the first rows" in text_of(client, path)
    make.carried_out(Job.objects.get())
    page = text_of(client, path)
    assert "It could not be read" in page
    assert "never asks the hub" in page
    assert client.post("/documents/imports/", {"from": "hub", "hub": "../etc"}).status_code == 422


def test_a_batch_can_be_discarded_and_an_import_cancelled(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    first, second = batch(cast), batch(cast, lines(5))
    client.post(f"/documents/imports/{first.pk}/discard/")
    assert not ImportBatch.objects.filter(pk=first.pk).exists()
    client.post(f"/documents/imports/{second.pk}/start/", {"map_text": "article"})
    client.post(f"/documents/imports/{second.pk}/cancel/")
    page = text_of(client, f"/documents/imports/{second.pk}/")
    assert "The import was cancelled" in page
    assert "Nothing of it was kept" in page
    client.post(f"/documents/imports/{second.pk}/start/", {"map_text": "article"})
    assert Job.objects.filter(state="queued").count() == 1


# ---------------------------------------------------------------- feedback


def test_what_waits_is_shown_first_with_where_it_is_from(cast: make.Cast) -> None:
    review = reviewed(cast)
    propose_from_review(review=review)
    example(state="declined", reason="Too wordy")
    page = text_of(signed_in(cast.ml_engineer), "/feedback/")
    assert "<del>410</del>" in page.replace(" </", "</") or "<del>410 </del>" in page
    assert "by rita: 2 stars, poor" in page
    assert f"/desk/item/{review.item_id}/" in page
    assert "Wrong number." in page
    assert "Too wordy" not in page
    assert "Too wordy" in text_of(signed_in(cast.ml_engineer), "/feedback/?state=declined")


def test_no_more_examples_are_counted_than_are_listed(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        example()
    client = signed_in(cast.ml_engineer)
    exact = text_of(client, "/feedback/")
    assert 'Waiting <span class="count num">3</span>' in exact
    assert "1–3 of 3 examples" in exact
    monkeypatch.setattr(search, "COUNTED", 2)
    for path, tab in (("/feedback/", "Waiting"), ("/feedback/?state=all", "All")):
        page = text_of(client, path)
        assert f'{tab} <span class="count num">2+</span>' in page
        assert "1–2 of 2+ examples" in page
        assert page.count('<article class="card example') == 2


def test_one_is_approved_by_a_fragment_with_new_counts(cast: make.Cast) -> None:
    one = example()
    client = signed_in(cast.ml_engineer)
    answer = client.post(
        f"/feedback/{one.pk}/approve/",
        headers={**HTMX, "HX-Current-URL": "http://testserver/feedback/?origin=reference"},
    )
    page = markup(answer)
    assert page.lstrip().startswith(f'<article class="card example ok" id="example-{one.pk}"')
    assert 'id="example-tabs"' in page
    assert "hx-swap-oob" in page
    one.refresh_from_db()
    assert (one.state, one.decided_by) == ("approved", cast.ml_engineer)


def test_one_is_declined_with_a_reason_and_not_without(cast: make.Cast) -> None:
    one = example()
    client = signed_in(cast.ml_engineer)
    assert client.post(f"/feedback/{one.pk}/decline/", {"reason": " "}).status_code == 422
    client.post(f"/feedback/{one.pk}/decline/", {"reason": "Too long", "back": "/feedback/"})
    one.refresh_from_db()
    assert (one.state, one.reason) == ("declined", "Too long")


def test_a_test_documents_example_has_no_button_and_says_why(cast: make.Cast) -> None:
    one = example(make.document(split="test"), state="declined", reason=TEST_SPLIT)
    client = signed_in(cast.ml_engineer)
    for path in ("/feedback/?state=declined", f"/feedback/{one.pk}/"):
        page = text_of(client, path)
        assert "it judges models, so nothing is learnt from it" in page
        assert "Nobody can approve it." in page
        assert f"/feedback/{one.pk}/approve/" not in page
    answer = client.post(f"/feedback/{one.pk}/approve/", headers=HTMX)
    assert answer.status_code == 409
    assert "it judges models" in markup(answer)


def test_many_are_decided_at_once_and_those_that_could_not_be_are_told(cast: make.Cast) -> None:
    document = make.document()
    chosen = [example(), example(document), example(document, target=f"{BETTER} Again.")]
    client = signed_in(cast.ml_engineer)
    ids = [one.pk for one in chosen]
    page = markup(client.post("/feedback/decide/", {"decision": "approve", "example": ids}, follow=True))
    assert "2 examples are approved." in page
    assert f"Example {ids[2]}: This document has an approved demonstration already." in page
    page = markup(client.post("/feedback/decide/", {"decision": "decline", "example": ids[2]}, follow=True))
    assert "Give a reason." in page
    client.post("/feedback/decide/", {"decision": "decline", "example": ids[2], "reason": "Second best"})
    assert FeedbackExample.objects.get(pk=ids[2]).reason == "Second best"
    page = markup(client.post("/feedback/decide/", {"decision": "approve"}, follow=True))
    assert "Select at least one example." in page


# ---------------------------------------------------------------- freezing


def test_freezing_shows_what_would_be_in_and_what_is_missing(cast: make.Cast, settings: Any) -> None:
    settings.GALLEY_MIN_TRAINING_EXAMPLES = 3
    for domain in ("news", "sport"):
        example(make.document(domain=domain), state="approved")
    example(make.document(split="test"), state="approved")  # past the rules
    client = signed_in(cast.ml_engineer)
    page = text_of(client, "/feedback/freeze/")
    assert "Too small to train on." in page
    assert "1 more training row of the 3 that a run needs, and one row of validation" in page
    assert "Test documents are never in" in page
    fragment = markup(client.get("/feedback/freeze/?domains=news", headers=HTMX))
    assert "2 more training rows of the 3" in fragment
    assert "<html" not in fragment


def test_a_snapshot_is_frozen_once_and_leads_to_training(cast: make.Cast) -> None:
    example(state="approved")
    example(make.document(split="validation"), state="approved")
    client = signed_in(cast.ml_engineer)
    answer = client.post("/feedback/freeze/", {"name": "First", "note": "All of it."})
    snapshot = DatasetSnapshot.objects.get()
    assert answer["Location"] == f"/snapshots/{snapshot.pk}/"
    page = text_of(client, answer["Location"])
    assert snapshot.digest in page
    assert f"/training/new/?snapshot={snapshot.pk}" in page
    assert "Too small for a training run: it has 1 of at least 20 training rows" in page
    again = markup(client.post("/feedback/freeze/", {"name": "Second"}, follow=True))
    assert "frozen already, as First" in again
    assert DatasetSnapshot.objects.count() == 1
    nothing = client.post("/feedback/freeze/", {"name": "x", "origins": ["client"]})
    assert nothing.status_code == 422
    assert "Nothing was selected" in markup(nothing)


def test_a_snapshots_files_can_be_fetched_and_nothing_else(cast: make.Cast) -> None:
    one = example(state="approved")
    snapshot = freeze_snapshot(name="S", actor=None)
    client = signed_in(cast.approver)
    answer = client.get(f"/snapshots/{snapshot.pk}/files/train.jsonl")
    rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]  # type: ignore[attr-defined]
    assert [row["target"] for row in rows] == [one.target]
    for name in ("manifest.json", "..%2Fsecret_key", "other.jsonl"):
        assert client.get(f"/snapshots/{snapshot.pk}/files/{name}").status_code == 404


def test_rows_of_a_snapshot_are_filtered_by_split_and_domain(cast: make.Cast) -> None:
    example(make.document(title="Harbour closes", domain="news"), state="approved")
    example(make.document(title="Choir sings", domain="culture", split="validation"), state="approved")
    snapshot = freeze_snapshot(name="S", actor=None)
    client = signed_in(cast.approver)
    headers = {**HTMX, "HX-Target": "snapshot-rows"}
    for query, found, other in (
        ("split=train", "Harbour", "Choir"),
        ("domain=culture", "Choir", "Harbour"),
        ("split=validation&domain=culture", "Choir", "Harbour"),
    ):
        fragment = markup(client.get(f"/snapshots/{snapshot.pk}/?{query}", headers=headers))
        assert fragment.lstrip().startswith("<section")
        assert found in fragment
        assert other not in fragment


def test_the_test_set_is_frozen_from_the_page_once(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    assert "There is nothing to measure summaries against" in text_of(client, "/feedback/test-set/")
    for _ in range(3):
        make.document(split="test")
    make.document(split="test", reference="")
    page = text_of(client, "/feedback/test-set/")
    assert 'Of <b class="num">4</b> test documents <b class="num">3</b> came with a reference' in page
    answer = client.post("/feedback/test-set/", {"limit": "2"})
    frozen = EvaluationSet.objects.get()
    assert answer["Location"] == f"/snapshots/test-sets/{frozen.pk}/"
    assert frozen.rows == 2
    again = markup(client.post("/feedback/test-set/", {"limit": "2"}, follow=True))
    assert "Exactly these documents are frozen already" in again
    assert client.post("/feedback/test-set/", {"limit": "0"}).status_code == 422


# ---------------------------------------------------------------- what it costs


def cost(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(path).status_code == 200
    return len(queries)


def test_the_number_of_queries_does_not_grow_with_the_rows(cast: make.Cast, live: Release) -> None:
    def more(count: int) -> None:
        for _ in range(count):
            document = make.document(split="train")
            make.document(split="test")
            propose_from_review(review=reviewed(cast, document))
            example(make.document(split="train"), state="approved")
            example(make.document(split="validation"), state="approved")
            batch(cast, lines(1, f"w{SourceDocument.objects.count()}-"))

    more(1)
    snapshot, tests = freeze_snapshot(name="S", actor=None), freeze_test_set(actor=None)
    paths = [
        "/documents/",
        "/documents/?q=pier&split=train",
        "/documents/imports/",
        "/feedback/",
        "/feedback/?state=all",
        "/feedback/freeze/",
        "/snapshots/",
        "/snapshots/?list=test-sets",
        f"/snapshots/{snapshot.pk}/",
        f"/snapshots/test-sets/{tests.pk}/",
    ]
    client = signed_in(cast.ml_engineer)
    before = {path: cost(client, path) for path in paths}
    more(6)
    freeze_snapshot(name="T", actor=None)
    freeze_test_set(actor=None)
    assert {path: cost(client, path) for path in paths} == before
    assert max(before.values()) <= 20, before
