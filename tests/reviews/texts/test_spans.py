import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.texts import spans

FAMILY = "👨‍👩‍👧"
TEXTS = [
    "plain",
    f"a{FAMILY}b 🇩🇪🇫🇷 e\u0301a",
    "שָׁלוֹם עולם",
    "नमस्ते दुनिया",
    "각각",
    "line\r\nline",
]


def utf16_length(text: str) -> int:
    """What a browser counts."""
    return len(text.encode("utf-16-le")) // 2


@given(st.text(st.characters(exclude_categories=["Cs"])), st.data())
def test_offsets_come_back_from_what_a_browser_counts(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    assert spans.from_utf16(text, utf16_length(text[:offset])) == offset


@given(
    st.text(st.sampled_from(["a", " ", "\n", "\u0301", "👍", "🏽", "\u200d", "🇩", "\u0600", "م", "\u0651"])),
    st.data(),
)
def test_a_snapped_span_is_whole_stays_put_and_keeps_what_was_marked(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    if not text[start:end].strip():
        return
    first, last = spans.snapped(text, start, end)
    assert spans.snapped(text, first, last) == (first, last)
    assert text[start:end].strip() in text[first:last]


def test_an_emoji_before_a_span_does_not_move_it() -> None:
    text = f"{FAMILY} says 410 piles"
    selected = text.index("410")
    assert utf16_length(text[:selected]) == selected + 3
    first, last = (spans.from_utf16(text, offset) for offset in (selected + 3, selected + 6))
    assert spans.snapped(text, first, last) == (selected, selected + 3)


@pytest.mark.parametrize(
    ("text", "start", "end", "whole"),
    [
        (f"a{FAMILY}b", 2, 3, FAMILY),
        ("🇩🇪🇫🇷", 0, 1, "🇩🇪"),
        ("cafe\u0301 noir", 3, 4, "e\u0301"),
        ("  word  ", 0, 8, "word"),
        ("नमस्ते", 4, 5, "स्ते"),
        ("one\r\ntwo", 0, 5, "one"),
    ],
)
def test_a_span_never_cuts_what_a_reader_takes_for_one_character(
    text: str, start: int, end: int, whole: str
) -> None:
    assert text[slice(*spans.snapped(text, start, end))] == whole


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 2), (0, 99), (5, 6)])
def test_what_is_no_stretch_of_the_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match=r"stretch|white space"):
        spans.snapped("five: chars", start, end)


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_text_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="lies outside"):
        spans.from_utf16("abc", offset)


def test_half_an_emoji_counts_from_its_beginning() -> None:
    assert spans.from_utf16("a👍b", 2) == 1


def test_a_quote_of_another_version_is_found_out() -> None:
    assert spans.quotes("410 piles", 0, 3, "410")
    assert not spans.quotes("140 piles", 0, 3, "410")
    assert not spans.quotes("410", 0, 9, "410")


def test_a_place_between_two_sentences_belongs_to_the_earlier() -> None:
    text = "One is here.  Two is there."
    found = spans.sentences(text)
    assert spans.sentence_at(found, 3) == spans.sentence_at(found, 13) == (0, 12)
    assert spans.sentence_at(found, 14) == (14, 27)
    assert spans.sentence_at([], 0) is None


def test_fifty_thousand_words_are_no_burden() -> None:
    text = f"{FAMILY} wörter\n" * 25_000
    assert text[slice(*spans.snapped(text, len(text) - 7, len(text) - 5))] == "wö"
