"""The case that a summary with a fault suggests: what to assert, so that the fault does not come back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from models_app.cases.assertions import (
    Answers,
    Assertion,
    AtMostWords,
    Contains,
    GoldenAnswer,
    KeepsLanguage,
    KeepsNumber,
    Lacks,
)
from models_app.cases.refusals import is_empty, refusal
from models_app.texts.comment_classes import comment_classes
from models_app.texts.comment_cues import CommentClass
from models_app.texts.language import language_of
from models_app.texts.measures import (
    find_numbers,
    unsupported_names,
    unsupported_numbers,
    words,
)

MOST_OF_A_KIND = 4


def suggested(
    *, article: str, summary: str, corrected: str = "", comments: Sequence[str] = ()
) -> list[Assertion]:
    """From what was written, what it was corrected to, and what people said of it. A person looks at it before it
    counts: it is a beginning."""
    about = {found for comment in comments for found in comment_classes(comment)}
    found: list[Assertion] = [
        *(Lacks(number) for number in unsupported_numbers(article, summary)[:MOST_OF_A_KIND]),
        *(Lacks(name) for name in unsupported_names(article, summary)[:MOST_OF_A_KIND]),
    ]
    if corrected:
        found += [KeepsNumber(number) for number in _put_right(article, summary, corrected)[:MOST_OF_A_KIND]]
        found.append(GoldenAnswer(corrected))
    elif CommentClass.MISSING in about:
        found.append(Contains(""))
    if CommentClass.TOO_LONG in about:
        most = len(words(corrected)) if corrected else max(1, len(words(summary)) * 3 // 4)
        found.append(AtMostWords(most))
    if (known := language_of(article)) and language_of(summary) not in ("", known):
        found.append(KeepsLanguage())
    if not found or is_empty(summary) or refusal(summary, article):
        found.append(Answers())
    return found


def _put_right(article: str, summary: str, corrected: str) -> list[str]:
    """Numbers of the article that the correction has and the summary lacks, each value once."""
    there = {value for number in find_numbers(summary) for value in number.values}
    known = {value for number in find_numbers(article) for value in number.values}
    missing = {
        number.values: number.text
        for number in reversed(find_numbers(corrected))
        if there.isdisjoint(number.values) and not known.isdisjoint(number.values)
    }
    return list(missing.values())[::-1]
