"""Fingerprints of public sets: what occurs in them is found, and nothing can be read out of them."""

from __future__ import annotations

import numpy as np
import pytest

from models_app.texts.near_duplicates import SKETCH, shingles
from models_app.texts.public_sets import Fingerprint, fingerprints, occurring
from tests.texts.test_overlaps import article

KNOWN = [article(f"known {number}") for number in range(200)]
PRINTS = fingerprints(KNOWN)


def occurs(text: str, known: list[Fingerprint] = PRINTS) -> list[tuple[int, float]]:
    return [(place, share) for _, place, share in occurring(list(shingles([text])), known)]


def test_a_text_that_is_there_is_found_however_it_is_written() -> None:
    assert occurs(KNOWN[17]) == [(17, 1.0)]
    assert occurs(KNOWN[17].upper().replace(" ", "  ")) == [(17, 1.0)]


def test_a_half_and_a_text_of_twice_the_length_are_found() -> None:
    words = KNOWN[3].split()
    assert occurs(" ".join(words[:150]))[0][0] == 3
    assert occurs(f"{KNOWN[3]} {article('more')}")[0][0] == 3


def test_other_texts_do_not_occur() -> None:
    assert [occurs(article(f"other {number}")) for number in range(100)] == [[]] * 100


def test_a_half_that_was_rewritten_does_not_occur() -> None:
    words = KNOWN[5].split()
    assert occurs(" ".join([*words[:150], *article("rewritten", 150).split()])) == []


def test_short_texts_occur_only_as_they_are() -> None:
    known = fingerprints(["The old pier closes for nine months.", "Yes."])
    assert occurs("The old pier closes, for nine months!", known) == [(0, 1.0)]
    assert occurs("The old pier closes", known) == []
    assert occurs("yes", known) == [(1, 1.0)]


def test_nothing_is_kept_but_64_numbers() -> None:
    assert {len(one.sketch) for one in PRINTS} == {8 * SKETCH}
    assert not any(word.encode() in one.sketch for one in PRINTS for word in ("bal", "bel", "mor"))


def test_nothing_against_nothing() -> None:
    assert list(occurring([], PRINTS)) == []
    assert list(occurring(list(shingles(["", KNOWN[0]])), [])) == []
    assert fingerprints(["", "…"]) == [Fingerprint(b"", 0), Fingerprint(b"", 0)]


def sketch(*numbers: int) -> bytes:
    return np.array(numbers, dtype="<u8").tobytes()


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Fingerprint(b"", 1), "64-bit numbers"),
        (Fingerprint(b"1234567", 1), "64-bit numbers"),
        (Fingerprint(sketch(2, 1), 2), "lowest first"),
        (Fingerprint(sketch(1, 1), 2), "lowest first"),
        (Fingerprint(sketch(*range(65)), 65), "at most 64"),
        (Fingerprint(sketch(1, 2), 1), "has no more"),
        (Fingerprint(sketch(1, 2), 500), "has no more"),
    ],
)
def test_what_is_no_fingerprint_is_told(one: Fingerprint, words: str) -> None:
    assert words in one.mistakes()


def test_fingerprints_that_galley_makes_are_right() -> None:
    assert {one.mistakes() for one in (*PRINTS, *fingerprints(["a", "a b c d", article("x", 66)]))} == {""}
