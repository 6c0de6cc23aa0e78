"""The desk's pages and what its buttons and script ask for: by role, blind, without script, with a fixed number of
queries."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.models import ModelVersion, PromptVersion
from reviews.desk import claims
from reviews.desk.assigning import assign
from reviews.desk.returns import return_review
from reviews.desk.reviews import Answers, save_draft, submit_review
from reviews.models import (
    Assignment,
    Grounding,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewReturn,
    Skip,
)
from reviews.texts.grounding import as_data, ground
from reviews.web.desk.answers import answers_json
from reviews.web.desk.labels import MOST_ARTICLE_WORDS
from tests import make
from tests.pages import markup
from tests.reviews.desk.test_claims import claimed, expire
from tests.web.desk_forms import ANSWERS, JSON, TEXT, WHOLE, assignment, submitted

# ---------------------------------------------------------------- who sees what


@pytest.mark.parametrize("path", ["/desk/", "/desk/new-drafts/", "/my-feedback/"])
def test_the_desk_is_for_reviewers(client: Client, cast: make.Cast, path: str) -> None:
    assert client.get(path).status_code == 302
    for person, status in (
        (cast.reviewer, 200), (cast.ml_engineer, 200), (cast.administrator, 200), (cast.approver, 403),
        (cast.operator, 403), (cast.stranger, 403),
    ):  # fmt: skip
        client.force_login(person)
        assert client.get(path).status_code == status, person


def test_what_the_buttons_ask_for_is_refused_to_others(
    client: Client, cast: make.Cast, item: QueueItem
) -> None:
    client.force_login(cast.approver)
    for act in ("draft", "keep", "labels", "submit", "correct", "skip", "undo", "try", "suggest", "put-back"):
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
    claims.hold(item=item, reviewer=cast.another_reviewer)
    save_draft(item=item, answers=ANSWERS, reviewer=cast.another_reviewer, base_revision=0)
    page = markup(rita.get("/desk/new-drafts/"))
    for secret in ("secret-model", "lead-3", "A digit was swapped", "angry", cast.another_reviewer.username):
        assert secret not in page
    queue = make.queue(blind_to_model=False)
    assert "secret-model" in markup(rita.get("/desk/new-drafts/"))


def test_after_submitting_the_client_s_words_are_shown(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    item = make.queue_item(in_queue=queue, note="The client was angry.")
    claimed(queue, cast.reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.reviewer)
    assert "The client was angry." in markup(rita.get(f"/desk/item/{item.pk}/"))


# ---------------------------------------------------------------- claiming by pages


def test_the_queue_s_page_gives_the_item_i_hold_until_it_is_submitted(
    rita: Client, queue: ReviewQueue
) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    for _ in range(2):
        assert f'data-item="{first.pk}"' in markup(rita.get("/desk/new-drafts/"))
    rita.post(f"/desk/item/{first.pk}/submit/", WHOLE)
    assert f'data-item="{second.pk}"' in markup(rita.get("/desk/new-drafts/"))


def test_the_item_fetched_ahead_is_another_one_and_held_briefly(rita: Client, queue: ReviewQueue) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    page = rita.get(f"/desk/new-drafts/?ahead={first.pk}")
    assert f'data-item="{second.pk}"' in markup(page)
    ahead = Assignment.objects.get(item=second)
    assert ahead.lease_until is not None
    assert ahead.lease_until < timezone.now() + timedelta(minutes=4)
    values = {**assignment(page), "ahead": "1"}
    assert rita.post(f"/desk/item/{second.pk}/keep/", values).json() == {"held": True}
    ahead.refresh_from_db()
    assert ahead.lease_until < timezone.now() + timedelta(minutes=4)
    assert rita.get("/desk/new-drafts/?ahead=x").status_code == 200


def test_an_empty_queue_says_so_and_where_else_work_waits(rita: Client, queue: ReviewQueue) -> None:
    make.queue_item(in_queue=make.queue(slug="weak-outputs"))
    page = markup(rita.get("/desk/new-drafts/"))
    assert "Nothing waits here" in page
    assert "/desk/weak-outputs/" in page
    queue.active = False
    queue.save()
    assert "This queue is closed" in markup(rita.get("/desk/new-drafts/"))
    assert rita.get("/desk/no-such-queue/").status_code == 404


def test_an_item_in_other_hands_is_not_shown(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    claimed(queue, cast.another_reviewer)
    page = rita.get(f"/desk/item/{item.pk}/")
    assert page.status_code == 409
    assert "Somebody else works on this item" in markup(page)
    assert item.summary.text not in markup(page)
    assert cast.another_reviewer.username not in markup(page)
    assert rita.get("/desk/item/999999/").status_code == 404


# ---------------------------------------------------------------- autosave


def test_an_autosave_answers_with_the_revision_and_keeps_the_assignment(
    rita: Client, item: QueueItem
) -> None:
    values = {**assignment(rita.get("/desk/new-drafts/")), "edited_text": "The old pi"}
    Assignment.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    answer = rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON)
    assert answer.json() == {"revision": 1, "held": True}
    lease_until = Assignment.objects.get().lease_until
    assert lease_until is not None
    assert lease_until > timezone.now() + timedelta(minutes=20)
    assert Review.objects.get().edited_text == "The old pi"


def test_an_autosave_without_the_assignment_is_kept_and_said(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    values = {**assignment(rita.get("/desk/new-drafts/")), "edited_text": "The old pi"}
    Assignment.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    claimed(queue, cast.another_reviewer)
    answer = rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON)
    assert answer.json() == {"revision": 1, "held": False}
    page = markup(rita.get(f"/desk/item/{item.pk}/"))
    assert "The old pi</textarea>" in page
    assert "others took it over" in page


def test_a_stale_tab_gets_409_with_what_is_saved(rita: Client, cast: make.Cast, item: QueueItem) -> None:
    values = assignment(rita.get("/desk/new-drafts/"))
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
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/")), field: value}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    assert answer.status_code == 422
    assert named in answer.json()["error"]["fields"]
    assert not Review.objects.filter(state="submitted").exists()


def test_what_was_never_mine_cannot_be_saved(rita: Client, item: QueueItem) -> None:
    answer = rita.post(f"/desk/item/{item.pk}/draft/", WHOLE, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_yours")


# ---------------------------------------------------------------- submitting


def test_a_submit_by_script_says_where_to_go_next(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/"))}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    undo = {"url": f"/desk/item/{item.pk}/undo/", "seconds": 10}
    assert answer.json() == {"next": "/desk/new-drafts/", "message": "Submitted.", "undo": undo}
    review = Review.objects.get()
    assert (review.state, review.stars, review.active_seconds, review.wants_retrain) == (
        "submitted",
        2,
        42,
        True,
    )


def test_a_submit_by_plain_form_goes_to_the_next_item(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/"))}
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, follow=True)
    assert answer.redirect_chain == [(f"/desk/new-drafts/?undo={item.pk}", 302)]
    assert "Submitted." in markup(answer)


def test_a_refused_plain_form_comes_back_with_what_was_typed(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/")), "comment": "Typed & kept <b>."}
    del values["rating-fluency"]
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values)
    page = markup(answer)
    assert answer.status_code == 422
    assert "Rate fluency." in page
    assert "Typed &amp; kept &lt;b&gt;." in page
    assert re.search(r'name="rating-consistency" value="2" checked', page)


def test_a_stale_plain_form_offers_both(rita: Client, cast: make.Cast, item: QueueItem) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/"))}
    save_draft(item=item, answers=Answers(edited_text="newer"), reviewer=cast.reviewer, base_revision=0)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values)
    page = markup(answer)
    assert answer.status_code == 409
    assert f"{TEXT}</textarea>" in page
    assert "Take the newer draft" in page
    again = rita.post(f"/desk/item/{item.pk}/submit/", {**values, **assignment(answer)})
    assert again.status_code == 302
    assert Review.objects.get().edited_text == TEXT


def test_a_second_submit_with_other_answers_can_become_a_correction(rita: Client, item: QueueItem) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/"))}
    rita.post(f"/desk/item/{item.pk}/submit/", values)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", {**values, "stars": "3"}, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "submitted")
    page = rita.post(f"/desk/item/{item.pk}/submit/", {**values, "stars": "3"})
    assert f'action="/desk/item/{item.pk}/correct/"' in markup(page)
    form = {**values, **assignment(page), "stars": "3"}
    corrected = rita.post(f"/desk/item/{item.pk}/correct/", form, headers=JSON).json()
    assert "Corrected." in markup(rita.get(corrected["next"])), "said where the script goes to"
    review = Review.objects.get()
    assert (review.stars, review.revisions.count()) == (3, 2)


def test_late_work_is_said_to_be_extra(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    values = {**WHOLE, **assignment(rita.get("/desk/new-drafts/"))}
    Assignment.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=ANSWERS, reviewer=cast.another_reviewer)
    answer = rita.post(f"/desk/item/{item.pk}/submit/", values, headers=JSON)
    assert "extra review" in answer.json()["message"]


# ---------------------------------------------------------------- skipping


def test_passing_by_keeps_what_was_typed(rita: Client, item: QueueItem) -> None:
    values = {**assignment(rita.get("/desk/new-drafts/")), "edited_text": "Half", "meaning": "snooze"}
    answer = rita.post(f"/desk/item/{item.pk}/skip/", values, follow=True)
    assert "Snoozed" in markup(answer)
    assert "Snoozed" in markup(rita.get(answer.redirect_chain[0][0])), "the way back says of what"
    assert Review.objects.get().edited_text == "Half"
    assert Skip.objects.get().meaning == Skip.Meaning.SNOOZE
    assert "Begun and not submitted" in markup(rita.get("/desk/"))


def test_what_was_left_to_others_is_not_offered_again_until_somebody_goes_on_with_it(
    rita: Client, item: QueueItem
) -> None:
    values = {**assignment(rita.get("/desk/new-drafts/")), "edited_text": "Half", "meaning": "skip"}
    rita.post(f"/desk/item/{item.pk}/skip/", values)
    assert "Begun and not submitted" not in markup(rita.get("/desk/"))
    page = rita.get(f"/desk/item/{item.pk}/")
    assert "Half" in markup(page), "nothing typed is thrown away"
    draft = {**assignment(page), "edited_text": "Half of it", "base_revision": 1}
    assert rita.post(f"/desk/item/{item.pk}/draft/", draft, headers=JSON).status_code == 200
    assert "Begun and not submitted" in markup(rita.get("/desk/"))


def test_skipping_untouched_leaves_no_draft(rita: Client, item: QueueItem) -> None:
    values = {
        **assignment(rita.get("/desk/new-drafts/")),
        "edited_text": item.summary.text,
        "meaning": "skip",
    }
    rita.post(f"/desk/item/{item.pk}/skip/", values)
    assert not Review.objects.exists()


def test_a_flag_needs_a_reason_and_an_engineer_puts_the_item_back(
    rita: Client, client: Client, cast: make.Cast, item: QueueItem
) -> None:
    values = {**assignment(rita.get("/desk/new-drafts/")), "meaning": "flag"}
    answer = rita.post(f"/desk/item/{item.pk}/skip/", values, headers=JSON)
    assert answer.status_code == 422
    rita.post(f"/desk/item/{item.pk}/skip/", {**values, "reason": "Only a <table>."})
    assert "Flagged by reviewers" not in markup(rita.get("/desk/"))
    client.force_login(cast.ml_engineer)
    assert "Only a &lt;table&gt;." in markup(client.get("/desk/"))
    client.post(f"/desk/item/{item.pk}/put-back/")
    item.refresh_from_db()
    assert item.state == "open"


def test_an_assignment_of_another_item_passes_nothing_by(rita: Client, queue: ReviewQueue) -> None:
    first, second = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    values = {**assignment(rita.get("/desk/new-drafts/")), "meaning": "snooze"}
    answer = rita.post(f"/desk/item/{second.pk}/skip/", values, headers=JSON)
    assert answer.status_code == 409
    assert Assignment.objects.get(item=first).state == "held"


# ---------------------------------------------------------------- texts as they are


def test_markup_in_texts_is_shown_as_text(rita: Client, queue: ReviewQueue) -> None:
    text = "<script>alert(1)</script> & <b>bold</b>\n\nSecond paragraph."
    document = make.document(text, title="<i>Title</i>")
    make.queue_item(make.summary(document, "<img src=x onerror=alert(1)>"), queue)
    page = markup(rita.get("/desk/new-drafts/"))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;bold&lt;/b&gt;</p>" in page
    assert re.findall(r'<p dir="auto" data-at="(\d+)">', page) == ["0", str(text.index("Second"))]


def test_how_much_of_the_article_the_model_read_is_said(rita: Client, queue: ReviewQueue) -> None:
    summary = make.summary(truncated=True, total_tokens=1000, kept_tokens=610)
    make.queue_item(summary, queue)
    assert "model read 61 %" in markup(rita.get("/desk/new-drafts/"))


def test_the_navigation_counts_what_the_desk_would_give_me(rita: Client, queue: ReviewQueue) -> None:
    for _ in range(4):
        make.queue_item(in_queue=queue)
    for meaning, reason in (("skip", ""), ("flag", "Empty.")):
        page = rita.get("/desk/new-drafts/")
        item = re.findall(r'data-item="(\d+)"', markup(page))[0]
        rita.post(f"/desk/item/{item}/skip/", {**assignment(page), "meaning": meaning, "reason": reason})
    desk = markup(rita.get("/desk/"))
    assert re.search(r'aria-current="page">Review desk <span class="count hot">2</span>', desk)
    assert '<b class="tile-value">2</b>' in desk


# ---------------------------------------------------------------- queries


def test_the_desk_takes_a_fixed_number_of_queries(
    rita: Client, queue: ReviewQueue, live: PromptVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make.queue_item(in_queue=queue)
    rita.get("/desk/new-drafts/")
    with django_assert_num_queries(21):
        rita.get("/desk/new-drafts/")
    for _ in range(20):
        make.queue_item(in_queue=queue)
    with django_assert_num_queries(21):
        rita.get("/desk/new-drafts/")
    with django_assert_num_queries(12):
        rita.get("/desk/")


def test_an_expired_assignment_s_draft_is_offered_on_the_desk(
    rita: Client, cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    lease = claimed(queue, cast.reviewer)
    save_draft(item=item, answers=Answers(edited_text="typed"), reviewer=cast.reviewer, base_revision=0)
    expire(lease)
    claimed(queue, cast.another_reviewer)
    page = markup(rita.get("/desk/"))
    assert "Begun and not submitted" in page
    assert f"/desk/item/{item.pk}/" in page


def test_the_saved_answers_are_json_that_the_script_can_put_beside_the_typed(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    claimed(queue, cast.reviewer)
    review = save_draft(item=item, answers=ANSWERS, reviewer=cast.reviewer, base_revision=0)
    assert json.loads(json.dumps(answers_json(review)))["ratings"] == dict(ANSWERS.ratings)


def test_own_keys_are_chosen_on_a_page_and_shown_on_the_desk(rita: Client, item: QueueItem) -> None:
    page = markup(rita.get("/desk/my/keys/"))
    assert 'name="key-edit" value="e"' in page
    refused = rita.post("/desk/my/keys/", {"key-edit": "c", "key-save": "ctrl+w", "single_keys": "1"})
    assert refused.status_code == 422
    page = markup(refused)
    assert "The same key as “comment”." in page
    assert "The browser keeps this key for itself." in page
    assert 'name="key-edit" value="c"' in page
    kept = rita.post("/desk/my/keys/", {"key-edit": "I", "back": str(item.pk)})
    assert kept["Location"] == f"/desk/item/{item.pk}/"
    page = markup(rita.get("/desk/new-drafts/"))
    assert "Your correction <kbd>I</kbd>" in page
    assert 'data-single=""' in page
    assert "&quot;edit&quot;: &quot;i&quot;" in page
    assert rita.post("/desk/my/keys/single/", {"single_keys": "1"}).json() == {"single_keys": True}
    assert 'data-single="yes"' in markup(rita.get("/desk/new-drafts/"))
    rita.post("/desk/my/keys/", {"as_it_came": "1", "key-edit": "I", "single_keys": "1"})
    assert "Your correction <kbd>E</kbd>" in markup(rita.get("/desk/new-drafts/"))


def test_marks_and_judged_sentences_travel_by_the_form(rita: Client, item: QueueItem) -> None:
    page = rita.get("/desk/new-drafts/")
    start = item.summary.text.index("410")
    mark = {"side": "summary", "start": start, "end": start + 3, "quote": "410", "error_type": "tone"}
    values = {
        **WHOLE, **assignment(page), "marks": json.dumps([mark]),
        "support": json.dumps([[start, len(item.summary.text), False]]),
    }  # fmt: skip
    for field, nonsense in (
        ("marks", "{"),
        ("marks", "[" * 20_000),
        ("marks", '[{"side": 3}]'),
        ("support", "[[1]]"),
    ):
        refused = rita.post(f"/desk/item/{item.pk}/draft/", {**values, field: nonsense}, headers=JSON)
        assert refused.status_code == 422
        assert field in refused.json()["error"]["fields"]
    moved = {**values, "marks": json.dumps([mark, {**mark, "start": 0, "end": 3}])}
    without_script = rita.post(f"/desk/item/{item.pk}/submit/", moved)
    assert (without_script.status_code, "“410” does not stand at" in markup(without_script)) == (
        422,
        True,
    )
    assert rita.post(f"/desk/item/{item.pk}/draft/", values, headers=JSON).status_code == 200
    shown = markup(rita.get("/desk/new-drafts/"))
    assert "&quot;quote&quot;: &quot;410&quot;" in shown
    assert rita.post(f"/desk/item/{item.pk}/submit/", {**values, "base_revision": "1"}).status_code == 302
    assert Review.objects.get().span_marks.get().quote == "410"


def test_labels_are_suggested_to_people_who_work_on_the_item(
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
    client.force_login(cast.approver)
    assert (
        client.post(f"/desk/item/{item.pk}/labels/", {"edited_text": TEXT}, headers=JSON).status_code == 403
    )


def test_labels_are_suggested_for_articles_as_long_as_are_taken(rita: Client) -> None:
    article = (
        "The old pier of Nordhaven will close for nine months. 140 piles are rotten. "
        + "Rain fell. " * 24_990
    )
    long = make.queue_item(make.summary(make.document(article), "The old pier closes. 410 piles are rotten."))
    assert 12_000 < long.summary.document.words <= MOST_ARTICLE_WORDS
    rita.get(f"/desk/item/{long.pk}/")
    path, edited = f"/desk/item/{long.pk}/labels/", "The old pier closes. 140 piles are rotten."
    (label,) = rita.post(path, {"edited_text": edited}, headers=JSON).json()["labels"]
    assert label["quote"] == "410"
    assert rita.post(path, {"edited_text": edited * 2000}, headers=JSON).json() == {"labels": []}


def test_what_supports_a_sentence_is_shown_once_it_was_computed_and_is_never_computed_here(
    rita: Client, item: QueueItem
) -> None:
    page = markup(rita.get("/desk/new-drafts/"))
    assert "&quot;linked&quot;: false" in page
    assert not Grounding.objects.exists()
    Grounding.objects.create(
        summary=item.summary, method="m", data=as_data(ground(item.summary.document.text, item.summary.text))
    )
    page = markup(rita.get("/desk/new-drafts/"))
    assert "&quot;linked&quot;: true" in page
    assert "&quot;kind&quot;: &quot;number&quot;" in page, "410 is not in the article"


def test_the_desk_lists_what_was_sent_back_and_what_is_kept_for_me(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = submitted(cast, queue)
    return_review(review=review, comment="Look at the <date> again.", actor=cast.ml_engineer)
    mine, theirs = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    assign(item=mine, to=cast.reviewer, actor=cast.ml_engineer)
    assign(item=theirs, to=cast.another_reviewer, actor=cast.ml_engineer)
    page = markup(rita.get("/desk/"))
    assert "Look at the &lt;date&gt; again." in page
    assert f"/desk/item/{review.item_id}/" in page
    assert "Assigned to you" in page
    assert f"/desk/item/{mine.pk}/" in page
    assert f"/desk/item/{theirs.pk}/" not in page


def test_a_review_that_was_sent_back_shows_why_and_is_corrected(
    rita: Client, cast: make.Cast, queue: ReviewQueue
) -> None:
    review = submitted(cast, queue)
    ReviewReturn.objects.create(review=review, returned_by=cast.ml_engineer, comment="The <date> is wrong.")
    Review.objects.update(state="returned")
    page = rita.get(f"/desk/item/{review.item_id}/")
    assert "The &lt;date&gt; is wrong." in markup(page)
    assert f'action="/desk/item/{review.item_id}/correct/"' in markup(page)
    rita.post(f"/desk/item/{review.item_id}/correct/", {**WHOLE, **assignment(page)})
    assert Review.objects.get().state == "submitted"
