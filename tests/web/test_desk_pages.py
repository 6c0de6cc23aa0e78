"""The desk's pages and what its buttons and script ask for: by role, blind, without script, with a fixed number of
queries."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.ml.prompting import PromptSpec
from models_app.models import ModelVersion, PromptVersion, Release, Route, SnapshotExample, TrainingRun
from models_app.serving import client as serving
from models_app.serving.client import ServedSummary
from reviews import queries, queueing
from reviews.assigning import assign
from reviews.grounding import as_data, ground
from reviews.models import (
    FeedbackExample,
    Grounding,
    PromptSuggestion,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewReturn,
    ReviewSlot,
    Skip,
)
from reviews.returning import return_review
from reviews.reviewing import Answers, save_draft, submit_review
from reviews.web.desk.answers import answers_json
from reviews.web.desk.prompt_trial import TRIAL_SALT
from tests import make
from tests.reviews.test_queueing import claimed, expire

JSON = {"Accept": "application/json"}
TEXT = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."
WHOLE = {
    "stars": "2",
    "verdict": "poor",
    "rating-consistency": "2",
    "rating-relevance": "4",
    "rating-coherence": "5",
    "rating-fluency": "5",
    "edited_text": TEXT,
    "comment": "A digit was swapped.",
    "wants_retrain": "1",
    "active_seconds": "42",
}
ANSWERS = Answers(
    stars=2,
    verdict="poor",
    ratings={"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5},
    edited_text=TEXT,
    comment="A digit was swapped.",
    wants_retrain=True,
)


@pytest.fixture
def rita(cast: make.Cast, client: Client) -> Client:
    client.force_login(cast.reviewer, "allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def live(cast: make.Cast) -> PromptVersion:
    """A release is live; its model's process is not running in these tests."""
    prompt = PromptVersion.objects.get(prompt__name="news summary", number=1)
    Route.objects.update(release=make.release(state="live", prompt_version=prompt))
    return prompt


def seat(page: Any) -> dict[str, str]:
    html = page.content.decode()
    return {
        name: re.findall(rf'name="{name}" value="([^"]*)"', html)[0]
        for name in ("slot", "token", "base_revision", "rubric")
    }


# ---------------------------------------------------------------- who sees what


@pytest.mark.parametrize("path", ["/desk/", "/desk/new-drafts/", "/my-feedback/"])
def test_the_desk_is_for_reviewers(client: Client, cast: make.Cast, path: str) -> None:
    assert client.get(path).status_code == 302
    for person, status in (
        (cast.reviewer, 200), (cast.ml_engineer, 200), (cast.administrator, 200), (cast.approver, 403),
        (cast.operator, 403), (cast.stranger, 403),
    ):  # fmt: skip
        client.force_login(person, "allauth.account.auth_backends.AuthenticationBackend")
        assert client.get(path).status_code == status, person


def test_what_the_buttons_ask_for_is_refused_to_others(
    client: Client, cast: make.Cast, item: QueueItem
) -> None:
    client.force_login(cast.approver, "allauth.account.auth_backends.AuthenticationBackend")
    for act in ("draft", "keep", "labels", "submit", "correct", "pass", "undo", "try", "suggest", "put-back"):
        answer = client.post(f"/desk/item/{item.pk}/{act}/", WHOLE, headers=JSON)
        assert answer.status_code == 403, act
        assert answer.json()["error"]["code"] == "forbidden"
        looked = client.get(f"/desk/item/{item.pk}/{act}/").status_code
        assert looked == (403 if act == "try" else 405), act


def test_a_blind_page_carries_neither_model_nor_peers_nor_the_client_s_words(
    rita: Client, cast: make.Cast, live: PromptVersion
) -> None:
    queue = make.queue(reviews_per_item=2)
    release = make.release(make.lead_model())
    model = ModelVersion.objects.create(
        name="secret-model",
        family="t5",
        architecture="T5",
        base="starter",
        digest="d" * 64,
        engine="ctranslate2",
    )
    summary = make.summary(release=release, model_version=model, prompt_version=release.prompt_version)
    item = make.queue_item(summary, queue, note="The client was angry.")
    queueing.hold(item=item, reviewer=cast.another_reviewer)
    save_draft(item=item, answers=ANSWERS, reviewer=cast.another_reviewer, base_revision=0)
    page = rita.get("/desk/new-drafts/").content.decode()
    for secret in ("secret-model", "lead-3", "A digit was swapped", "angry", cast.another_reviewer.username):
        assert secret not in page
    queue = make.queue(blind_to_model=False)
    assert "secret-model" in rita.get("/desk/new-drafts/").content.decode()


def test_after_handing_in_the_client_s_words_are_shown(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    item = make.queue_item(in_queue=queue, note="The client was angry.")
    claimed(queue, cast.reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.reviewer)
    assert "The client was angry." in rita.get(f"/desk/item/{item.pk}/").content.decode()


# ---------------------------------------------------------------- claiming by pages


def test_the_queue_s_page_gives_the_item_i_hold_until_it_is_handed_in(
    rita: Client, queue: ReviewQueue
) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    for _ in range(2):
        assert f'data-item="{first.pk}"' in rita.get("/desk/new-drafts/").content.decode()
    rita.post(f"/desk/item/{first.pk}/submit/", WHOLE)
    assert f'data-item="{second.pk}"' in rita.get("/desk/new-drafts/").content.decode()


def test_the_item_fetched_ahead_is_another_one_and_held_briefly(rita: Client, queue: ReviewQueue) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    page = rita.get(f"/desk/new-drafts/?ahead={first.pk}")
    assert f'data-item="{second.pk}"' in page.content.decode()
    ahead = ReviewSlot.objects.get(item=second)
    assert ahead.lease_until is not None
    assert ahead.lease_until < timezone.now() + timedelta(minutes=4)
    values = {**seat(page), "ahead": "1"}
    assert rita.post(f"/desk/item/{second.pk}/keep/", values).json() == {"held": True}
    ahead.refresh_from_db()
    assert ahead.lease_until < timezone.now() + timedelta(minutes=4)
    assert rita.get("/desk/new-drafts/?ahead=x").status_code == 200


def test_an_empty_queue_says_so_and_where_else_work_waits(rita: Client, queue: ReviewQueue) -> None:
    make.queue_item(in_queue=make.queue(slug="weak-outputs"))
    page = rita.get("/desk/new-drafts/").content.decode()
    assert "Nothing waits here" in page
    assert "/desk/weak-outputs/" in page
    queue.active = False
    queue.save()
    assert "This queue is closed" in rita.get("/desk/new-drafts/").content.decode()
    assert rita.get("/desk/no-such-queue/").status_code == 404


def test_an_item_in_other_hands_is_not_shown(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    claimed(queue, cast.another_reviewer)
    page = rita.get(f"/desk/item/{item.pk}/")
    assert page.status_code == 409
    assert "Somebody else works on this item" in page.content.decode()
    assert item.summary.text not in page.content.decode()
    assert cast.another_reviewer.username not in page.content.decode()
    assert rita.get("/desk/item/999999/").status_code == 404


# ---------------------------------------------------------------- autosave


def test_an_autosave_answers_with_the_revision_and_keeps_the_seat(rita: Client, item: QueueItem) -> None:
    values = {**seat(rita.get("/desk/new-drafts/")), "edited_text": "The old pi"}
    ReviewSlot.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    answer = rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON)
    assert answer.json() == {"revision": 1, "held": True}
    lease_until = ReviewSlot.objects.get().lease_until
    assert lease_until is not None
    assert lease_until > timezone.now() + timedelta(minutes=20)
    assert Review.objects.get().edited_text == "The old pi"


def test_an_autosave_without_the_seat_is_kept_and_said(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    values = {**seat(rita.get("/desk/new-drafts/")), "edited_text": "The old pi"}
    ReviewSlot.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    claimed(queue, cast.another_reviewer)
    answer = rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON)
    assert answer.json() == {"revision": 1, "held": False}
    page = rita.get(f"/desk/item/{item.pk}/").content.decode()
    assert "The old pi</textarea>" in page
    assert "others took it over" in page


def test_a_stale_tab_gets_409_with_what_is_saved(rita: Client, cast: make.Cast, item: QueueItem) -> None:
    values = seat(rita.get("/desk/new-drafts/"))
    save_draft(item=item, answers=Answers(edited_text="newer"), reviewer=cast.reviewer, base_revision=0)
    answer = rita.post(f"/desk/item/{item.pk}/draft/", {**values, "edited_text": "older"}, headers=JSON)
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert (error["code"], error["current"]["edited_text"], error["current"]["revision"]) == (
        "stale_draft", "newer", 1,
    )  # fmt: skip
    kept = rita.post(
        f"/desk/item/{item.pk}/draft/", {**values, "edited_text": "older", "overwrite": "1"}, headers=JSON
    )
    assert kept.json()["revision"] == 2


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("rating-consistency", "99", "consistency"),
        ("rating-consistency", "4.5", "consistency"),
        ("stars", "many", "stars"),
        ("stars", "9" * 30, "stars"),
        ("rating-beauty", "3", "beauty"),
        ("verdict", "superb", "verdict"),
        ("edited_text", "", "edited_text"),
    ],
)
def test_nonsense_is_refused_at_its_field(
    rita: Client, item: QueueItem, field: str, value: str, named: str
) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/")), field: value}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    assert answer.status_code == 422
    assert named in answer.json()["error"]["fields"]
    assert not Review.objects.filter(state="submitted").exists()


def test_what_was_never_mine_cannot_be_saved(rita: Client, item: QueueItem) -> None:
    answer = rita.post(f"/desk/item/{item.pk}/draft/", WHOLE, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_yours")


# ---------------------------------------------------------------- handing in


def test_a_submit_by_script_says_where_to_go_next(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/"))}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    undo = {"url": f"/desk/item/{item.pk}/undo/", "seconds": 10}
    assert answer.json() == {"next": "/desk/new-drafts/", "message": "Handed in.", "undo": undo}
    review = Review.objects.get()
    assert (review.state, review.stars, review.active_seconds, review.wants_retrain) == (
        "submitted",
        2,
        42,
        True,
    )


def test_a_submit_by_plain_form_goes_to_the_next_item(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/"))}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, follow=True)
    assert answer.redirect_chain == [(f"/desk/new-drafts/?undo={item.pk}", 302)]
    assert "Handed in." in answer.content.decode()


def test_a_refused_plain_form_comes_back_with_what_was_typed(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/")), "comment": "Typed & kept <b>."}
    del values["rating-fluency"]
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Rate fluency." in page
    assert "Typed &amp; kept &lt;b&gt;." in page
    assert re.search(r'name="rating-consistency" value="2" checked', page)


def test_a_stale_plain_form_offers_both(rita: Client, cast: make.Cast, item: QueueItem) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/"))}
    save_draft(item=item, answers=Answers(edited_text="newer"), reviewer=cast.reviewer, base_revision=0)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert f"{TEXT}</textarea>" in page
    assert "Take the newer draft" in page
    again = rita.post(f"/desk/item/{item.pk}/submit/", {**values, **seat(answer)})
    assert again.status_code == 302
    assert Review.objects.get().edited_text == TEXT


def test_a_second_submit_with_other_answers_can_become_a_correction(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/"))}
    rita.post(f"/desk/item/{item.pk}/submit/", values)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", {**values, "stars": "3"}, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "submitted")
    page = rita.post(f"/desk/item/{item.pk}/submit/", {**values, "stars": "3"})
    assert f'action="/desk/item/{item.pk}/correct/"' in page.content.decode()
    corrected = rita.post(f"/desk/item/{item.pk}/correct/", {**values, **seat(page), "stars": "3"})
    assert corrected.status_code == 302
    review = Review.objects.get()
    assert (review.stars, review.revisions.count()) == (3, 2)


def test_late_work_is_said_to_be_extra(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    values = {**WHOLE, **seat(rita.get("/desk/new-drafts/"))}
    ReviewSlot.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.another_reviewer)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    assert "extra review" in answer.json()["message"]


# ---------------------------------------------------------------- passing by


def test_passing_by_keeps_what_was_typed(rita: Client, item: QueueItem) -> None:
    values = {**seat(rita.get("/desk/new-drafts/")), "edited_text": "Half", "meaning": "later"}
    answer = rita.post(f"/desk/item/{item.pk}/pass/", values, follow=True)
    assert "Put off" in answer.content.decode()
    assert "Put off" in rita.get(answer.redirect_chain[0][0]).content.decode(), "the way back says of what"
    assert Review.objects.get().edited_text == "Half"
    assert Skip.objects.get().meaning == "later"
    assert "Begun and not handed in" in rita.get("/desk/").content.decode()


def test_what_was_left_to_others_is_not_offered_again_until_somebody_goes_on_with_it(
    rita: Client, item: QueueItem
) -> None:
    values = {**seat(rita.get("/desk/new-drafts/")), "edited_text": "Half", "meaning": "not for me"}
    rita.post(f"/desk/item/{item.pk}/pass/", values)
    assert "Begun and not handed in" not in rita.get("/desk/").content.decode()
    page = rita.get(f"/desk/item/{item.pk}/")
    assert "Half" in page.content.decode(), "nothing typed is thrown away"
    draft = {**seat(page), "edited_text": "Half of it", "base_revision": 1}
    assert rita.post(f"/desk/item/{item.pk}/draft/", draft, headers=JSON).status_code == 200
    assert "Begun and not handed in" in rita.get("/desk/").content.decode()


def test_passing_by_untouched_leaves_no_draft(rita: Client, item: QueueItem) -> None:
    values = {
        **seat(rita.get("/desk/new-drafts/")),
        "edited_text": item.summary.text,
        "meaning": "not for me",
    }
    rita.post(f"/desk/item/{item.pk}/pass/", values)
    assert not Review.objects.exists()


def test_a_flag_needs_a_reason_and_an_engineer_puts_the_item_back(
    rita: Client, client: Client, cast: make.Cast, item: QueueItem
) -> None:
    values = {**seat(rita.get("/desk/new-drafts/")), "meaning": "bad item"}
    answer = rita.post(f"/desk/item/{item.pk}/pass/", values, headers=JSON)
    assert answer.status_code == 422
    rita.post(f"/desk/item/{item.pk}/pass/", {**values, "reason": "Only a <table>."})
    assert "Flagged by reviewers" not in rita.get("/desk/").content.decode()
    client.force_login(cast.ml_engineer, "allauth.account.auth_backends.AuthenticationBackend")
    assert "Only a &lt;table&gt;." in client.get("/desk/").content.decode()
    client.post(f"/desk/item/{item.pk}/put-back/")
    item.refresh_from_db()
    assert item.state == "open"


def test_a_seat_of_another_item_passes_nothing_by(rita: Client, queue: ReviewQueue) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    values = {**seat(rita.get("/desk/new-drafts/")), "meaning": "later"}
    answer = rita.post(f"/desk/item/{second.pk}/pass/", values, headers=JSON)
    assert answer.status_code == 409
    assert ReviewSlot.objects.get(item=first).state == "held"


# ---------------------------------------------------------------- another prompt


def served(text: str = "Nordhaven closes its pier.") -> ServedSummary:
    return ServedSummary(
        text=text, release_id=1, model_version_id=1, prompt_version_id=None, latency_ms=1234.0, queue_ms=0.0,
        input_tokens=90, output_tokens=9, truncated=False, finish="stop", kept_text_tokens=80, total_text_tokens=80,
    )  # fmt: skip


def test_trying_a_prompt_asks_the_live_model_with_it(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def generate(**request: Any) -> ServedSummary:
        asked.append(request)
        return served()

    monkeypatch.setattr(serving, "generate", generate)
    rita.get("/desk/new-drafts/")
    values = {"based_on": live.pk, "template": "In brief:\r\n{text}", "system": ""}
    answer = rita.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert page.lstrip().startswith('<div class="trial" id="trial">')
    assert "<ins>" in page
    assert "Keep as a suggestion" in page
    document = item.summary.document
    assert asked == [
        {
            "text": document.text,
            "title": document.title,
            "domain": document.domain,
            "prompt": PromptSpec("chat", "", "In brief:\n{text}"),
        }
    ]
    trial = re.findall(r'name="trial" value="([^"]+)"', page)[0]
    kept = rita.post(f"/desk/item/{item.pk}/suggest/", {**values, "trial": trial, "note": "Shorter."})
    assert "Kept as your suggestion" in kept.content.decode()
    suggestion = PromptSuggestion.objects.get()
    assert (suggestion.template, suggestion.output, suggestion.note) == (
        "In brief:\n{text}", "Nordhaven closes its pier.", "Shorter.",
    )  # fmt: skip


def test_what_the_model_wrote_cannot_be_made_up(rita: Client, item: QueueItem, live: PromptVersion) -> None:
    rita.get("/desk/new-drafts/")
    forged = signing.dumps([item.pk, "In brief: {text}", "", "Made up."], salt="another")
    other_prompt = signing.dumps([item.pk, "Other: {text}", "", "Other."], salt=TRIAL_SALT, compress=True)
    for trial in (forged, other_prompt, "nonsense"):
        PromptSuggestion.objects.all().delete()
        values = {"based_on": live.pk, "template": "In brief: {text}", "trial": trial}
        rita.post(f"/desk/item/{item.pk}/suggest/", values)
        assert PromptSuggestion.objects.get().output == ""


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Unavailable("The live model is being loaded.", retry_after=2), 503, "is being loaded"),
        (Unavailable("Too many wait.", code="overloaded", retry_after=3), 503, "Too many wait."),
        (InvalidInput("The prompt alone fills the input."), 422, "fills the input"),
    ],
)
def test_a_model_that_cannot_answer_says_why_and_the_prompt_stays(
    rita: Client,
    item: QueueItem,
    live: PromptVersion,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    says: str,
) -> None:
    def refuse(**_: Any) -> ServedSummary:
        raise error

    monkeypatch.setattr(serving, "generate", refuse)
    values = {"based_on": live.pk, "template": "In brief: {text}"}
    answer = rita.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    assert answer.status_code == status
    assert says in answer.content.decode()
    assert "In brief: {text}</textarea>" in answer.content.decode()
    assert ("Retry-After" in answer) == (status == 503)


@pytest.mark.parametrize("what", ["try", "suggest"])
def test_a_broken_template_is_refused_at_its_field_and_the_model_is_not_asked(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(serving, "generate", lambda **_: pytest.fail("asked"))
    tried = signing.dumps([item.pk, "In brief: {text}", "", "Its words."], salt=TRIAL_SALT, compress=True)
    for template, says in (("{nothing} {text}", "Unknown variable"), ("No article.", "exactly once")):
        answer = rita.post(
            f"/desk/item/{item.pk}/{what}/",
            {"based_on": live.pk, "template": template, "trial": tried, "note": "So far."},
            headers={"HX-Request": "true"},
        )
        page = answer.content.decode()
        assert answer.status_code == 422
        assert re.search(rf'id="try-errors"><li>[^<]*{says}', page)
        assert "wrote nothing" not in page
        assert (">So far.</textarea>" in page) == (what == "suggest"), "kept, to go on from"
    assert not PromptSuggestion.objects.exists()


def test_without_script_trying_is_a_page(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "generate", lambda **_: served())
    answer = rita.post(f"/desk/item/{item.pk}/try/", {"based_on": live.pk, "template": "In brief: {text}"})
    assert "<title>Try another prompt" in answer.content.decode()


def test_where_nothing_is_live_no_prompt_is_offered(rita: Client, item: QueueItem) -> None:
    assert "Try another prompt" not in rita.get("/desk/new-drafts/").content.decode()


# ---------------------------------------------------------------- texts as they are


def test_markup_in_texts_is_shown_as_text(rita: Client, queue: ReviewQueue) -> None:
    text = "<script>alert(1)</script> & <b>bold</b>\n\nSecond paragraph."
    document = make.document(text, title="<i>Title</i>")
    make.queue_item(make.summary(document, "<img src=x onerror=alert(1)>"), queue)
    page = rita.get("/desk/new-drafts/").content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;bold&lt;/b&gt;</p>" in page
    assert re.findall(r'<p dir="auto" data-at="(\d+)">', page) == ["0", str(text.index("Second"))]


def test_how_much_of_the_article_the_model_read_is_said(rita: Client, queue: ReviewQueue) -> None:
    summary = make.summary(truncated=True, total_tokens=1000, kept_tokens=610)
    make.queue_item(summary, queue)
    assert "model read the first 61 %" in rita.get("/desk/new-drafts/").content.decode()


def test_the_navigation_counts_what_the_desk_would_give_me(rita: Client, queue: ReviewQueue) -> None:
    for _ in range(4):
        make.queue_item(in_queue=queue)
    for meaning, reason in (("not for me", ""), ("bad item", "Empty.")):
        page = rita.get("/desk/new-drafts/")
        item = re.findall(r'data-item="(\d+)"', page.content.decode())[0]
        rita.post(f"/desk/item/{item}/pass/", {**seat(page), "meaning": meaning, "reason": reason})
    desk = rita.get("/desk/").content.decode()
    assert re.search(r'aria-current="page">Review desk <span class="count hot">2</span>', desk)
    assert '<b class="tile-value">2</b>' in desk


# ---------------------------------------------------------------- queries


def test_the_desk_takes_a_fixed_number_of_queries(
    rita: Client, queue: ReviewQueue, live: PromptVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    with django_assert_num_queries(19):
        rita.get("/desk/new-drafts/")
    for _ in range(20):
        make.queue_item(in_queue=queue)
    with django_assert_num_queries(19):
        rita.get("/desk/new-drafts/")
    with django_assert_num_queries(12):
        rita.get("/desk/")


# ---------------------------------------------------------------- my feedback


def handed_in(cast: make.Cast, queue: ReviewQueue, **changes: Any) -> Review:
    item = make.queue_item(in_queue=queue)
    queueing.hold(item=item, reviewer=cast.reviewer)
    return submit_review(item=item, answers=Answers(**{**vars(ANSWERS), **changes}), reviewer=cast.reviewer)


def follow(review: Review, release_state: str = "live") -> Release:
    """From the approved example to a release of the model that learnt from it."""
    from models_app.models import DatasetSnapshot

    example = FeedbackExample.objects.get(review=review, kind="demonstration")
    FeedbackExample.objects.filter(pk=example.pk).update(state="approved")
    snapshot = DatasetSnapshot.objects.create(
        name="Spring", digest=f"{example.pk:064}", train_rows=1, validation_rows=0, directory="snapshots/1"
    )
    SnapshotExample.objects.create(
        snapshot=snapshot, position=0, split="train", document_hash=example.document.content_hash,
        origin=f"feedback:{example.pk}", source="s", target="t",
    )  # fmt: skip
    run = TrainingRun.objects.create(
        name="first", snapshot=snapshot, base="starter", prompt_version=PromptVersion.objects.earliest("pk"),
        recipe={}, recipe_digest=f"{example.pk}", state="succeeded",
    )  # fmt: skip
    model = ModelVersion.objects.create(
        name="tuned", family="t5", architecture="T5", base="starter", digest=f"m{example.pk:063}",
        engine="ctranslate2", training_run=run,
    )  # fmt: skip
    return make.release(model, state=release_state)


def test_my_feedback_follows_a_review_to_the_release_that_learnt_from_it(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = handed_in(cast, queue)
    page = rita.get("/my-feedback/").content.decode()
    assert "for an engineer’s decision" in page
    assert "<del>410</del><ins>140</ins>" in page
    release = follow(review)
    page = rita.get("/my-feedback/").content.decode()
    for step in (
        "Accepted",
        "Snapshot",
        "Spring",
        "Training",
        "succeeded",
        "tuned",
        f"Release {release.pk}",
        "live",
    ):
        assert step in page
    assert f'href="/models/{release.model_version_id}/"' not in page, "reviewers may not open models"


def test_my_feedback_says_why_something_was_declined(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = handed_in(cast, queue)
    FeedbackExample.objects.filter(review=review).update(
        state="declined", reason="The <number> is still wrong."
    )
    assert "The &lt;number&gt; is still wrong." in rita.get("/my-feedback/").content.decode()


def test_my_feedback_shows_nobody_else_s(rita: Client, cast: make.Cast, queue: ReviewQueue) -> None:
    item = make.queue_item(in_queue=queue)
    queueing.hold(item=item, reviewer=cast.another_reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.another_reviewer)
    assert "You have not handed in a review yet" in rita.get("/my-feedback/").content.decode()


def test_my_suggestions_show_their_fate(
    rita: Client, cast: make.Cast, queue: ReviewQueue, live: PromptVersion
) -> None:
    document = make.document()
    open_one = PromptSuggestion.objects.create(
        suggested_by=cast.reviewer,
        document=document,
        based_on=live,
        template="In brief: {text}",
        note="Shorter.",
    )
    PromptSuggestion.objects.create(
        suggested_by=cast.reviewer, document=document, based_on=live, template="Long: {text}", state="declined",
        reason="We want short ones.",
    )  # fmt: skip
    version = PromptVersion.objects.create(
        prompt=live.prompt, number=2, parent=live, template="In brief: {text}", digest="e" * 64
    )
    page = rita.get("/my-feedback/?list=suggestions").content.decode()
    assert "Shorter." in page
    assert "We want short ones." in page
    PromptSuggestion.objects.filter(pk=open_one.pk).update(state="adopted", adopted_as=version)
    release = make.release(prompt_version=version, state="awaiting approval")
    page = rita.get("/my-feedback/?list=suggestions").content.decode()
    assert "news summary v2" in page
    assert f"Release {release.pk}" in page


def test_my_feedback_takes_a_fixed_number_of_queries(
    rita: Client, cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    follow(handed_in(cast, queue))
    with django_assert_num_queries(19):
        rita.get("/my-feedback/")
    for _ in range(25):
        follow(handed_in(cast, queue), "superseded")
    with django_assert_num_queries(19):
        page = rita.get("/my-feedback/")
    assert page.content.decode().count('<article class="card fate"') == 20
    assert "page 1 of 2" in page.content.decode()
    with django_assert_num_queries(19):
        rita.get("/my-feedback/?page=2")


def test_an_expired_seat_s_draft_is_offered_on_the_desk(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    lease = claimed(queue, cast.reviewer)
    save_draft(item=item, answers=Answers(edited_text="typed"), reviewer=cast.reviewer, base_revision=0)
    expire(lease)
    claimed(queue, cast.another_reviewer)
    page = rita.get("/desk/").content.decode()
    assert "Begun and not handed in" in page
    assert f"/desk/item/{item.pk}/" in page


def test_the_saved_answers_are_json_that_the_script_can_put_beside_the_typed(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    claimed(queue, cast.reviewer)
    review = save_draft(item=item, answers=ANSWERS, reviewer=cast.reviewer, base_revision=0)
    assert json.loads(json.dumps(answers_json(review)))["ratings"] == dict(ANSWERS.ratings)


# ---------------------------------------------------------------- undo, earlier reviews, own keys


def test_after_handing_in_without_script_the_next_page_offers_to_take_it_back(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    first = make.queue_item(in_queue=queue)
    make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    page = rita.post(f"/desk/item/{first.pk}/submit/", WHOLE, follow=True)
    assert page.redirect_chain == [(f"/desk/new-drafts/?undo={first.pk}", 302)]
    assert f'action="/desk/item/{first.pk}/undo/"' in page.content.decode()
    page = rita.post(f"/desk/item/{first.pk}/undo/", follow=True)
    assert "Taken back: it is a draft again." in page.content.decode()
    assert f'data-item="{first.pk}"' in page.content.decode()
    assert Review.objects.get().state == "draft"
    page = rita.post(f"/desk/item/{first.pk}/undo/", follow=True)
    assert "nothing to take back" in page.content.decode()


def test_what_was_passed_by_can_be_taken_back_on_the_page_that_says_nothing_is_left(
    rita: Client, queue: ReviewQueue, item: QueueItem
) -> None:
    values = seat(rita.get("/desk/new-drafts/"))
    page = rita.post(f"/desk/item/{item.pk}/pass/", {**values, "meaning": "not for me"}, follow=True)
    assert "Nothing waits here" in page.content.decode()
    assert f'action="/desk/item/{item.pk}/undo/"' in page.content.decode()
    page = rita.post(f"/desk/item/{item.pk}/undo/", follow=True)
    assert f'data-item="{item.pk}"' in page.content.decode()
    assert not Skip.objects.exists()


def test_undo_is_offered_to_nobody_else_and_not_for_long(
    rita: Client, client: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    rita.get("/desk/new-drafts/")
    answer = rita.post(f"/desk/item/{item.pk}/submit/", WHOLE, headers=JSON).json()
    assert answer["undo"] == {"url": f"/desk/item/{item.pk}/undo/", "seconds": 10}
    Review.objects.update(submitted_at=timezone.now() - timedelta(seconds=11))
    assert "data-undo-offer" not in rita.get(f"/desk/new-drafts/?undo={item.pk}").content.decode()
    Review.objects.update(submitted_at=timezone.now() - timedelta(seconds=60))
    refused = rita.post(f"/desk/item/{item.pk}/undo/", headers=JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "stale")
    client.force_login(cast.another_reviewer, "allauth.account.auth_backends.AuthenticationBackend")
    assert "data-undo-offer" not in client.get(f"/desk/new-drafts/?undo={item.pk}").content.decode()
    assert client.post(f"/desk/item/{item.pk}/undo/", headers=JSON).status_code == 409
    client.force_login(cast.approver, "allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(f"/desk/item/{item.pk}/undo/", headers=JSON).status_code == 403
    assert Review.objects.get().state == "submitted"


def three_handed_in(cast: make.Cast, queue: ReviewQueue) -> list[QueueItem]:
    """Oldest first."""
    items = []
    for minutes in (30, 20, 10):
        review = handed_in(cast, queue)
        Review.objects.filter(pk=review.pk).update(submitted_at=timezone.now() - timedelta(minutes=minutes))
        items.append(review.item)
    return items


def test_back_through_what_i_handed_in_and_forward_to_where_i_was(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    oldest, middle, newest = three_handed_in(cast, queue)
    here = make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")

    def went(way: str, than: QueueItem) -> str:
        return str(rita.get(f"/desk/my/recent/{way}/?than={than.pk}&back={here.pk}")["Location"])

    assert went("older", here) == f"/desk/item/{newest.pk}/?back={here.pk}"
    assert went("older", newest) == f"/desk/item/{middle.pk}/?back={here.pk}"
    assert went("older", oldest) == f"/desk/item/{oldest.pk}/?back={here.pk}"
    assert went("newer", oldest) == f"/desk/item/{middle.pk}/?back={here.pk}"
    assert went("newer", newest) == f"/desk/item/{here.pk}/"
    page = rita.get(f"/desk/item/{middle.pk}/?back={here.pk}")
    assert "Back to where you were" in page.content.decode()
    values = {**WHOLE, **seat(page), "comment": "Seen again.", "back": str(here.pk)}
    corrected = rita.post(f"/desk/item/{middle.pk}/correct/", values)
    assert corrected["Location"] == f"/desk/item/{here.pk}/"
    assert Review.objects.get(item=middle).revisions.count() == 2


def test_my_last_twenty_are_mine_and_take_one_query(
    rita: Client, cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mine = three_handed_in(cast, queue)
    other = make.queue_item(in_queue=queue)
    queueing.hold(item=other, reviewer=cast.another_reviewer)
    submit_review(item=other, answers=ANSWERS, reviewer=cast.another_reviewer)
    with django_assert_num_queries(1):
        rows = queries.recent_of(cast.reviewer)
    assert [row.item_id for row in rows] == [item.pk for item in reversed(mine)]
    assert {(row.stars, row.verdict, row.edited, row.revisions) for row in rows} == {(2, "poor", True, 1)}
    for _ in range(20):
        handed_in(cast, queue)
    with django_assert_num_queries(1):
        assert len(queries.recent_of(cast.reviewer)) == 20
    page = rita.get("/desk/my/recent/").content.decode()
    assert page.count('<li><a href="/desk/item/') == 20
    assert f"/desk/item/{other.pk}/" not in page
    fragment = rita.get("/desk/my/recent/", headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith('<div class="recent" id="recent-list"')


def test_own_keys_are_chosen_on_a_page_and_shown_on_the_desk(rita: Client, item: QueueItem) -> None:
    page = rita.get("/desk/my/keys/").content.decode()
    assert 'name="key-edit" value="e"' in page
    refused = rita.post("/desk/my/keys/", {"key-edit": "c", "key-save": "ctrl+w", "single_keys": "1"})
    assert refused.status_code == 422
    page = refused.content.decode()
    assert "The same key as “comment”." in page
    assert "The browser keeps this key for itself." in page
    assert 'name="key-edit" value="c"' in page
    kept = rita.post("/desk/my/keys/", {"key-edit": "I", "back": str(item.pk)})
    assert kept["Location"] == f"/desk/item/{item.pk}/"
    page = rita.get("/desk/new-drafts/").content.decode()
    assert "Your correction <kbd>I</kbd>" in page
    assert 'data-single=""' in page
    assert "&quot;edit&quot;: &quot;i&quot;" in page
    assert rita.post("/desk/my/keys/single/", {"single_keys": "1"}).json() == {"single_keys": True}
    assert 'data-single="yes"' in rita.get("/desk/new-drafts/").content.decode()
    rita.post("/desk/my/keys/", {"as_it_came": "1", "key-edit": "I", "single_keys": "1"})
    assert "Your correction <kbd>E</kbd>" in rita.get("/desk/new-drafts/").content.decode()


def test_marks_and_judged_sentences_travel_by_the_form(rita: Client, item: QueueItem) -> None:
    page = rita.get("/desk/new-drafts/")
    start = item.summary.text.index("410")
    mark = {"side": "summary", "start": start, "end": start + 3, "quote": "410", "error_type": "tone"}
    values = {
        **WHOLE, **seat(page), "marks": json.dumps([mark]),
        "support": json.dumps([[start, len(item.summary.text), False]]),
    }  # fmt: skip
    for field, nonsense in (("marks", "{"), ("marks", '[{"side": 3}]'), ("support", "[[1]]")):
        refused = rita.post(f"/desk/item/{item.pk}/draft/", {**values, field: nonsense}, headers=JSON)
        assert refused.status_code == 422
        assert field in refused.json()["error"]["fields"]
    moved = {**values, "marks": json.dumps([mark, {**mark, "start": 0, "end": 3}])}
    without_script = rita.post(f"/desk/item/{item.pk}/submit/", moved)
    assert (without_script.status_code, "“410” does not stand at" in without_script.content.decode()) == (
        422,
        True,
    )
    assert rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON).status_code == 200
    shown = rita.get("/desk/new-drafts/").content.decode()
    assert "&quot;quote&quot;: &quot;410&quot;" in shown
    assert rita.post(f"/desk/item/{item.pk}/submit/", {**values, "base_revision": "1"}).status_code == 302
    assert Review.objects.get().span_marks.get().quote == "410"


def test_labels_are_suggested_to_whoever_works_on_the_item(
    rita: Client, client: Client, cast: make.Cast, item: QueueItem
) -> None:
    assert rita.post(f"/desk/item/{item.pk}/labels/", {"edited_text": TEXT}, headers=JSON).status_code == 409
    rita.get("/desk/new-drafts/")
    answer = rita.post(f"/desk/item/{item.pk}/labels/", {"edited_text": TEXT}, headers=JSON).json()
    (label,) = answer["labels"]
    assert (label["error_type"], label["quote"], label["side"]) == (
        "wrong entity or number",
        "410",
        "summary",
    )
    same = rita.post(f"/desk/item/{item.pk}/labels/", {"edited_text": item.summary.text}, headers=JSON)
    assert same.json() == {"labels": []}
    client.force_login(cast.approver, "allauth.account.auth_backends.AuthenticationBackend")
    assert (
        client.post(f"/desk/item/{item.pk}/labels/", {"edited_text": TEXT}, headers=JSON).status_code == 403
    )


def test_what_supports_a_sentence_is_shown_once_it_was_computed_and_is_never_computed_here(
    rita: Client, item: QueueItem
) -> None:
    page = rita.get("/desk/new-drafts/").content.decode()
    assert "&quot;linked&quot;: false" in page
    assert not Grounding.objects.exists()
    Grounding.objects.create(
        summary=item.summary, method="m", data=as_data(ground(item.summary.document.text, item.summary.text))
    )
    page = rita.get("/desk/new-drafts/").content.decode()
    assert "&quot;linked&quot;: true" in page
    assert "&quot;kind&quot;: &quot;number&quot;" in page, "410 is not in the article"


def test_the_desk_lists_what_was_sent_back_and_what_is_kept_for_me(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = handed_in(cast, queue)
    return_review(review=review, comment="Look at the <date> again.", actor=cast.ml_engineer)
    mine, theirs = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    assign(item=mine, to=cast.reviewer, actor=cast.ml_engineer)
    assign(item=theirs, to=cast.another_reviewer, actor=cast.ml_engineer)
    page = rita.get("/desk/").content.decode()
    assert "Look at the &lt;date&gt; again." in page
    assert f"/desk/item/{review.item_id}/" in page
    assert "Kept for you" in page
    assert f"/desk/item/{mine.pk}/" in page
    assert f"/desk/item/{theirs.pk}/" not in page


def test_a_review_that_was_sent_back_shows_why_and_is_corrected(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = handed_in(cast, queue)
    ReviewReturn.objects.create(review=review, returned_by=cast.ml_engineer, comment="The <date> is wrong.")
    Review.objects.update(state="returned")
    page = rita.get(f"/desk/item/{review.item_id}/")
    assert "The &lt;date&gt; is wrong." in page.content.decode()
    assert f'action="/desk/item/{review.item_id}/correct/"' in page.content.decode()
    rita.post(f"/desk/item/{review.item_id}/correct/", {**WHOLE, **seat(page)})
    assert Review.objects.get().state == "submitted"
