"""The loop from documents to the live release, drawn for wide screens and listed for narrow ones."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.utils.safestring import SafeString

from models_app.web.svg import join, tag, text

StageState = Literal["hot", "active", "quiet"]
_WIDE, _HIGH = 1000, 452
_BOX_WIDE, _BOX_HIGH = 152, 76
_RADIUS_X, _RADIUS_Y = 412.0, 172.0


@dataclass(frozen=True)
class Stage:
    """A stage of the loop: what it holds and what waits there. `hot` needs people, `active` is at work."""

    label: str
    value: str
    note: str
    url: str
    state: StageState = "quiet"


def _on_loop(turn: float) -> tuple[float, float]:
    """The place at `turn` (0 to 1, clockwise from the top)."""
    angle = 2 * math.pi * turn - math.pi / 2
    return _WIDE / 2 + _RADIUS_X * math.cos(angle), _HIGH / 2 + _RADIUS_Y * math.sin(angle)


def _arrow(turn: float) -> SafeString:
    x, y = _on_loop(turn)
    ahead_x, ahead_y = _on_loop(turn + 0.001)
    heading = math.degrees(math.atan2(ahead_y - y, ahead_x - x))
    return tag(
        "path",
        d="M-4 -5L3 0L-4 5",
        transform=f"translate({x:.1f} {y:.1f}) rotate({heading:.0f})",
        class_="loop-arrow",
    )


def _stage(stage: Stage, turn: float) -> SafeString:
    x, y = _on_loop(turn)
    long = " long" if len(stage.value) > 11 else ""
    return tag(
        "a",
        tag("rect", x=-_BOX_WIDE / 2, y=-_BOX_HIGH / 2, width=_BOX_WIDE, height=_BOX_HIGH, rx=12),
        text(0, -17, stage.label, "loop-label"),
        text(0, 7, stage.value, f"loop-value{long}"),
        text(0, 26, textwrap.shorten(stage.note, 24, placeholder="…") if stage.note else "", "loop-note"),
        href=stage.url,
        class_=f"loop-stage {stage.state}",
        aria_label=f"{stage.label}: {stage.value} {stage.note}".strip(),
        transform=f"translate({x:.1f} {y:.1f})",
    )


def _balanced(sentence: str, most: int) -> list[str]:
    """Lines of about the same length, none beyond `most` characters unless a word is."""
    lines = len(textwrap.wrap(sentence, most))
    for width in range(math.ceil(len(sentence) / max(lines, 1)), most):
        wrapped = textwrap.wrap(sentence, width)
        if len(wrapped) <= lines:
            return wrapped
    return textwrap.wrap(sentence, most)


def loop_picture(stages: Sequence[Stage], *, heading: str, sentence: str) -> SafeString:
    """The stages clockwise on an ellipse, each a link, around a sentence that says where the loop stands.

    For narrow screens `loop_list` says the same; `loop` gives both.
    """
    around = len(stages)
    words = _balanced(sentence, 74)[:3]
    first = _HIGH / 2 - 10 - 11 * (len(words) - 1)
    middle = [
        text(_WIDE / 2, first, heading, "loop-heading"),
        *(text(_WIDE / 2, first + 32 + 22 * at, line, "loop-sentence") for at, line in enumerate(words)),
    ]
    ring = tag("ellipse", cx=_WIDE / 2, cy=_HIGH / 2, rx=_RADIUS_X, ry=_RADIUS_Y, class_="loop-path")
    return tag(
        "svg",
        tag("title", f"{heading}. {sentence}"),
        ring,
        *(_arrow((at + 0.5) / around) for at in range(around)),
        *middle,
        *(_stage(stage, at / around) for at, stage in enumerate(stages)),
        class_="chart loop",
        viewBox=f"0 0 {_WIDE} {_HIGH}",
        role="group",
        aria_label=f"{heading}. {sentence}",
    )


def loop_list(stages: Sequence[Stage], *, heading: str, sentence: str) -> SafeString:
    items = [
        tag(
            "li",
            tag(
                "a",
                tag("span", tag("b", stage.label), tag("span", stage.note, class_="note")),
                tag("span", stage.value, class_="value"),
                href=stage.url,
            ),
            class_=stage.state,
        )
        for stage in stages
    ]
    said = tag("p", heading, class_="loop-said"), tag("p", sentence)
    return tag("div", *said, tag("ol", *items, class_="loop-list"), class_="loop-phone")


def loop(stages: Sequence[Stage], *, heading: str, sentence: str) -> SafeString:
    """The picture for wide screens and the list for narrow ones; the style sheet shows one of them."""
    return join(each(stages, heading=heading, sentence=sentence) for each in (loop_picture, loop_list))
