"""Whether a text stands in another. Pure."""

from __future__ import annotations

import re
import unicodedata

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "‑": "-"})
# Scripts that write no spaces between words, where a border between two of them means nothing.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def plain(text: str, *, match_case: bool = False) -> str:
    """Compatibility forms, kinds of quotation marks and dashes, runs of white space and (unless told otherwise) case
    taken off."""
    text = " ".join(unicodedata.normalize("NFKC", text).translate(_QUOTES).split())
    return text if match_case else text.casefold()


def stands_in(sought: str, text: str, *, match_case: bool = False) -> bool:
    """Whether `text` has the words `sought` one after another: "art" does not stand in "party", nor "14" in "140".

    Raises ValueError where nothing is sought.
    """
    needle, haystack = plain(sought, match_case=match_case), plain(text, match_case=match_case)
    if not needle:
        raise ValueError("nothing is sought")
    start = haystack.find(needle)
    while start >= 0:
        end = start + len(needle)
        if not (joined(haystack, start) or joined(haystack, end)):
            return True
        start = haystack.find(needle, start + 1)
    return False


def joined(text: str, place: int) -> bool:
    """Whether the characters before and after this place belong to one word."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if not (_is_of_a_word(before) and _is_of_a_word(after)):
        return False
    return not (_UNSPACED.match(before) or _UNSPACED.match(after))


def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
