"""Summaries that nobody's model wrote: lead sentences with small mistakes, or references with small changes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from models_app.texts.sentences import split_sentences
from reviews.models import (
    SourceDocument,
)


def _number_slip(text: str, rng: random.Random) -> str:
    """One number with two of its digits swapped or one changed."""
    numbers = list(re.finditer(r"\b\d{2,4}\b", text))
    if not numbers:
        return text
    found = rng.choice(numbers)
    digits = found.group()
    slip = digits[1] + digits[0] + digits[2:]
    if slip == digits or slip.startswith("0"):
        slip = str(int(digits) + 10)
    return text[: found.start()] + slip + text[found.end() :]


def draft_of(document: SourceDocument, rng: random.Random) -> str:
    """What a small model that was not tuned might write: the beginning, too long, with a slip or a repetition."""
    sentences = split_sentences(document.text)
    words = " ".join(sentences[:3]).split()
    text = " ".join(words[: rng.randint(46, 62)])
    if not text.endswith((".", "”")):
        text = text.rstrip(",;:–") + "."
    kind = rng.random()
    if kind < 0.45:
        return _number_slip(text, rng)
    return f"{text} {sentences[0]}" if kind < 0.55 else text


def tuned_of(document: SourceDocument, rng: random.Random) -> str:
    """What a tuned one might write: shorter, now and then in the words of the reference, seldom with a slip."""
    if rng.random() < 0.45:
        return draft_of(document, rng)
    opening, second, *_ = split_sentences(document.text)
    *_, last = split_sentences(document.reference.replace("\n", " "))
    text = f"{opening} {last if rng.random() < 0.4 else second}"
    return _number_slip(text, rng) if rng.random() < 0.1 else text


def refined_of(document: SourceDocument, rng: random.Random) -> str:
    opening, *_ = split_sentences(document.text)
    *_, last = split_sentences(document.reference.replace("\n", " "))
    return f"{opening} {last}" if rng.random() < 0.35 else tuned_of(document, rng)


def short_of(document: SourceDocument, rng: random.Random) -> str:
    return split_sentences(document.text)[rng.randint(0, 1)]


def lead_of(document: SourceDocument, rng: random.Random) -> str:
    return " ".join(split_sentences(document.text)[:3])


Writer = Callable[[SourceDocument, random.Random], str]


class _Written:
    def __init__(self, text: str) -> None:
        self.text, self.truncated, self.finish = text, False, "stop"


class StoredOutputs:
    """Stands in for a release's engine: gives made-up texts instead of running a model."""

    def __init__(self, writer: Writer, seed: int) -> None:
        self.writer, self.rng = writer, random.Random(seed)
        self.documents = {document.text: document for document in SourceDocument.objects.filter(split="test")}

    def __enter__(self) -> StoredOutputs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, articles: Sequence[tuple[str, str, str]]) -> list[_Written]:
        return [_Written(self.writer(self._document(text), self.rng)) for text, _, _ in articles]

    def _document(self, text: str) -> SourceDocument:
        """One that stands in for it where it is no test document: behavioural cases change their articles."""
        return self.documents.get(text) or SourceDocument(text=text, reference=text)
