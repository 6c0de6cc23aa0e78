from __future__ import annotations

import random
from statistics import fmean

import pytest
from scipy.stats import spearmanr

from reviews.texts.grounding import Source, as_data, ground
from tests.evaluation.shared_data import records

SOURCE = (
    "The harbour authority said on Monday that it will close the old pier for nine months while 140 rotten piles are "
    "replaced. The work will cost 3.2 million euros, half of it paid by the region.\n\n"
    "Ferries to the two islands will leave from the northern quay instead. “The tide gauge told us we do not have two "
    "winters,” said the engineer, Anna Berg. A petition was signed by 2,300 people. Twenty shops stay open. 👍"
)


def linked(summary: str) -> list[list[str]]:
    return [[SOURCE[link.start : link.end] for link in it.links] for it in ground(SOURCE, summary)]


def test_each_sentence_points_at_the_sentences_that_say_it() -> None:
    first, second = linked(
        "The old pier will be closed for nine months. Boats: ferries leave at the northern quay."
    )
    assert [text[:21] for text in first] == ["The harbour authority"]
    assert [text[:7] for text in second] == ["Ferries"]


def test_what_two_sentences_say_points_at_both_best_first() -> None:
    (links,) = linked(
        "The authority closes the old pier for nine months at a cost of 3.2 million euros paid by the region."
    )
    assert [text[:12] for text in links] == ["The harbour ", "The work wil"]


def test_a_sentence_about_something_else_points_nowhere() -> None:
    (sentence,) = ground(SOURCE, "Whales sang loudly near Iceland.")
    assert (sentence.links, sentence.support) == ((), 0.0)


def test_numbers_are_compared_by_their_value() -> None:
    for written in (
        "A petition has 2300 names.",
        "20 shops stay open.",
        "It costs 3,200,000 euros, for 140 piles.",
    ):
        (sentence,) = ground(SOURCE, written)
        assert sentence.links, written
        assert sentence.unsupported == (), written


def test_names_and_numbers_that_the_source_lacks_are_marked_wherever_they_stand() -> None:
    summary = "👍 The 410 piles, said Anna Olsen. Then 410 more came to Berg."
    found = [
        (summary[place.start : place.end], place.kind)
        for it in ground(SOURCE, summary)
        for place in it.unsupported
    ]
    assert found == [("410", "number"), ("Anna Olsen", "name"), ("410", "number")]


@pytest.mark.parametrize("summary", ["", "…", "   "])
def test_nothing_said_needs_no_support(summary: str) -> None:
    assert as_data(ground(SOURCE, summary)) == {"sentences": []}


def test_a_source_without_sentences_supports_nothing() -> None:
    (sentence,) = ground("—", "The pier closes.")
    assert sentence.links == ()


def test_scripts_without_spaces_and_from_right_to_left_are_linked_too() -> None:
    assert ground("市長は橋を閉鎖した。猫が寝た。", "橋は閉鎖。")[0].links[0].start == 0
    hebrew = "ראש העיר סגר את הגשר. החתול ישן."
    assert ground(hebrew, "הגשר נסגר על ידי ראש העיר.")[0].links[0].start == 0


@pytest.mark.slow
def test_on_real_articles_what_experts_call_consistent_is_supported_better() -> None:
    support, ratings = [], []
    for record in records("summeval/summeval", 40):
        source = Source(record["article"])
        for system, text in record["systems"].items():
            if grounded := ground(source, text):
                support.append(fmean(sentence.support for sentence in grounded))
                ratings.append(record["ratings"][system]["consistency"])
    assert spearmanr(support, ratings).statistic > 0.25


@pytest.mark.slow
def test_on_real_articles_a_sentence_of_another_article_is_hardly_ever_linked() -> None:
    rows = records("cnndm-validation-1000/validation", 100)
    sources = [Source(row["article"]) for row in rows]
    moved = list(range(len(rows)))
    random.Random(5).shuffle(moved)
    own = [
        bool(it.links) for place, row in enumerate(rows) for it in ground(sources[place], row["reference"])
    ]
    foreign = [
        bool(it.links)
        for place, row in enumerate(rows)
        if moved[place] != place
        for it in ground(sources[moved[place]], row["reference"])
    ]
    assert fmean(own) > 0.9
    assert fmean(foreign) < 0.1
