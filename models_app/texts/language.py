"""Which language a text is written in: as `py3langid` says, offline, and the same each time. Nothing is said of texts
that are too short for that, or of which it is not sure."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

#: Characters at the beginning of a text that are looked at: articles begin in the language they go on in, and each
#: character costs time with every document of an import.
LOOKED_AT = 240
#: Bytes of letters, as UTF-8: 20 letters of English, 10 of Greek or Russian, 7 of Chinese.
LEAST_BYTES = 20
LEAST_CONFIDENCE = 0.6
_NO_LANGUAGE = "zxx"


def language_of(text: str) -> str:
    """A code of ISO 639-1 such as "en", or nothing where the text does not tell."""
    beginning = text[:LOOKED_AT]
    letters = "".join(filter(str.isalpha, beginning))
    if len(letters.encode(errors="replace")) < LEAST_BYTES:
        return ""
    code, confidence = _identifier().classify(beginning)
    return "" if confidence < LEAST_CONFIDENCE or code == _NO_LANGUAGE else str(code)


@functools.cache
def _identifier() -> LanguageIdentifier:
    """Loaded on use: its model takes most of a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
