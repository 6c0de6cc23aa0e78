"""What text is, once it is in: cleaned the same way wherever it comes from."""

from __future__ import annotations

import re
import unicodedata

# Controls but tab and line feed, invisible joiners, byte order marks, and halves of characters that no encoding has.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalise(text: str) -> str:
    """Unicode NFC, plain line breaks, no control characters, single spaces, at most one blank line."""
    # Most texts are clean, and looking is many times faster than replacing.
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).replace("\u2028", "\n").replace("\u2029", "\n\n")
    lines = "\n" in text
    if not (text.replace("\n", "") if lines else text).isprintable():
        text = _CONTROL.sub("", text)
    if "  " in text or "\t" in text or "\u00a0" in text:
        text = _SPACES.sub(" ", text)
    if lines:
        text = "\n".join([line.strip() for line in text.split("\n")])
    return (_BLANK_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip()


def row_number(text: str) -> int | None:
    """The number of a row that a text names; None where it is none that a table could have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def one_line(text: str) -> str:
    """For titles and names."""
    return " ".join(normalise(text).split())
