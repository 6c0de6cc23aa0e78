"""The pairwise pages: by role, blind, without script, in JSON, with a fixed number of queries."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.models import HumanVote, Release
from reviews.desk.choices import Judgement, choose
from reviews.desk.claims import claim_next
from reviews.filling.pairs import pair_releases, pairwise_queue
from reviews.models import Assignment, Preference, QueueItem, ReviewQueue, Skip
from tests import make
from tests.pages import markup
from tests.reviews.desk.test_choices import compared

JSON: dict[str, Any] = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return pairwise_queue(actor=cast.ml_engineer)


@pytest.fixture
def releases(cast: make.Cast) -> tuple[Release, Release]:
    return make.release(), make.release()


@pytest.fixture
def pairs(queue: ReviewQueue, releases: tuple[Release, Release], cast: make.Cast) -> list[QueueItem]:
    for number in range(3):
        document = make.document()
        make.summary(document, f"Old words, number {number}.", release=releases[0])
        make.summary(document, f"New words, number {number}.", release=releases[1])
    pair_releases(before=releases[0], after=releases[1], queue=queue, limit=9, actor=cast.ml_engineer)
    return list(QueueItem.objects.filter(queue=queue).order_by("pk"))


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def form_of(page: str) -> dict[str, str]:
    return dict(
        re.findall(r'<input type="hidden" name="(assignment|token|base_revision)" value="([^"]*)"', page)
    )


def shown(page: str, side: str) -> str:
    found = re.search(rf'data-side="{side}">(.*?)</p>', page, re.S)
    assert found is not None
    return re.sub(r"<[^>]+>", "", found[1])


@pytest.mark.parametrize("after_was_left", [True, False])
def test_both_texts_stand_on_the_drawn_sides_and_nothing_says_which_is_which(
    rita: Client,
    queue: ReviewQueue,
    pairs: list[QueueItem],
    releases: tuple[Release, Release],
    after_was_left: bool,
) -> None:
    Assignment.objects.update(swapped=after_was_left)
    page = markup(rita.get(f"/pairwise/{queue.slug}/"))
    left, right = shown(page, "left"), shown(page, "right")
    assert left.startswith("New" if after_was_left else "Old")
    assert right.startswith("Old" if after_was_left else "New")
    assert re.findall(r'<mark class="differs">(.*?)</mark>', page) == [left.split()[0], right.split()[0]]
    assert '<p dir="auto">The harbour authority of Nordhaven said' in page
    main = page[page.index("<main") :]
    for word in ("release", "lead-3", "swapped", "candidate", "baseline", "after_was_left", "summary_id"):
        assert word not in main.lower(), word


def test_a_choice_without_script_and_the_way_on(
    rita: Client, cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    page = markup(rita.get(f"/pairwise/{queue.slug}/"))
    item = pairs[0]
    refused = rita.post(f"/pairwise/item/{item.pk}/submit/", form_of(page) | {"reason": "Kept?"})
    assert refused.status_code == 422
    assert "Which one is better?" in markup(refused)
    assert "Kept?" in markup(refused)
    answer = rita.post(f"/pairwise/item/{item.pk}/submit/", form_of(page) | {"choice": "left 3"})
    assert (answer.status_code, answer["Location"]) == (302, f"/pairwise/{queue.slug}/?undo={item.pk}")
    mine = Preference.objects.get(item=item)
    assert (mine.state, mine.strength) == ("submitted", 3)
    index = markup(rita.get("/pairwise/"))
    assert "left, much better" in index
    again = markup(rita.get(f"/pairwise/item/{item.pk}/"))
    assert "Save changes" in again
    corrected = rita.post(f"/pairwise/item/{item.pk}/correct/", form_of(again) | {"choice": "tie"})
    assert corrected["Location"] == "/pairwise/"
    assert Preference.objects.get(item=item).choice == "tie"


def test_what_the_script_is_told(rita: Client, queue: ReviewQueue, pairs: list[QueueItem]) -> None:
    form = form_of(markup(rita.get(f"/pairwise/{queue.slug}/")))
    url = f"/pairwise/item/{pairs[0].pk}"
    saved = rita.post(f"{url}/draft/", form | {"choice": "right 1", "active_seconds": "12"}, **JSON)
    assert saved.json() == {"revision": 1, "held": True}
    stale = rita.post(f"{url}/draft/", form | {"choice": "tie"}, **JSON)
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "stale_draft")
    current = stale.json()["error"]["current"]
    assert current == {"revision": 1, "choice": "right 1", "reason": ""}, "neither sides nor releases"
    assert rita.post(f"{url}/keep/", form, **JSON).json() == {"held": True}
    wrong = rita.post(f"{url}/submit/", form | {"choice": "left 9"}, **JSON)
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (422, ["strength"])
    done = rita.post(f"{url}/submit/", form | {"choice": "right 1", "base_revision": "1"}, **JSON).json()
    assert done["message"] == "Submitted: right, slightly better."
    assert done["undo"] == {"url": f"{url}/take-back/", "seconds": 10}
    assert set(done) == {"next", "message", "undo"}
    assert rita.post(f"{url}/take-back/", **JSON).json()["next"] == f"{url}/"
    assert Preference.objects.get(item=pairs[0]).state == "draft"
    for nonsense in ("left", "left x", "<b>"):
        assert rita.post(f"{url}/submit/", form | {"choice": nonsense}, **JSON).status_code == 422


def test_passing_by_keeps_the_draft(rita: Client, queue: ReviewQueue, pairs: list[QueueItem]) -> None:
    form = form_of(markup(rita.get(f"/pairwise/{queue.slug}/")))
    answer = rita.post(
        f"/pairwise/item/{pairs[0].pk}/skip/", form | {"meaning": "snooze", "reason": "Half a thought"}
    )
    assert answer.status_code == 302
    assert Preference.objects.get(item=pairs[0]).reason == "Half a thought"
    assert Assignment.objects.get(item=pairs[0]).state == "free"


@pytest.mark.parametrize("meaning", ["snooze", "skip", "flag"])
def test_a_pair_that_was_passed_by_can_be_taken_back_for_ten_seconds(
    rita: Client, cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem], meaning: str
) -> None:
    for other in pairs[1:]:
        QueueItem.objects.filter(pk=other.pk).update(state="done")
    first = markup(rita.get(f"/pairwise/{queue.slug}/"))
    url = f"/pairwise/item/{pairs[0].pk}"
    passed = {"meaning": meaning, "why": "A table.", "reason": "Half a thought"}
    page = markup(rita.post(f"{url}/skip/", form_of(first) | passed, follow=True))
    assert "Nothing waits here" in page
    assert f'action="{url}/take-back/"' in page
    stranger = signed_in(cast.another_reviewer)
    assert "data-undo-offer" not in markup(stranger.get(f"/pairwise/?undo={pairs[0].pk}"))
    assert stranger.post(f"{url}/take-back/", **JSON).status_code == 409
    page = markup(rita.post(f"{url}/take-back/", follow=True))
    assert "Taken back: the item is yours again." in page
    assert "Half a thought" in page
    assert [shown(page, side) for side in ("left", "right")] == [
        shown(first, side) for side in ("left", "right")
    ], "the sides stay as they were drawn"
    assert not Skip.objects.exists()
    assert QueueItem.objects.get(pk=pairs[0].pk).state == "open"
    rita.post(f"{url}/skip/", form_of(page) | passed)
    Skip.objects.update(at=timezone.now() - timedelta(seconds=11))
    assert "data-undo-offer" not in markup(rita.get(f"/pairwise/{queue.slug}/?undo={pairs[0].pk}"))
    Skip.objects.update(at=timezone.now() - timedelta(seconds=60))
    late = rita.post(f"{url}/take-back/", **JSON)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "stale")
    assert "Too late to take it back." in markup(rita.post(f"{url}/take-back/", follow=True))
    assert Skip.objects.count() == 1


def test_a_submit_that_cannot_be_taken_back_any_more_is_said_and_stays(
    rita: Client, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    page = markup(rita.get(f"/pairwise/{queue.slug}/"))
    url = f"/pairwise/item/{pairs[0].pk}"
    page = markup(rita.post(f"{url}/submit/", form_of(page) | {"choice": "tie"}, follow=True))
    assert f'action="{url}/take-back/"' in page
    Preference.objects.filter(state="submitted").update(submitted_at=timezone.now() - timedelta(minutes=1))
    page = markup(rita.post(f"{url}/take-back/", follow=True))
    assert "after that it can be corrected" in page
    assert Preference.objects.get(item=pairs[0]).state == "submitted"


def test_own_keys_hold_at_this_desk_too(rita: Client, queue: ReviewQueue, pairs: list[QueueItem]) -> None:
    page = markup(rita.get("/desk/my/keys/"))
    assert 'name="key-tie" value="t"' in page
    refused = rita.post("/desk/my/keys/", {"key-tie": "l", "single_keys": "1"})
    assert refused.status_code == 422
    assert "The same key as “snooze for two hours”." in markup(refused)
    assert "The same key as “no difference”." in markup(refused)
    back = rita.post("/desk/my/keys/", {"key-tie": "0", "key-later": "i", "back": str(pairs[0].pk)})
    assert rita.get(back["Location"])["Location"] == f"/pairwise/item/{pairs[0].pk}/"
    page = markup(rita.get(f"/pairwise/{queue.slug}/"))
    assert '<kbd>0</kbd> <span class="point-words"> no difference' in page
    assert "Snooze 2 h <kbd>I</kbd>" in page
    assert "&quot;tie&quot;: &quot;0&quot;" in page
    assert "&quot;retrain&quot;" not in page, "the other desk's keys would be in the way"


def test_the_review_desk_shows_a_pair_at_its_own_place(
    rita: Client, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    assert rita.get(f"/desk/{queue.slug}/")["Location"] == f"/pairwise/{queue.slug}/"
    assert rita.get(f"/desk/item/{pairs[0].pk}/")["Location"] == f"/pairwise/item/{pairs[0].pk}/"
    assert rita.get(f"/pairwise/item/{make.queue_item().pk}/").status_code == 404
    assert queue.name not in markup(rita.get("/desk/"))


def test_a_documents_page_tells_reviewers_nothing_of_a_pair_that_is_open(
    rita: Client, cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    path = f"/documents/{pairs[0].summary.document_id}/"
    assert "words, number" not in markup(rita.get(path))
    assert "Old words, number" in markup(signed_in(cast.ml_engineer).get(path))
    QueueItem.objects.update(state="done")
    assert "Old words, number" in markup(rita.get(path))


def test_somebody_elses_pair_and_a_pair_for_nobody(
    rita: Client, cast: make.Cast, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    lease = claim_next(queue=queue, reviewer=cast.another_reviewer, kind="pairwise")
    assert lease is not None
    page = rita.get(f"/pairwise/item/{lease.assignment.item_id}/")
    assert (page.status_code, "Old words" in markup(page)) == (409, False)
    refused = rita.post(f"/pairwise/item/{lease.assignment.item_id}/submit/", {"choice": "tie"}, **JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_yours")
    for person in (cast.stranger, cast.approver):
        assert signed_in(person).get(f"/pairwise/{queue.slug}/").status_code == 403
    assert Client().get("/pairwise/").status_code == 302
    assert rita.get("/pairwise/new/").status_code == 403


def test_pairs_from_a_comparison_by_its_button(
    cast: make.Cast, releases: tuple[Release, Release], rita: Client
) -> None:
    comparison = compared(cast, *releases, [("Old 1.", "New 1."), ("Same.", "Same."), ("Old 2.", "New 2.")])
    mila = signed_in(cast.ml_engineer)
    button = f'href="/pairwise/new/?comparison={comparison.pk}"'
    assert button in markup(mila.get(f"/comparisons/{comparison.pk}/"))
    assert button not in markup(signed_in(cast.approver).get(f"/comparisons/{comparison.pk}/"))
    url = f"/pairwise/new/?comparison={comparison.pk}"
    assert '<b class="num">2</b> of' in markup(mila.get(url))
    assert mila.post(url, {"limit": "0", "seed": "7"}).status_code == 422
    made = markup(mila.post(url, {"limit": "50", "seed": "7"}, follow=True))
    assert "2 pairs put in. For 1 of the sample both texts are the same: nobody is asked" in made
    queue = ReviewQueue.objects.get(kind="pairwise")
    while (lease := claim_next(queue=queue, reviewer=cast.reviewer, kind="pairwise")) is not None:
        choose(item=lease.assignment.item, answers=Judgement("both bad"), reviewer=cast.reviewer)
    for path in (f"/comparisons/{comparison.pk}/", f"/releases/{releases[1].pk}/"):
        page = markup(mila.get(path))
        assert (
            "People, blind: 3 test documents, 0 for after, 0 for before, 2 for neither, "
            "1 with the same text from both: "
            "no preference is established." in page
        )
    (people,) = mila.get(f"/comparisons/{comparison.pk}/evidence.json").json()["people"]
    assert (people["documents"], people["verdict"]) == (3, "inconclusive")
    assert HumanVote.objects.filter(preferred="both bad").count() == 2
    same = compared(cast, make.release(), make.release(), [("Same.", "Same.")])
    nothing = mila.post(
        f"/pairwise/new/?comparison={same.pk}", {"limit": "5", "seed": "7", "queue": queue.pk}
    )
    assert "nothing to choose between" in markup(nothing)


def test_pages_take_a_fixed_number_of_queries(
    rita: Client,
    cast: make.Cast,
    queue: ReviewQueue,
    pairs: list[QueueItem],
    django_assert_max_num_queries: Any,
) -> None:
    rita.get("/pairwise/")
    with django_assert_max_num_queries(32):
        rita.get(f"/pairwise/{queue.slug}/")
    for _ in pairs[1:]:
        lease = claim_next(queue=queue, reviewer=cast.reviewer, kind="pairwise")
        assert lease is not None
        choose(item=lease.assignment.item, answers=Judgement("tie"), reviewer=cast.reviewer)
    with django_assert_max_num_queries(12):
        assert markup(rita.get("/pairwise/")).count("no difference") == 2
