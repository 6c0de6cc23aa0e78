"""Elements of a drawing, as markup ready for a template."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(conditional_escape(_NOT_XML.sub("", str(value))))


def tag(name: str, *content: str, **attributes: object) -> SafeString:
    """An element. Plain strings are escaped; `class_` and `text_anchor` become class and text-anchor."""
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{_written(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(
        piece if isinstance(piece, SafeString) else conditional_escape(_NOT_XML.sub("", piece))
        for piece in content
    )
    # Everything in it went through conditional_escape.
    return mark_safe(f"<{name}{''.join(pairs)}>{inner}</{name}>")  # nosec B308 B703


def join(pieces: Iterable[SafeString]) -> SafeString:
    return mark_safe("".join(pieces))  # nosec B308 B703


def svg(kind: str, title: str, width: float, height: float, *content: SafeString) -> SafeString:
    return tag(
        "svg",
        tag("title", title),
        *content,
        class_=f"chart {kind}",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> SafeString:
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def text(x: float, y: float, words: str, class_: str | None = None, anchor: str | None = None) -> SafeString:
    return tag("text", words, x=float(x), y=float(y), class_=class_, text_anchor=anchor)
