"""What is asserted of a summary, and whether it holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.cases import assertions
from models_app.cases.assertions import (
    KINDS,
    Answers,
    AtMostWords,
    Contains,
    FollowsRenaming,
    GoldenAnswer,
    KeepsLanguage,
    KeepsNumber,
    Lacks,
    Outcome,
    Test,
    UnchangedByRenaming,
    UnchangedByTypos,
    UnchangedByUpperCase,
    Written,
    WrongAssertion,
    assertion_of,
    contradictions,
    judge,
    to_json,
)
from models_app.cases.changes import Article
from models_app.cases.distances import word_edit_share
from models_app.cases.matching import stands_in
from models_app.cases.refusals import refusal

ARTICLE = Article(
    "Anna Berg, the mayor of Nordhaven, said on Monday that the old pier closes for nine months, because 140 of its "
    "piles are rotten.\n\nBerg's plan costs 3.2 million euros. Shop owners near the pier fear for the season.",
    "Berg closes the pier",
)
SUMMARY = "Mayor Anna Berg closes the old pier for nine months: 140 piles are rotten."


def outcome(assertion: Any, output: str = SUMMARY, changed: str = "") -> str:
    change = assertion.change()
    others = {change.key: changed} if change else {}
    verdict, found = judge([assertion], Written(ARTICLE, output, others))
    assert len(found) == 1
    assert found[0].words
    return verdict.value


# ---------------------------------------------------------------- each kind


@pytest.mark.parametrize(
    ("assertion", "output", "expected"),
    [
        (Contains("old pier"), SUMMARY, "pass"),
        (Contains("OLD  PIER"), SUMMARY, "pass"),
        (Contains("old pier", match_case=True), "The Old Pier closes.", "fail"),
        (Contains("pie"), SUMMARY, "fail"),
        (Contains("14"), SUMMARY, "fail"),
        (Contains("Berg’s"), "It is Berg's plan.", "pass"),
        (Contains("東京"), "昨日東京都で火事があった。", "pass"),
        (Lacks("new pier"), SUMMARY, "pass"),
        (Lacks("rotten"), SUMMARY, "fail"),
        (KeepsNumber("140"), SUMMARY, "pass"),
        (KeepsNumber("3.2 million"), "It costs 3,200,000 euros.", "pass"),
        (KeepsNumber("nine"), "For 9 months.", "pass"),
        (KeepsNumber("140"), "410 piles are rotten.", "fail"),
        (KeepsNumber("140"), "Many piles are rotten.", "fail"),
        (AtMostWords(14), SUMMARY, "pass"),
        (AtMostWords(13), SUMMARY, "fail"),
        (KeepsLanguage(), SUMMARY, "pass"),
        (KeepsLanguage(), "Der alte Pier schließt für neun Monate, sagte die Bürgermeisterin am Montag.", "fail"),
        (KeepsLanguage("de"), "Der alte Pier schließt für neun Monate, sagte die Bürgermeisterin am Montag.", "pass"),
        (KeepsLanguage(), "140!", "undecided"),
        (Answers(), SUMMARY, "pass"),
        (Answers(), "I'm sorry, but I can't help with that.", "fail"),
        (Answers(), "As an AI language model, I cannot read files.", "fail"),
        (GoldenAnswer(SUMMARY), SUMMARY.upper(), "pass"),
        (GoldenAnswer("The old pier closes for nine months."), SUMMARY, "fail"),
        (GoldenAnswer("The old pier closes for nine months.", 0.65), SUMMARY, "pass"),
    ],
)  # fmt: skip
def test_a_minimum_functionality_test_looks_at_the_summary(
    assertion: Any, output: str, expected: str
) -> None:
    assert assertion.test is Test.FUNCTIONALITY
    assert outcome(assertion, output) == expected


@pytest.mark.parametrize(
    ("assertion", "changed", "expected"),
    [
        (UnchangedByTypos(), SUMMARY, "pass"),
        (UnchangedByTypos(), "Something else was written about something else in other words.", "fail"),
        (UnchangedByUpperCase(distance=0), SUMMARY.upper(), "pass"),
        (UnchangedByUpperCase(), "", "fail"),
        (
            UnchangedByRenaming("Anna Berg", "Clara Holm", 0),
            SUMMARY.replace("Anna Berg", "Clara Holm"),
            "pass",
        ),
        (UnchangedByRenaming("Anna Berg", "Clara Holm", 0), SUMMARY, "fail"),
    ],
)
def test_an_invariance_test_compares_with_the_summary_of_the_changed_article(
    assertion: Any, changed: str, expected: str
) -> None:
    assert assertion.test is Test.INVARIANCE
    assert outcome(assertion, changed=changed) == expected


@pytest.mark.parametrize(
    ("output", "changed", "expected"),
    [
        (SUMMARY, SUMMARY.replace("Anna Berg", "Clara Holm"), "pass"),
        (SUMMARY, "Holm closes the old pier.", "pass"),
        (SUMMARY, SUMMARY, "fail"),
        (SUMMARY, "The old pier closes.", "fail"),
        ("The old pier closes.", "The old pier closes.", "pass"),
        (SUMMARY, "", "fail"),
    ],
)
def test_a_directional_test_asks_that_the_new_name_comes_through(
    output: str, changed: str, expected: str
) -> None:
    assertion = FollowsRenaming("Anna Berg", "Clara Holm")
    assert assertion.test is Test.DIRECTION
    assert outcome(assertion, output, changed) == expected


@pytest.mark.parametrize("output", ["", " \n ", "…", "!?"])
@pytest.mark.parametrize(
    "assertion", [Lacks("Galveston"), AtMostWords(60), Answers(), UnchangedByUpperCase()]
)
def test_a_summary_without_a_word_passes_nothing(assertion: Any, output: str) -> None:
    assert outcome(assertion, output, output) == "fail"


def test_a_case_fails_where_one_assertion_does_and_is_undecided_where_one_is() -> None:
    written = Written(ARTICLE, "140!", {})
    assert judge([KeepsNumber("140")], written)[0] is Outcome.PASS
    assert judge([KeepsNumber("140"), KeepsLanguage()], written)[0] is Outcome.UNDECIDED
    assert judge([KeepsNumber("140"), KeepsLanguage(), Contains("pier")], written)[0] is Outcome.FAIL


# ---------------------------------------------------------------- what it stands on


def test_the_word_edit_share_counts_words_of_the_longer_text() -> None:
    assert word_edit_share("The old pier closes", "the old pier closes.") == 0
    assert word_edit_share("one two three four", "one two three five") == 0.25
    assert word_edit_share("one two", "one two three four") == 0.5
    assert word_edit_share("", "one two") == 1
    assert word_edit_share("", "…") == 0


@given(
    st.lists(st.sampled_from(["pier", "old", "9"]), max_size=8),
    st.lists(st.sampled_from(["pier", "new"]), max_size=8),
)
def test_the_word_edit_share_is_a_symmetric_share(one: list[str], other: list[str]) -> None:
    first, second = " ".join(one), " ".join(other)
    assert 0 <= word_edit_share(first, second) <= 1
    assert word_edit_share(first, second) == word_edit_share(second, first)
    assert (word_edit_share(first, second) == 0) == (one == other)


@pytest.mark.parametrize(
    ("output", "declines"),
    [
        ("I am sorry, but I cannot do that.", True),
        ("Sorry, there is no article.", True),
        ("Unfortunately, I can't read it.", True),
        ("Please provide the text of the article.", True),
        ("The text was not provided.", True),
        ("Ich kann das leider nicht zusammenfassen.", True),
        ("Désolé, je ne peux pas.", True),
        ("Sorry state of the pier worries owners.", False),
        ("The text was published in 1999.", False),
        ("Officials said: I'm sorry, but we can't pay.", False),
    ],
)
def test_a_refusal_is_known_by_how_it_begins(output: str, declines: bool) -> None:
    assert bool(refusal(output, ARTICLE.text)) is declines


def test_what_the_article_itself_says_is_a_quotation() -> None:
    said = "I cannot sleep, said Anna Berg."
    assert refusal(said, "Nothing of the kind.")
    assert refusal(said, f"She looked tired. “{said}” Then she left.") == ""


def test_nothing_stands_in_nothing() -> None:
    assert not stands_in("pier", "")
    with pytest.raises(ValueError, match="nothing is sought"):
        stands_in(" ", "pier")


# ---------------------------------------------------------------- written by people and programs


SETTINGS: dict[str, dict[str, Any]] = {
    "contains": {"text": "old pier"},
    "lacks": {"text": "new pier"},
    "number": {"number": "140"},
    "golden answer": {"answer": SUMMARY},
    "renamed person": {"name": "Anna Berg", "to": "Clara Holm"},
    "follows a renamed person": {"name": "Anna Berg", "to": "Clara Holm"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_and_read_again(kind: str) -> None:
    made = assertion_of({"kind": kind, **SETTINGS.get(kind, {})})
    assert made.mistakes(ARTICLE) == {}
    assert assertion_of(to_json(made)) == made
    assert made.words()
    assert made.label


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([], ""),
        ("contains", ""),
        ({}, "kind"),
        ({"kind": "unknown"}, "kind"),
        ({"kind": ["contains"]}, "kind"),
        ({"kind": "contains"}, "text"),
        ({"kind": "contains", "text": "\0\ud800 "}, "text"),
        ({"kind": "contains", "text": "x" * 501}, "text"),
        ({"kind": "contains", "text": 5}, "text"),
        ({"kind": "contains", "text": "x", "match_case": 1}, "match_case"),
        ({"kind": "contains", "text": "x", "more": 1}, ""),
        ({"kind": "length", "most": 0}, "most"),
        ({"kind": "length", "most": -5}, "most"),
        ({"kind": "length", "most": 10**400}, "most"),
        ({"kind": "length", "most": True}, "most"),
        ({"kind": "length", "most": 5.5}, "most"),
        ({"kind": "golden answer", "answer": "x", "distance": float("nan")}, "distance"),
        ({"kind": "golden answer", "answer": "x", "distance": float("inf")}, "distance"),
        ({"kind": "golden answer", "answer": "x", "distance": 1}, "distance"),
        ({"kind": "golden answer", "answer": "x", "distance": -0.1}, "distance"),
        ({"kind": "typos", "share": 0}, "share"),
        ({"kind": "typos", "seed": -1}, "seed"),
        ({"kind": "language", "language": "deutsch"}, "language"),
    ],
)
def test_what_is_no_assertion_is_refused_at_its_field(values: Any, field: str) -> None:
    with pytest.raises(WrongAssertion) as refused:
        assertion_of(values)
    assert list(refused.value.fields) == [field]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"kind": "number", "number": "141"}, "number", "does not have the number 141"),
        ({"kind": "number", "number": "many"}, "number", "One number"),
        ({"kind": "number", "number": "3 of 140"}, "number", "One number"),
        ({"kind": "language", "language": "DE"}, "language", "small letters"),
        ({"kind": "golden answer", "answer": "…"}, "answer", "has words"),
        ({"kind": "renamed person", "name": "Otto", "to": "Clara"}, "name", "does not name Otto"),
        ({"kind": "renamed person", "name": "Anna Berg", "to": "Clara Berg"}, "", ""),
        (
            {"kind": "renamed person", "name": "Anna Berg", "to": "Nordhaven"},
            "name",
            "has “Nordhaven” already",
        ),
        ({"kind": "renamed person", "name": "Berg", "to": "Berg"}, "name", "another than the old one"),
    ],
)
def test_what_an_article_cannot_meet_is_a_mistake(values: dict[str, Any], field: str, words: str) -> None:
    wrong = assertion_of(values).mistakes(ARTICLE)
    assert list(wrong) == ([field] if words else [])
    assert words in wrong.get(field, "")


def test_one_paragraph_cannot_be_shuffled_nor_digits_put_in_upper_case() -> None:
    assert "one paragraph" in assertion_of({"kind": "shuffled paragraphs"}).mistakes(Article("One line."))[""]
    assert "no lower-case" in assertion_of({"kind": "upper case"}).mistakes(Article("140 東京"))[""]
    assert "no word of four letters" in assertion_of({"kind": "typos"}).mistakes(Article("A pie or so."))[""]
    assert "cannot be told" in assertion_of({"kind": "language"}).mistakes(Article("140 140 140"))["language"]


def test_what_contradicts_another_or_stands_twice_is_told_at_the_later_one() -> None:
    wrong = contradictions([Contains("the old pier"), Lacks("old pier"), Answers(), Answers()])
    assert list(wrong) == [1, 3]
    assert "No summary that contains “the old pier” can meet this" in wrong[1]
    assert list(contradictions([Lacks("pier"), Contains("old PIER")])) == [1]
    assert contradictions([Contains("Berg"), Lacks("BERG", match_case=True)]) == {}


def test_numbers_that_are_equal_are_written_the_same() -> None:
    """The database gives back one zero; a digest over another would never hold again."""
    written = [to_json(assertion_of({"kind": "upper case", "distance": zero})) for zero in (0, 0.0, -0.0)]
    assert {repr(values["distance"]) for values in written} == {"0.0"}


PINNED = 1


def test_what_this_version_gives_is_pinned() -> None:
    """A change of it raises VERSION: results of two versions are not compared."""
    assert assertions.VERSION == PINNED
    typos = UnchangedByTypos(0.1, 7).change()
    assert typos is not None
    assert typos.make(ARTICLE).text == ARTICLE.text.replace("nine", "nnie").replace("fear", "faer")
