from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.texts.comment_classes import COMPLAINTS, classify_comment, comment_classes
from models_app.texts.comment_cues import CommentClass, find_cues
from models_app.texts.sentiment import sentiment

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "reviews" / "loop" / "sample" / "comments.jsonl"
JUDGED = [line.split("\t") for line in (HERE / "comments.tsv").read_text(encoding="utf-8").splitlines()]
KINDS = {"wrong number", "wrong name", "not in the source"}


def share(right: list[bool]) -> float:
    return sum(right) / len(right)


def test_comments_get_the_class_that_a_person_gave_them() -> None:
    assert len(JUDGED) == 160
    assert share([classify_comment(text) == wanted for _, wanted, text in JUDGED]) >= 0.97


def test_comments_get_the_sentiment_that_a_person_gave_them() -> None:
    assert share([sentiment(text).label == wanted for wanted, _, text in JUDGED]) >= 0.97


def test_comments_of_the_sample_get_the_class_of_their_kind() -> None:
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    wanted = {"repetition": "unclear wording"} | dict.fromkeys(KINDS, "factual error")
    single = [row for row in rows if row["kind"] != "mixed"]
    right = [classify_comment(row["comment"]) == wanted.get(row["kind"], row["kind"]) for row in single]
    assert share(right) >= 0.85


def test_sentiment_follows_the_stars_of_the_sample() -> None:
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    few = [sentiment(row["comment"]).score for row in rows if row["stars"] <= 2]
    many = [sentiment(row["comment"]).score for row in rows if row["stars"] >= 4]
    assert share([low < high for low in few for high in many]) >= 0.9


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("No errors.", "praise"),
        ("There are errors.", "factual error"),
        ("Not accurate.", "factual error"),
        ("Accurate.", "praise"),
        ("Not clear.", "unclear wording"),
        ("Could be clearer.", "unclear wording"),
        ("Not too long.", "praise"),
        ("Not concise.", "too long"),
        ("Not complete.", "missing information"),
        ("Nothing is missing.", "praise"),
        ("Not only accurate but also short and clear.", "praise"),
    ],
)
def test_a_negation_turns_a_cue_round(text: str, wanted: str) -> None:
    assert classify_comment(text) == wanted


def test_bad_news_in_the_article_is_no_displeasure() -> None:
    for text in (
        "Covers the killings, the war and the attack, all correct.",
        "The death toll and the name of the murderer are right.",
        "A clear summary of an awful crime.",
    ):
        assert sentiment(text).label == "positive"
    assert sentiment("The article is about a terrorist attack that killed ten people.").score == 0


def test_a_comment_about_several_things_is_counted_under_the_gravest() -> None:
    text = "Too long, the tone is off, it doesn't mention the price and the year is wrong."
    assert comment_classes(text) == (
        CommentClass.FACTUAL_ERROR,
        CommentClass.MISSING,
        CommentClass.TOO_LONG,
        CommentClass.TONE,
    )
    assert classify_comment(text) is CommentClass.FACTUAL_ERROR


def test_praise_beside_a_fault_is_no_praise() -> None:
    assert comment_classes("Great, but the date is missing.") == (CommentClass.MISSING,)


def test_complaints_are_all_classes_but_praise_and_other() -> None:
    assert set(CommentClass) - set(COMPLAINTS) == {CommentClass.PRAISE, CommentClass.OTHER}


def test_cues_can_be_shown_where_they_stand() -> None:
    text = "İ think it’s GREAT, but the “date” is wrong"
    assert [text[cue.start : cue.end] for cue in find_cues(text)] == ["GREAT", "wrong"]


def test_nothing_known_is_other_and_neutral() -> None:
    for text in ("", "   ", "???", "Die Zusammenfassung lässt den Preis weg.", "要約は良い", "12345"):
        assert classify_comment(text) is CommentClass.OTHER
        assert sentiment(text) == sentiment("")
        assert sentiment(text).label == "neutral"


@given(st.text(max_size=300))
def test_any_comment_gets_a_class_and_a_score_between_minus_one_and_one(text: str) -> None:
    assert comment_classes(text)
    assert -1 <= sentiment(text).score <= 1
    assert all(0 <= cue.start < cue.end <= len(text) for cue in find_cues(text))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["not ", "confuses ", "what is ", "says x ", "leaves it ", "it is the ", '"', "no "]
)
def test_a_hostile_comment_costs_no_more_than_its_length(piece: str) -> None:
    assert comment_classes(piece * 5000)
