"""The pages about agreement, disputes and gold items: who may see what, and what a reviewer is never told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from models_app.models import Job
from reviews.models import (
    Adjudication,
    AgreementReport,
    GoldAnswer,
    QueueItem,
    Review,
    ReviewQueue,
    Summary,
)  # fmt: skip
from reviews.quality import agreement_report, gold
from reviews.quality.adjudication import Ruling, resolve_dispute
from reviews.quality.gold import is_turn
from tests import make
from tests.pages import markup
from tests.reviews.quality.test_adjudication import DRAFT, FIXED, GOOD, POOR, RATINGS, reviewed
from tests.reviews.quality.test_agreement_report import shared
from tests.reviews.quality.test_gold import KNOWN, golden, worked


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return make.queue(reviews_per_item=2)


@pytest.fixture
def mila(cast: make.Cast) -> Client:
    return entered(cast.ml_engineer)


@pytest.fixture
def rita(cast: make.Cast) -> Client:
    return entered(cast.reviewer)


def entered(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def disputed_item(queue: ReviewQueue, cast: make.Cast) -> QueueItem:
    item = make.queue_item(in_queue=queue, wanted_reviews=2)
    reviewed(item, cast.reviewer, GOOD)
    reviewed(item, cast.another_reviewer, POOR)
    item.refresh_from_db()
    assert item.state == "disputed"
    return item


def form_of(item: QueueItem) -> dict[str, Any]:
    return {
        **{f"rating-{key}": str(value) for key, value in RATINGS.items()},
        **{f"seen-{review.pk}": str(review.revision) for review in item.reviews.all()},
        "stars": "2", "verdict": "poor", "edited_text": FIXED, "explanation": "The article says 140.",
    }  # fmt: skip


# ---------------------------------------------------------------- who


def places(item: QueueItem, summary: Summary) -> Iterator[str]:
    yield from (reverse(name) for name in ("agreement", "disputes", "gold", "gold_round"))
    yield reverse("dispute", args=[item.pk])
    yield f"{reverse('gold_new')}?summary={summary.pk}"


@pytest.mark.parametrize(
    ("who", "status"),
    [("ml_engineer", 200), ("administrator", 200), ("reviewer", 403), ("approver", 403), ("operator", 403)],
)
def test_only_who_manages_queues_sees_agreement_disputes_and_gold(
    cast: make.Cast, queue: ReviewQueue, who: str, status: int
) -> None:
    item = disputed_item(queue, cast)
    client = entered(getattr(cast, who))
    paths = list(places(item, make.summary()))
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, status)
    posts = [
        reverse("agreement_compute"),
        reverse("dispute", args=[item.pk]),
        reverse("dispute_points", args=[queue.pk]),
        reverse("gold_percent", args=[queue.pk]),
        reverse("gold_new"),
        reverse("gold_round"),
    ]
    if status == 403:
        assert {client.post(path).status_code for path in posts} == {403}
        assert "Agreement" not in markup(client.get("/"))
    assert client.get(reverse("how_i_rate")).status_code == (
        200 if who not in ("approver", "operator") else 403
    )


def test_nobody_signed_in_sees_nothing(client: Client, cast: make.Cast) -> None:
    for name in ("agreement", "disputes", "gold", "how_i_rate"):
        assert client.get(reverse(name)).status_code == 302


# ---------------------------------------------------------------- agreement


def test_the_page_says_how_far_they_agree_by_question_queue_and_pair(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    shared(queue, cast, 24, stricter=1)
    page = markup(mila.get(reverse("agreement"), {"question": "fluency"}))
    assert "rita and ruben" in page
    assert "Rater bias: fluency" in page
    assert "24 shared items, 48 reviews" in page
    assert page.count("Consistency") >= 2
    assert "0." in page
    nonsense = mila.get(reverse("agreement"), {"days": "x", "scale": "y", "question": "z", "queue": "-1"})
    assert nonsense.status_code == 200
    assert "Rater bias: stars" in markup(nonsense)


def test_without_shared_items_the_page_says_what_to_do(cast: make.Cast, mila: Client) -> None:
    assert "No item has two reviews yet" in markup(mila.get(reverse("agreement")))


def test_the_queries_of_the_page_do_not_grow_with_the_reviews(
    cast: make.Cast, queue: ReviewQueue, mila: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    shared(queue, cast, 5, stricter=1)
    mila.get(reverse("agreement"))
    with django_assert_max_num_queries(13) as few:
        mila.get(reverse("agreement"))
    shared(queue, cast, 20, stricter=1)
    with django_assert_max_num_queries(len(few)):
        mila.get(reverse("agreement"))


def test_where_there_is_much_the_page_shows_what_the_queue_computed(
    cast: make.Cast, queue: ReviewQueue, mila: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement_report, "INLINE", 5)
    shared(queue, cast, 12, stricter=1)
    assert "Not computed yet" in markup(mila.get(reverse("agreement")))
    assert mila.post(reverse("agreement_compute")).status_code == 302
    waits = markup(mila.get(reverse("agreement")))
    assert "computing" in waits
    assert 'hx-trigger="every 2s"' in waits
    make.carried_out(Job.objects.get(kind="measure_agreement"))
    page = markup(mila.get(reverse("agreement"), headers={"HX-Request": "true"}))
    assert "<html" not in page
    assert "12 shared items" in page
    assert "every 2s" not in page
    assert AgreementReport.objects.count() == 4


# ---------------------------------------------------------------- disputes


def test_a_dispute_shows_the_answers_by_letter_and_no_name(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    item = disputed_item(queue, cast)
    listed = markup(mila.get(reverse("disputes")))
    assert "Stars from 2 to 5" in listed
    page = markup(mila.get(reverse("dispute", args=[item.pk])))
    assert "Reviewer <bdi>A</bdi>" in page
    for name in ("rita", "ruben"):
        assert name not in listed
        assert name not in page
    ReviewQueue.objects.update(blind_to_peers=False)
    assert "<bdi>rita</bdi>" in markup(mila.get(reverse("dispute", args=[item.pk])))


def test_taking_somebodys_answers_fills_the_form_and_keeps_the_explanation(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    item = disputed_item(queue, cast)
    page = mila.get(reverse("dispute", args=[item.pk]))
    letter = next(
        column.letter for column in page.context["found"].columns if column.review.edited_text == FIXED
    )
    taken = mila.post(reverse("dispute", args=[item.pk]), {"take": letter, "explanation": "Because."})
    ruling = taken.context["ruling"]
    assert (ruling.stars, ruling.verdict, ruling.edited_text, ruling.explanation) == (
        2,
        "poor",
        FIXED,
        "Because.",
    )
    assert not Adjudication.objects.exists()


def test_resolving_leads_to_the_next_dispute_and_refusals_keep_what_was_typed(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    first, second = disputed_item(queue, cast), disputed_item(queue, cast)
    path = reverse("dispute", args=[first.pk])
    refused = mila.post(path, {**form_of(first), "explanation": "", "stars": "x"})
    assert refused.status_code == 422
    refused = mila.post(path, {**form_of(first), "explanation": ""})
    assert refused.status_code == 422
    assert FIXED in markup(refused)
    assert "Its reviewers read it" in markup(refused) or "reviewers read" in markup(refused)
    stale = mila.post(path, {**form_of(first), f"seen-{first.reviews.first().pk}": "9"})  # type: ignore[union-attr]
    assert stale.status_code == 409
    assert "Look again" in markup(stale)
    done = mila.post(path, form_of(first))
    assert done.status_code == 302
    assert done["Location"] == reverse("dispute", args=[second.pk])
    assert "The article says 140." in markup(mila.get(path))
    assert "The article says 140." in markup(mila.get(reverse("disputes"), {"show": "resolved"}))
    last = mila.post(reverse("dispute", args=[second.pk]), form_of(second))
    assert last["Location"] == reverse("disputes")


def test_a_person_who_had_a_part_sees_the_dispute_and_cannot_resolve_it(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    item = make.queue_item(in_queue=queue, wanted_reviews=2)
    reviewed(item, cast.ml_engineer, GOOD)
    reviewed(item, cast.another_reviewer, POOR)
    assert "you had a part" in markup(mila.get(reverse("disputes")))
    page = markup(mila.get(reverse("dispute", args=[item.pk])))
    assert "somebody else has to resolve it" in page
    assert "Resolve and next" not in page
    assert mila.post(reverse("dispute", args=[item.pk]), form_of(item)).status_code == 409


def test_an_item_without_dispute_has_no_such_page(cast: make.Cast, queue: ReviewQueue, mila: Client) -> None:
    item = make.queue_item(in_queue=queue)
    assert mila.get(reverse("dispute", args=[item.pk]))["Location"] == reverse("disputes")
    assert mila.get(reverse("dispute", args=[0])).status_code == 404


def test_the_list_costs_a_fixed_number_of_queries(
    cast: make.Cast, queue: ReviewQueue, mila: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    disputed_item(queue, cast)
    mila.get(reverse("disputes"))
    with django_assert_max_num_queries(14) as one:
        mila.get(reverse("disputes"))
    for _ in range(3):
        disputed_item(queue, cast)
    with django_assert_max_num_queries(len(one)):
        mila.get(reverse("disputes"))


def test_a_held_example_is_not_offered_for_a_decision(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    item = disputed_item(queue, cast)
    example = Review.objects.filter(item=item)[0].examples.first()
    assert example is not None
    page = markup(mila.get(reverse("feedback_example", args=[example.pk])))
    assert "The reviewers of this item differ" in page
    assert reverse("feedback_approve", args=[example.pk]) not in page
    assert mila.post(reverse("feedback_approve", args=[example.pk])).status_code == 409
    resolve_dispute(
        item=item,
        ruling=Ruling(2, "poor", RATINGS, FIXED, "140."),
        seen={review.pk: review.revision for review in item.reviews.all()},
        actor=cast.administrator,
    )
    listed = markup(mila.get(reverse("feedback"), {"origin": "adjudication"}))
    assert "its reviewers differed" in listed


def test_when_it_is_a_dispute_is_set_on_the_page(cast: make.Cast, queue: ReviewQueue, mila: Client) -> None:
    assert mila.post(reverse("dispute_points", args=[queue.pk]), {"points": "3"}).status_code == 302
    queue.refresh_from_db()
    assert queue.dispute_points == 3
    for points in ("9", "x", ""):
        assert mila.post(reverse("dispute_points", args=[queue.pk]), {"points": points}).status_code == 422


# ---------------------------------------------------------------- gold


def test_a_summary_is_made_gold_on_the_page(cast: make.Cast, queue: ReviewQueue, mila: Client) -> None:
    summary = make.summary()
    path = reverse("gold_new")
    form = {
        "summary": summary.pk, "rubric": queue.rubric_id, "stars": "2", "verdict": "poor", "tolerance": "0",
        "explanation": "140, not 410.", **{f"rating-{key}": str(value) for key, value in RATINGS.items()},
    }  # fmt: skip
    refused = mila.post(path, {**form, "explanation": " ", "rating-fluency": ""})
    assert refused.status_code == 422
    assert "Rate fluency." in markup(refused)
    assert mila.post(path, form)["Location"] == reverse("gold")
    known = GoldAnswer.objects.get()
    assert (known.summary, known.tolerance, known.created_by) == (summary, 0, cast.ml_engineer)
    assert "140, not 410." in markup(mila.get(reverse("gold")))
    assert mila.post(path, form).status_code == 409
    again = mila.get(f"{path}?summary={summary.pk}", follow=True)
    assert "This summary is gold already" in markup(again), "before the form is filled in for nothing"
    assert mila.get(f"{path}?summary=0").status_code == 404
    assert mila.get(f"{path}?summary=x").status_code == 404
    assert mila.post(reverse("gold_retire", args=[known.pk]), {"reason": "\u0000"}).status_code == 422
    assert mila.post(reverse("gold_retire", args=[known.pk]), {"reason": "Wrong."}).status_code == 302
    assert "retired" in markup(mila.get(reverse("gold")))


def test_a_resolved_dispute_suggests_its_answer_as_gold(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    item = disputed_item(queue, cast)
    mila.post(reverse("dispute", args=[item.pk]), form_of(item))
    page = mila.get(reverse("gold_new"), {"summary": item.summary_id, "from": item.pk})
    assert page.context["known"].explanation == "The article says 140."
    assert page.context["known"].ratings == RATINGS


def test_a_round_is_started_and_somebody_invited_on_the_page(
    cast: make.Cast, queue: ReviewQueue, mila: Client
) -> None:
    known = golden(queue, cast.ml_engineer, 2)
    path = reverse("gold_round")
    form: dict[str, Any] = {
        "name": "November",
        "golds": [row.pk for row in known],
        "reviewers": [cast.reviewer.pk],
    }
    assert mila.post(path, {**form, "golds": []}).status_code == 422
    assert mila.post(path, {**form, "reviewers": [cast.approver.pk]}).status_code == 422
    begun = mila.post(path, {**form, "reviewers": [cast.reviewer.pk, cast.ml_engineer.pk]}, follow=True)
    assert "waits at the desk for rita." in markup(begun)
    assert "know all of these items already: mila." in markup(begun), "she made it gold"
    round_ = ReviewQueue.objects.get(calibration=True)
    answer = mila.post(
        reverse("gold_invite", args=[round_.pk]), {"reviewer": cast.another_reviewer.pk}, follow=True
    )
    assert "ruben has 2 items in November" in markup(answer)
    assert "0 of 4 answered" in markup(answer)
    assert (
        mila.post(reverse("gold_invite", args=[queue.pk]), {"reviewer": cast.reviewer.pk}).status_code == 404
    )
    assert mila.post(reverse("gold_percent", args=[queue.pk]), {"percent": "7"}).status_code == 302
    assert mila.post(reverse("gold_percent", args=[queue.pk]), {"percent": "77"}).status_code == 422
    assert mila.post(reverse("gold_percent", args=[queue.pk]), {"percent": ""}).status_code == 422
    queue.refresh_from_db()
    assert queue.gold_percent == 7


def test_in_a_round_each_answer_is_explained_at_once_and_to_nobody_else(
    cast: make.Cast, queue: ReviewQueue, rita: Client
) -> None:
    round_ = gold.start_round(
        name="R", golds=golden(queue, cast.ml_engineer), reviewers=[cast.reviewer], actor=cast.ml_engineer
    )
    page = rita.get(reverse("desk_next", args=[round_.slug]))
    assert KNOWN.explanation not in markup(page)
    lease = page.context["lease"]
    form = {
        **{f"rating-{key}": str(value) for key, value in RATINGS.items()}, "stars": "5", "verdict": "good",
        "edited_text": DRAFT, "assignment": lease.assignment.pk, "token": str(lease.token),
    }  # fmt: skip
    answer = rita.post(
        reverse("desk_submit", args=[lease.assignment.item_id]), form, headers={"Accept": "application/json"}
    )
    review = Review.objects.get()
    explained = reverse("gold_answer", args=[review.pk])
    assert answer.json()["next"] == explained
    told = markup(rita.get(explained))
    assert KNOWN.explanation in told
    assert "3 of 6" in told
    assert "no-store" in rita.get(explained)["Cache-Control"]
    for other in (cast.another_reviewer, cast.ml_engineer, cast.administrator):
        assert entered(other).get(explained).status_code == 404
    assert reverse("gold_answer", args=[review.pk]) in markup(rita.get(reverse("how_i_rate")))
    # what was learnt from the explanation does not count, and the page says so
    assert "submitted it again" not in told
    assert rita.post(reverse("desk_undo", args=[lease.assignment.item_id])).status_code == 302
    assert rita.get(explained).status_code == 404
    right = {**form, **{f"rating-{key}": str(value) for key, value in KNOWN.ratings.items()}}
    again = {**right, "stars": str(KNOWN.stars), "verdict": KNOWN.verdict}
    assert rita.post(reverse("desk_submit", args=[lease.assignment.item_id]), again)["Location"] == explained
    told = markup(rita.get(explained))
    assert "3 of 6" in told
    assert "You have submitted it again since; compared is your first answer." in told


def test_nothing_at_the_desk_tells_a_gold_item_from_another(
    cast: make.Cast, queue: ReviewQueue, rita: Client
) -> None:
    ReviewQueue.objects.filter(pk=queue.pk).update(gold_percent=50)
    queue.refresh_from_db()
    golden(queue, cast.ml_engineer)
    for _ in range(20):
        make.queue_item(in_queue=queue)
    place = next(n for n in range(100) if is_turn(n, 50, f"{queue.pk}:{cast.reviewer.pk}"))
    worked(queue, cast.reviewer, place)
    answer = rita.get(reverse("desk_next", args=[queue.slug]))
    item = answer.context["item"]
    assert item.reason == "gold item"
    page = markup(answer)
    for word in ("gold", "Gold", "calibration", KNOWN.explanation):
        assert word not in page.replace(reverse("gold"), "")
    mine = markup(rita.get(reverse("how_i_rate")))
    assert str(Summary.objects.get(gold__isnull=False).document.title) not in mine, (
        "not before it is submitted"
    )


def test_how_i_rate_says_how_many_items_are_shared_before_it_says_how(
    cast: make.Cast, queue: ReviewQueue, rita: Client
) -> None:
    shared(queue, cast, 8, stricter=1)
    page = markup(rita.get(reverse("how_i_rate")))
    assert "Nothing to compare yet" not in page
    assert "shown from 10 shared items on" in page
    assert '<td class="num" data-label="Items"> 8 </td>' in page
    assert "more lenient" not in page


def test_how_i_rate_shows_nobody_but_me(cast: make.Cast, queue: ReviewQueue, rita: Client) -> None:
    shared(queue, cast, 12, stricter=1)
    page = markup(rita.get(reverse("how_i_rate")))
    assert "more lenient" in page
    assert "+1.00" in page
    assert "ruben" not in page
    assert "Nothing to compare yet" in markup(entered(cast.ml_engineer).get(reverse("how_i_rate")))
