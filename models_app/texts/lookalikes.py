"""Letters that look like Latin ones: Cyrillic "а", Greek "Α" and Lisu "ꓮ" are read as "a". Pure.

Of the confusables of Unicode (UTS 39) those that nobody sees in running text, and that neither compatibility forms
(mathematical and full-width letters) nor case take away.

A text has to come out the same in capitals and in small letters. So a letter is read as what it looks like, which
depends on its case ("Ν" is an N, "ν" a v), only in a word that has Latin letters too. Elsewhere it is read as what its
capital looks like: a text of its own script stays a text of its own, letter by letter.
"""

from __future__ import annotations

import re
import unicodedata

_CAPITALS = {
    "a": "ΑАᎪꓮ", "b": "ΒВᏴꓐ", "c": "СᏟꓚ", "d": "Ꭰꓓ", "e": "ΕЕᎬꓰ", "f": "ꓝϜ", "g": "ꓖᏀԌ", "h": "ΗНᎻꓧ", "i": "ΙІӀꓲ",
    "j": "ЈᎫꓙͿ", "k": "ΚКᏦꓗ", "l": "Ꮮꓡ", "m": "ΜМᎷꓟϺ", "n": "Νꓠ", "o": "ΟОꓳՕ", "p": "ΡРᏢꓑ", "q": "Ԛ", "r": "ꓣᏒ",
    "s": "ЅᏚꓢՏ", "t": "ΤТᎢꓔ", "u": "ꓴՍ", "v": "ѴᏙꓦ", "w": "ԜᎳꓪ", "x": "ΧХꓫ", "y": "ΥУҮꓬ", "z": "ΖᏃꓜ",
}  # fmt: skip
_SMALL = {
    "a": "аɑαᴀ", "b": "ƅʙ", "c": "сᴄ", "d": "ԁᴅ", "e": "еҽᴇ", "f": "ք", "g": "ɡցɢ", "h": "һհʜ", "i": "іıɩιɪ",
    "j": "јϳȷᴊ", "k": "кᴋ", "l": "ӏʟ", "m": "мᴍ", "n": "ոηɴ", "o": "оοօσᴏ", "p": "рρᴘ", "q": "ԛգ", "r": "гʀ", "s": "ѕꜱ",
    "t": "тᴛ", "u": "սυʋᴜ", "v": "ѵνᴠ", "w": "ԝѡᴡ", "x": "хχ", "y": "уγүʏ", "z": "ᴢ",
}  # fmt: skip

# Words with a letter that is not ASCII, from their beginning: replacing in those alone costs a fraction.
_STRANGE = re.compile(r"(?<![^\W\d_])[A-Za-z]*+[^\x00-\x7f\W\d_][^\W\d_]*+")
_LATIN = re.compile(r"[A-Za-z]")
_ALIKE = [(alike, letter) for table in (_SMALL, _CAPITALS) for letter, row in table.items() for alike in row]
_AS_SEEN = {ord(alike): letter for alike, letter in _ALIKE}
_AS_CAPITAL = {
    ord(alike.casefold()): letter
    for alike, letter in _ALIKE
    if alike in "".join(_CAPITALS.values()) or unicodedata.name(alike).startswith("LATIN")
}


def in_latin(text: str) -> str:
    """The text without case, its look-alikes as the letters that a reader takes them for."""
    return _STRANGE.sub(_word, text).casefold()


def _word(found: re.Match[str]) -> str:
    word = found[0]
    if _LATIN.search(word):
        word = word.translate(_AS_SEEN)
    return word.casefold().translate(_AS_CAPITAL)
