from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models_app.texts.measures import (
    copied_fragments,
    measure,
    repeated_trigrams,
    unsupported_names,
    unsupported_numbers,
    words,
)
from tests.evaluation.shared_data import records

SOURCE = (
    "The council of Port Ellery voted 7-2 on Monday to spend £1.5m on a new ferry, said Maria van der Berg, "
    "its leader. The old boat, built in 1974, carried 12,000 people last year. Three crew members will keep their jobs."
)


def greedy_fragments(source: list[str], summary: list[str]) -> list[int]:
    """Figure 3 of Grusky et al. (2018), word by word."""
    lengths: list[int] = []
    i = 0
    while i < len(summary):
        longest = 0
        for j in range(len(source)):
            k = 0
            while i + k < len(summary) and j + k < len(source) and summary[i + k] == source[j + k]:
                k += 1
            longest = max(longest, k)
        if longest:
            lengths.append(longest)
        i += max(1, longest)
    return lengths


texts = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=25)


@given(texts, texts)
@example(["a"] * 20, ["a"] * 30)
@example([], ["a"])
def test_fragments_are_those_of_the_papers_greedy_search(source: list[str], summary: list[str]) -> None:
    assert copied_fragments(source, summary) == greedy_fragments(source, summary)


def test_coverage_and_density_weigh_words_and_squares() -> None:
    # "the council of port ellery" (5) and "a new ferry" (3) stand in the source, "wants" does not
    found = measure(source=SOURCE, reference="", summary="The council of Port Ellery wants a new ferry")
    assert found.copied_share == pytest.approx(8 / 9)
    assert found.copied_density == pytest.approx((25 + 9) / 9)


def test_a_copy_is_wholly_covered_and_nothing_in_it_is_unsupported() -> None:
    found = measure(source=SOURCE, reference=SOURCE, summary=SOURCE)
    assert found.copied_share == 1
    assert found.copied_density == found.summary_words
    assert found.length_ratio == 1
    assert (found.unsupported_numbers, found.unsupported_names) == (0, 0)


def test_an_empty_summary_measures_zero() -> None:
    found = measure(source=SOURCE, reference="Some words.", summary="")
    assert vars(found) == dict.fromkeys(vars(found), 0)


def test_repetition_is_the_share_of_trigrams_seen_before() -> None:
    assert repeated_trigrams(words("a b c a b c")) == pytest.approx(1 - 3 / 4)
    assert repeated_trigrams(words("it said it said it said it said")) == pytest.approx(1 - 2 / 6)
    assert repeated_trigrams(words("two words")) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The U.S. spent $1,000.50 — really.", 5),
        ("e-mail isn't O'Neill's", 3),
        ("東京は雨", 4),
        ("— … !", 0),
        ("Ünïcödé नमस्ते", 2),
    ],
)
def test_words_keep_what_is_inside_them(text: str, count: int) -> None:
    assert len(words(text)) == count


@pytest.mark.parametrize(
    "summary",
    [
        "It costs 1.5 million.", "It costs 1,500,000 pounds.", "Some 12000 people.", "Some 12,000.0 people.",
        "Twelve thousand people.", "3 crew members.", "It was built in '1974'.", "Seven to two.", "One of the boats.",
    ],
)  # fmt: skip
def test_a_number_written_otherwise_is_the_same_number(summary: str) -> None:
    assert unsupported_numbers(SOURCE, summary) == []


@pytest.mark.parametrize(
    ("summary", "missing"),
    [
        ("It costs 1.5 billion.", ["1.5 billion"]),
        ("Built in 1947 for twenty-one people, 21 in all.", ["1947", "twenty-one"]),
        ("Four crew members, four!", ["Four"]),
        ("7 million people and 7 votes", ["7 million"]),
        ("It grew by 12.5%", ["12.5"]),
        ("In the 1980s", ["1980"]),
        ("Someone often weighs ten tonnes", ["ten"]),
    ],
)
def test_numbers_that_the_source_does_not_have_are_named_once(summary: str, missing: list[str]) -> None:
    assert unsupported_numbers(SOURCE, summary) == missing


def test_an_ambiguous_letter_stands_for_either_value() -> None:
    assert unsupported_numbers("It is 5 metres long and cost £3m.", "A 5m boat for 3 million.") == []


@pytest.mark.parametrize(
    "summary",
    [
        "On Monday Maria van der Berg spoke.", "It was Van der Berg, Port Ellery's leader.", "the PORT of Ellery",
        "Ferries are old.", 'She said: "Nobody knows." And then I left.', "Mr Berg agreed.", "",
    ],
)  # fmt: skip
def test_names_that_the_source_has_are_supported(summary: str) -> None:
    assert unsupported_names(SOURCE, summary) == []


@pytest.mark.parametrize(
    ("summary", "missing"),
    [
        ("The mayor of Port Talbot said so.", ["Port Talbot"]),
        (
            "It was Maria Berger of the Bank of England, and Maria Berger alone.",
            ["Maria Berger of the Bank of England", "Maria Berger"],
        ),
        ("A ferry to Norway and Sweden.", ["Norway", "Sweden"]),
        ("He told the BBC on Tuesday.", ["BBC", "Tuesday"]),
    ],
)
def test_names_that_the_source_does_not_have_are_named_once(summary: str, missing: list[str]) -> None:
    assert unsupported_names(SOURCE, summary) == missing


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_text_can_be_measured(source: str, summary: str) -> None:
    found = measure(source=source, reference=source, summary=summary)
    assert 0 <= found.repetition < 1
    assert 0 <= found.copied_share <= 1
    assert found.copied_share <= found.copied_density <= found.summary_words


def test_lead_sentences_are_copied_and_invent_nothing() -> None:
    for row in records("cnndm-validation-1000/validation", 100):
        lead = row["article"][:400].rsplit(" ", 1)[0]
        found = measure(source=row["article"], reference=row["reference"], summary=lead)
        assert found.copied_share > 0.97
        assert (found.unsupported_numbers, found.unsupported_names) == (0, 0)
