from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]

from models_app.texts.stemming import stem
from tests.evaluation.shared_data import records

THEIRS = PorterStemmer()
ENDINGS = (
    "s es ies sses ss ied eed ed ing y ly alli ational tional enci anci izer bli entli eli ousli ization "
    "ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical "
    "ful ness al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize e ll l at bl "
    "iz "
)
IRREGULAR = "sky skies dying news innings proceed succeed howe died ties geology yyyy 1990s"


@given(
    st.text("aeiouybctlszwx1", max_size=6),
    st.lists(st.sampled_from(ENDINGS.split()), max_size=3).map("".join),
)
def test_every_combination_of_endings_gets_the_stem_that_nltk_gives(beginning: str, endings: str) -> None:
    assert stem(beginning + endings) == THEIRS.stem(beginning + endings)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=4))
def test_any_token_keeps_a_stem_of_letters_and_digits(word: str) -> None:
    assert stem(word) == THEIRS.stem(word)
    assert re.fullmatch("[a-z0-9]+", stem(word))


@pytest.mark.parametrize("word", IRREGULAR.split())
def test_irregular_forms_follow_nltk(word: str) -> None:
    assert stem(word) == THEIRS.stem(word)


def test_every_word_of_a_thousand_news_articles_gets_the_stem_that_nltk_gives() -> None:
    rows = records("cnndm-validation-1000/validation")
    words = {
        word
        for row in rows
        for word in re.findall("[a-z0-9]+", f"{row['article']} {row['reference']}".lower())
    }
    different = [word for word in words if stem(word) != THEIRS.stem(word)]
    assert len(words) > 20_000
    assert different == []
