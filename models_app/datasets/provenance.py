"""What the human side knows of training rows: how they came about, and what people marked in them.

Rows name where they came from ("feedback:17"); who made them knows more. It is asked by the dotted name in the
settings, since this side of Galley never learns of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class KnownRow:
    """`reviewed`: a person read the summary beside its article. `in_summary`, `in_article`: passages that reviewers
    marked as personal data. `refused`: why a person took it back since because of personal data."""

    reviewed: bool
    in_summary: tuple[str, ...] = ()
    in_article: tuple[str, ...] = ()
    refused: str = ""


def known_of_rows(origins: Collection[str]) -> Mapping[str, KnownRow]:
    """By origin; nothing of those that nobody knows any more."""
    ask: Callable[[Collection[str]], Mapping[str, KnownRow]] = import_string(settings.GALLEY_KNOWN_OF_ROWS)
    return ask(origins)
