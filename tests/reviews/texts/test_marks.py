"""Error spans and judged sentences: read, held against the texts, kept as a draft, submitted as rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.foundation.errors import InvalidInput
from reviews.desk import claims
from reviews.desk.reviews import revise_review, save_draft, submit_review, take_back
from reviews.models import QueueItem, Review, SentenceSupport, SpanMark
from reviews.texts.marks import (
    MOST_MARKS,
    Mark,
    Support,
    UnreadableMarks,
    checked_marks,
    checked_support,
    read_marks,
    read_support,
)
from tests import make
from tests.reviews.desk.test_reviews import WHOLE

DRAFT = "The pier closes 👩‍👩‍👧. 410 piles are rotten. القديم الرصيف. Cafe\u0301 Nord."
GOOD = {"side": "summary", "start": 0, "end": 3, "quote": "The", "error_type": "tone", "severity": "minor"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "list"),
        ([3], "object"),
        ([{**GOOD, "start": "0"}], "whole numbers"),
        ([{**GOOD, "start": True}], "whole numbers"),
        ([{**GOOD, "end": -1}], "whole numbers"),
        ([{**GOOD, "side": "margin"}], "side is one of"),
        ([{**GOOD, "error_type": "ugly"}], "error type is one of"),
        ([{**GOOD, "severity": "awful"}], "severity is one of"),
        ([{**GOOD, "note": "x" * 301}], "300"),
        ([{**GOOD, "quote": 7}], "text"),
        ([{**GOOD, "note": ["wrong"]}], "text"),
        ([GOOD] * (MOST_MARKS + 1), "At most"),
    ],
)
def test_nonsense_is_no_mark(raw: Any, why: str) -> None:
    with pytest.raises(UnreadableMarks, match=why):
        read_marks(raw)


@pytest.mark.parametrize("raw", [{}, [[0, 3]], [["0", 3, True]], [[0, 3, 1]], [[0, 3, None]]])
def test_nonsense_is_no_verdict_on_a_sentence(raw: Any) -> None:
    with pytest.raises(UnreadableMarks):
        read_support(raw)


def mark(quote: str, text: str = DRAFT, **changes: Any) -> Mark:
    start = text.index(quote)
    return Mark("summary", start, start + len(quote), "unsupported fact", quote=quote, **changes)


@pytest.mark.parametrize("quote", ["👩‍👩‍👧", "410", "القديم", "Cafe\u0301"])
def test_a_mark_holds_in_every_script_and_in_emoji(quote: str) -> None:
    (kept,) = checked_marks([mark(quote)], summary=DRAFT, source="")
    assert kept.quote == quote


def test_a_mark_that_cuts_a_character_is_grown_to_the_whole_of_it() -> None:
    half = mark("👩‍👩")
    accent = mark("Cafe")
    kept = checked_marks([half, accent, mark(" 410 ")], summary=DRAFT, source="")
    assert [one.quote for one in kept] == ["👩‍👩‍👧", "410", "Cafe\u0301"]


def test_a_quote_that_does_not_stand_there_is_found_out() -> None:
    for wrong in (
        replace(mark("410"), quote="140"),
        replace(mark("410"), end=9999),
        replace(mark("410"), end=2),
    ):
        with pytest.raises(UnreadableMarks, match="does not stand at"):
            checked_marks([wrong], summary=DRAFT, source="")
    with pytest.raises(UnreadableMarks, match="does not stand at"):
        checked_marks([replace(mark("410"), side="source")], summary=DRAFT, source="Another text.")
    with pytest.raises(UnreadableMarks, match="white space"):
        checked_marks([replace(mark(" "), end=4)], summary=DRAFT, source="")


def test_marks_come_in_order_and_each_once() -> None:
    marks = [mark("rotten"), mark("410"), mark("410", severity="critical")]
    kept = checked_marks(marks, summary=DRAFT, source="")
    assert [(one.quote, one.severity) for one in kept] == [("410", "major"), ("rotten", "major")]


def test_only_sentences_of_the_summary_are_judged_and_each_once() -> None:
    text = "The pier closes. 410 piles are rotten."
    second = Support(17, 38, True)
    assert checked_support([second, Support(0, 16, False)], summary=text) == [Support(0, 16, False), second]
    with pytest.raises(UnreadableMarks, match="Not a sentence"):
        checked_support([Support(0, 15, True)], summary=text)
    with pytest.raises(UnreadableMarks, match="twice"):
        checked_support([second, Support(17, 38, False)], summary=text)


# ---------------------------------------------------------------- as part of a review


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    item = make.queue_item(in_queue=make.queue())
    assert claims.hold(item=item, reviewer=cast.reviewer) is not None
    return item


def marked(item: QueueItem) -> Any:
    text, source = item.summary.text, item.summary.document.text
    start, there = text.index("410"), source.index("140")
    return replace(
        WHOLE,
        marks=(
            Mark("summary", start, start + 3, "wrong entity or number", "critical", "410", suggested=True),
            Mark("source", there, there + 3, "omission", "minor", "140", note="Left out."),
        ),
        support=(Support(text.index("410"), len(text), False),),
    )


def test_marks_of_a_draft_are_kept_and_become_rows_when_it_is_submitted(
    cast: make.Cast, item: QueueItem
) -> None:
    answers = marked(item)
    draft = save_draft(item=item, answers=answers, reviewer=cast.reviewer, base_revision=0)
    assert [one["quote"] for one in draft.marks] == ["140", "410"]
    assert not SpanMark.objects.exists()
    review = submit_review(item=item, answers=answers, reviewer=cast.reviewer, base_revision=1)
    rows = SpanMark.objects.values_list("side", "quote", "error_type", "severity", "note", "suggested")
    assert set(rows) == {
        ("summary", "410", "wrong entity or number", "critical", "", True),
        ("source", "140", "omission", "minor", "Left out.", False),
    }
    sentence = SentenceSupport.objects.get()
    assert item.summary.text[sentence.start : sentence.end] == "410 piles are rotten."
    assert not sentence.supported
    assert [one["quote"] for one in review.revisions.get().data["marks"]] == ["140", "410"]
    revise_review(item=review.item, answers=replace(answers, marks=(), support=()), reviewer=cast.reviewer)
    assert not SpanMark.objects.exists()
    assert not SentenceSupport.objects.exists()


def test_what_is_taken_back_keeps_its_marks_as_a_draft(cast: make.Cast, item: QueueItem) -> None:
    review = submit_review(item=item, answers=marked(item), reviewer=cast.reviewer)
    draft = take_back(item=review.item, reviewer=cast.reviewer)
    assert len(draft.marks) == 2
    assert not SpanMark.objects.exists()
    submit_review(item=item, answers=marked(item), reviewer=cast.reviewer)
    assert SpanMark.objects.count() == 2


def test_a_mark_on_another_text_gets_into_neither_draft_nor_review(cast: make.Cast, item: QueueItem) -> None:
    start = item.summary.text.index("410")
    wrong = replace(
        WHOLE,
        marks=(Mark("summary", start, start + 3, "tone", quote="140"),),
        support=(Support(0, 5, True),),
    )
    for act in (
        lambda: save_draft(item=item, answers=wrong, reviewer=cast.reviewer, base_revision=0),
        lambda: submit_review(item=item, answers=wrong, reviewer=cast.reviewer),
    ):
        with pytest.raises(InvalidInput) as refused:
            act()
        assert set(refused.value.fields) == {"marks.0.quote", "support.0"}
    assert not Review.objects.filter(revision__gt=0).exists()
