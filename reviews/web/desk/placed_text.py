"""Texts in lines, for pages that point at places in them."""

from __future__ import annotations


def placed_paragraphs(text: str) -> list[tuple[int, str]]:
    """The lines with something in them, each with where it begins, in code points."""
    found, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            found.append((at, line))
        at += len(line) + 1
    return found


def paragraphs(text: str) -> list[str]:
    return [paragraph for _, paragraph in placed_paragraphs(text)]
