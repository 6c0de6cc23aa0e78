"""What is no summary: nothing at all, or a model that declines, apologises or asks for the text. Pure."""

from __future__ import annotations

import re

from models_app.cases.matching import plain, stands_in
from models_app.texts.measures import words

# How such an answer begins. Later in a text the same words are mostly somebody's who is quoted.
_OPENINGS = (
    # English
    r"(?:i'm|i am|we're|we are) (?:(?:very|so|really) )?(?:sorry|afraid|unable|not able)",
    r"sorry\b(?:,? but)?,? (?:i|we|there|this|the (?:text|article))\b",
    r"(?:unfortunately,? )?i (?:can't|cannot|can not|can only|won't|will not|couldn't|could not|don't|do not|am unable|"
    r"must decline|have to decline|need (?:the|more))\b",
    r"i apologi[sz]e",
    r"as an? (?:ai|artificial intelligence|(?:large )?language model|assistant)\b",
    r"(?:please|could you|can you)(?: please)? (?:provide|share|paste|give|send|supply)\b",
    r"(?:there is|there's) no (?:text|article|content) (?:to|provided|here)\b",
    r"(?:no|the) (?:text|article|content) (?:was|is|has been|were)(?: not)? (?:provided|given|missing|empty)\b",
    # German
    r"(?:es )?tut mir (?:sehr )?leid\b",
    r"(?:leider )?(?:ich kann|kann ich) (?:leider |das |dies |dir |ihnen |diesen |den |die )*(?:nicht|keine?n?)\b",
    r"als (?:ki|künstliche intelligenz|sprachmodell|assistent)\b",
    r"bitte (?:geben|stellen|senden|schicken|fügen) sie\b",
    # French
    r"(?:je suis )?désolée?\b",
    r"je ne (?:peux|puis) pas\b",
    r"en tant qu(?:'ia|'assistant|e modèle)\b",
    r"veuillez (?:fournir|me fournir|coller)\b",
    # Spanish, Italian, Portuguese
    r"lo siento\b",
    r"no puedo\b",
    r"como (?:modelo de lenguaje|ia|inteligencia artificial|asistente)\b",
    r"mi dispiace\b",
    r"non posso\b",
    r"(?:desculpe|lamento)\b",
    r"não posso\b",
)
_OPENING = re.compile(rf"[\"'(*\s]*(?:{'|'.join(_OPENINGS)})")
_QUOTED_WORDS = 6


def is_empty(output: str) -> bool:
    """No word and no number."""
    return not words(output)


def refusal(output: str, article: str) -> str:
    """The words with which an output declines; nothing where it does not. What the article itself begins a sentence
    with is a quotation."""
    found = _OPENING.match(plain(output))
    if found is None:
        return ""
    opening = " ".join(output.split()[:_QUOTED_WORDS])
    return "" if stands_in(opening, article) else opening
