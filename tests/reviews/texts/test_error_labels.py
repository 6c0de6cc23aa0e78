from __future__ import annotations

import random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.texts.measures import find_numbers
from reviews.models import SpanMark
from reviews.texts import edits
from reviews.texts.error_labels import suggest
from tests.evaluation.shared_data import records

SOURCE = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months from March "
    "while 140 rotten piles are replaced. The work will cost 3.2 million euros, half of it paid by the region.\n"
    "Ferries to the two islands will leave from the northern quay instead, and fishermen will be given free berths "
    "there. “We looked at doing it in two winters,” said the engineer, Anna Berg. Shop owners near the pier said they "
    "fear for the summer season; the mayor promised them a cut in rent of a fifth. A petition has been signed by 2,300 "
    "people. Write to Karl Olsen at k.olsen@nordhaven.example or call 0451 223 4455. He did not sign it. Sales rose by "
    "4 percent."
)  # fmt: skip


def test_the_words_for_errors_are_those_of_the_marks() -> None:
    for words, column in (
        (edits.ErrorType, "error_type"),
        (edits.Severity, "severity"),
        (edits.Side, "side"),
    ):
        field: Any = SpanMark._meta.get_field(column)
        assert [value for value, _ in field.choices] == list(get_args(words))


_words = st.lists(
    st.sampled_from(["the", "pier", "410", "closes", ".", ",", "Berg", "of", "\n", "👍", "not"])
).map(" ".join)


@given(_words, _words)
def test_changes_are_disjoint_quote_both_texts_and_can_be_taken_back_one_by_one(
    draft: str, edited: str
) -> None:
    changes = suggest(source=SOURCE, draft=draft, edited=edited)
    end = edited_end = 0
    for change in changes:
        assert draft[change.start : change.end] == change.old != change.new
        assert edited[change.edited_start : change.edited_end] == change.new
        assert end <= change.start
        assert edited_end <= change.edited_start
        end, edited_end = change.end, change.edited_end
        if change.label and change.label.side == "summary":
            assert draft[change.label.start : change.label.end] == change.label.quote != ""
    text = edited
    for change in reversed(changes):
        text = text[: change.edited_start] + change.old + text[change.edited_end :]
    assert text == draft


@pytest.mark.parametrize(
    ("draft", "edited", "expected"),
    [
        ("410 piles are rotten.", "140 piles are rotten.", ("wrong entity or number", "major", "410")),
        ("The pier closes on Tuesday.", "The pier closes on Monday.", ("wrong entity or number", "major", "Tuesday")),
        ("Smith looked at it.", "Berg looked at it.", ("wrong entity or number", "major", "Smith")),
        ("Karl Olson can be called.", "Karl Olsen can be called.", ("wrong entity or number", "minor", "Olson")),
        ("She did not sign it.", "He did not sign it.", ("wrong entity or number", "major", "She")),
        ("Sales fell by 4 percent.", "Sales rose by 4 percent.", ("unsupported fact", "major", "fell")),
        ("He did sign it.", "He did not sign it.", ("unsupported fact", "critical", "He did sign it.")),
        (
            "The pier closes. Angry whales flooded the harbour in 1999.",
            "The pier closes.",
            ("unsupported fact", "major", "Angry whales flooded the harbour in 1999."),
        ),
        (
            "The authority slashed spending drastically.",
            "The authority said the work will cost 3.2 million euros.",
            ("unsupported fact", "major", "slashed spending drastically"),
        ),
        (
            "The pier closes. The pier closes for nine months. The old pier closes for nine months from March.",
            "The pier closes. The old pier closes for nine months from March.",
            ("redundancy", "minor", "The pier closes for nine months."),
        ),
        ("The the pier closes.", "The pier closes.", ("redundancy", "minor", "the")),
        ("The pier close in March.", "The pier closes in March.", ("grammar", "minor", "close")),
        ("Pier closes in March.", "The pier closes in March.", ("grammar", "minor", "Pier")),
        ("The pier closes in March", "The pier closes in March.", ("grammar", "minor", "March")),
        ("They fear for the sumer season.", "They fear for the summer season.", ("grammar", "minor", "sumer")),
        (
            "It leaves from the northern quay.",
            "The Nordhaven ferry leaves from the northern quay.",
            ("unclear", "minor", "It"),
        ),
        ("Shockingly, the pier closes.", "The pier closes.", ("tone", "minor", "Shockingly, the")),
        (
            "Write to k.olsen@nordhaven.example now.",
            "Write now.",
            ("personal data", "critical", "k.olsen@nordhaven.example"),
        ),
        ("People can call 0451 223 4455 now.", "People can call now.", ("personal data", "critical", "0451 223 4455")),
    ],
)  # fmt: skip
def test_a_plain_edit_says_what_was_wrong(draft: str, edited: str, expected: tuple[str, str, str]) -> None:
    (label,) = [change.label for change in suggest(source=SOURCE, draft=draft, edited=edited) if change.label]
    assert (label.error_type, label.severity, label.quote) == expected
    assert label.side == "summary"


@pytest.mark.parametrize(
    ("added", "severity"),
    [
        (" Ferries leave from the northern quay.", "minor"),
        (" Half of the 3.2 million euros is paid by the region.", "major"),
    ],
)
def test_something_added_is_marked_in_the_source_that_says_it(added: str, severity: str) -> None:
    draft = "The pier closes."
    (change,) = suggest(source=SOURCE, draft=draft, edited=draft + added)
    assert change.label is not None
    assert (change.label.error_type, change.label.side, change.label.severity) == (
        "omission",
        "source",
        severity,
    )
    assert SOURCE[change.label.start : change.label.end] == change.label.quote
    assert ("Ferries" in change.label.quote) == ("Ferries" in added)


@pytest.mark.parametrize(
    ("draft", "edited"),
    [
        (
            "A petition was signed by 2300 people.",
            "A petition was signed by 2,300 people.",
        ),  # the same number
        ("It closes for 9 months.", "It closes for nine months."),
        ("Berg looked at it.", "Anna Berg looked at it."),  # the same person
        ("The pier closes. Ferries leave from the northern quay.", "The pier closes."),  # true, only too long
        ("The pier closes.", "The pier closes. Whales sang in Iceland."),  # nothing the source says
        ("The pier closes.", "The pier  closes."),
        ("The pier closes.", "The pier closes.\n"),
        ("410 piles.", "977 piles."),  # a number that the source does not have either
        ("Smith looked at it.", "Brown looked at it."),
        ("It is big.", "It is large."),
        ("Residents fear for the season.", "Shop owners fear for the season."),
    ],
)
def test_where_no_rule_is_sure_nothing_is_said(draft: str, edited: str) -> None:
    assert [
        change.label for change in suggest(source=SOURCE, draft=draft, edited=edited) if change.label
    ] == []


def test_a_text_written_again_gets_no_guesses_and_costs_little() -> None:
    edited = "Completely different prose about gardens and whales in Iceland, told at length. " * 2_000
    changes = suggest(source=SOURCE, draft="The pier closes on Tuesday.", edited=edited)
    assert all(change.label is None for change in changes)


def test_on_real_summaries_planted_errors_are_named_and_seldom_misnamed() -> None:
    rng = random.Random(3)
    rows = records("cnndm-validation-1000/validation", 150)
    named = {"number": [0, 0], "foreign": [0, 0], "twice": [0, 0]}
    misnamed = 0
    for place, row in enumerate(rows):
        source, reference = row["article"], " ".join(row["reference"].split("\n"))
        planted = {
            "foreign": (reference + " " + rows[place - 7]["reference"].split("\n")[0], "unsupported fact"),
            "twice": (reference + " " + row["reference"].split("\n")[0], "redundancy"),
        }
        numbers = [it for it in find_numbers(reference) if it.text.isdigit() and it.text in row["article"]]
        if numbers:
            it = rng.choice(numbers)
            wrong = f"{reference[: it.start]}{int(it.text) + 10}{reference[it.end :]}"
            planted["number"] = (wrong, "wrong entity or number")
        for kind, (draft, expected) in planted.items():
            found = {
                change.label.error_type
                for change in suggest(source=source, draft=draft, edited=reference)
                if change.label
            }
            named[kind][0] += expected in found
            named[kind][1] += 1
            misnamed += bool(found - {expected})
    for kind, (hit, tried) in named.items():
        assert hit >= 0.9 * tried > 0, kind
    assert misnamed <= 0.02 * sum(tried for _, tried in named.values())
