"""Drawings of the pages as SVG, made on the server: they work without script, print, and can be read out.

Every function takes plain values and returns markup ready for a template. Colours and type come from classes
in `static/css/charts.css`; nothing carries a style attribute, so that the content security policy holds.
A figure is always accompanied by the numbers: put the table beside it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from django.utils.safestring import SafeString

from models_app.texts.bins import MOST_BINS, Bins, bins, nice_step
from models_app.texts.figures import number, signed
from models_app.web.svg import line, svg, tag, text

Tone = Literal["ok", "bad", "maybe", "info", "quiet"]
Point = tuple[float, float]

SERIES = "abcd"
TONES: dict[str, Tone] = {
    "improved": "ok",
    "worse": "bad",
    "inconclusive": "maybe",
    "not worse": "info",
    "not_worse": "info",
}
MOST_POINTS = 300
DOTTED_UP_TO = 40


@dataclass(frozen=True)
class Series:
    """One line: its name and its points (x, y) in the order of x. Points that are not finite leave a gap."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot. `verdict` is a word of `TONES` or a tone itself."""

    label: str
    n: int
    low: float
    mid: float
    high: float
    verdict: str = "quiet"


@dataclass(frozen=True)
class Unjudged:
    """A row of a forest plot without an interval, and why there is none."""

    label: str
    n: int
    why: str


@dataclass(frozen=True)
class Share:
    label: str
    n: int
    tone: str  # a class of charts.css: ok, maybe, bad, quiet, info, or a to f


# ---------------------------------------------------------------- writing


def _nothing_yet(kind: str, title: str, words: str) -> SafeString:
    return svg(f"{kind} empty", title, 560, 120, text(280, 64, words, anchor="middle"))


# ---------------------------------------------------------------- scales


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values within [low, high], at most `most` + 1 of them."""
    step = nice_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _scale(low: float, high: float, start: float, end: float, pad: float = 0.0) -> _Scale:
    if low == high:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    room = (high - low) * pad
    return _Scale(low - room, high + room, start, end)


# ---------------------------------------------------------------- lines


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most MOST_POINTS points: means of neighbours, because a loss at single steps is mostly noise."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    run: list[Point] = []
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _legend(entries: Iterable[tuple[SafeString, str]]) -> SafeString:
    return tag("ul", *(tag("li", mark, " ", words) for mark, words in entries), class_="legend")


def _line_mark(tone: str) -> SafeString:
    return tag("svg", line(0, 5, 22, 5, f"line {tone}"), viewBox="0 0 22 10", aria_hidden="true")


def _drawn_series(runs: list[list[Point]], tone: str, x: _Scale, y: _Scale) -> list[SafeString]:
    drawn = [
        tag("polyline", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in run), class_=f"line {tone}")
        for run in runs
        if len(run) > 1
    ]
    count = sum(map(len, runs))
    dotted = runs if count <= DOTTED_UP_TO else [run for run in runs if len(run) == 1]
    drawn += [
        tag(
            "circle",
            tag("title", f"{number(a, None)}: {number(round(b, 4), None)}"),
            cx=x(a),
            cy=y(b),
            r=3.5,
            class_=f"dot {tone}",
        )
        for run in dotted
        for a, b in run
    ]
    return drawn


def _y_axis(y: _Scale, left: float, right: float, name: str) -> list[SafeString]:
    ticks = nice_ticks(y.low, y.high, 5)
    rules = [line(left, y(tick), right, y(tick), "rule") for tick in ticks]
    marks = [
        text(left - 8, y(tick) + 4, number(tick, None), "tick" if at % 2 == 0 else "tick minor", "end")
        for at, tick in enumerate(ticks)
    ]
    return [*rules, *marks, text(left, 12, name, "axis-name")] if name else [*rules, *marks]


def _x_axis(x: _Scale, top: float, name: str) -> list[SafeString]:
    ticks = nice_ticks(x.low, x.high, 6)
    # The axis' name stands at the right end, where a last tick would lie under it.
    room = 8.5 * len(name) + 24 if name else 0
    marks = [
        text(x(tick), top + 18, number(tick, None), "tick" if at % 2 == 0 else "tick minor", "middle")
        for at, tick in enumerate(ticks)
        if x(tick) <= x.end - room
    ]
    return [line(x.start, top, x.end, top, "axis"), *marks, text(x.end, top + 18, name, "axis-name", "end")]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_name: str = "",
    y_name: str = "",
    best: Point | None = None,
    width: int = 720,
    height: int = 270,
) -> SafeString:
    """Lines over common axes, with a legend: the loss of training and of validation, latency over days.

    The first series is drawn full, the others dashed; few points carry dots. `best` rings one point: the
    checkpoint that was kept.
    """
    drawn = [(each.name, list(_runs(_thinned(each.points)))) for each in series]
    flat = [point for _, runs in drawn for run in runs for point in run]
    if not flat:
        return _nothing_yet("lines", title, "Nothing measured yet")
    left, right, top, bottom = 56.0, width - 12.0, 22.0, height - 28.0
    first, last = min(a for a, _ in flat), max(a for a, _ in flat)
    x = _scale(0.0 if 0 < first < last / 8 else first, last, left, right)
    y = _scale(min(b for _, b in flat), max(b for _, b in flat), bottom, top, pad=0.06)
    pieces = _y_axis(y, left, right, y_name) + _x_axis(x, bottom, x_name)
    for tone, (_, runs) in zip(SERIES, drawn, strict=False):
        pieces += _drawn_series(runs, tone, x, y)
    if best is not None:
        at_end = x(best[0]) > right - 110
        words = f"kept: {number(best[1], 3)}"
        pieces += [
            tag("circle", cx=x(best[0]), cy=y(best[1]), r=7.5, class_="best"),
            text(x(best[0]) + 4, y(best[1]) - 15, words, "strong halo", "end" if at_end else "start"),
        ]
    legend = _legend((_line_mark(tone), name) for tone, (name, _) in zip(SERIES, drawn, strict=False))
    return tag("figure", legend, svg("lines", title, width, height, *pieces), class_="figure")


def daily_bars(days: Sequence[tuple[date, int]], *, title: str) -> SafeString:
    """A bar for each day, weeks marked at their Mondays; each bar says its day and count when pointed at or read.

    Measured in shares of its place, so that it fills a wide one and its type stays as large in a narrow one.
    """
    if not any(count for _, count in days):
        return _nothing_yet("bars", title, "Nothing in these days")
    most = max(count for _, count in days)
    y = _Scale(0, most, 100.0, 6.0)
    step = 100 / len(days)
    whole = [tick for tick in nice_ticks(0, most, 3) if tick > 0 and tick == int(tick)]
    bars = [
        tag(
            "rect",
            tag("title", f"{day:%A %d %B}: {count:,}"),
            x=_share(step * (at + 0.07)),
            y=_share(y(count)),
            width=_share(step * 0.86),
            height=_share(100 - y(count)),
            rx=2,
            class_="bin info",
        )
        for at, (day, count) in enumerate(days)
        if count
    ]
    mondays = [(at, day) for at, (day, _) in enumerate(days) if day.weekday() == 0]
    return tag(
        "svg",
        tag("title", title),
        *(_level(y(tick), "rule") for tick in whole),
        *(
            tag("text", number(tick, None), x=0, y=_share(y(tick)), class_="tick beside", text_anchor="end")
            for tick in whole
        ),
        *bars,
        _level(100, "axis"),
        *(
            tag(
                "text",
                f"{day.day} {day:%b}",
                x=_share(step * (at + 0.5)),
                y="100%",
                class_="tick below",
                text_anchor="middle",
            )
            for at, day in mondays
        ),
        class_="chart bars",
        role="img",
    )


def _share(value: float) -> str:
    return f"{value:.2f}%"


def _level(y: float, class_: str) -> SafeString:
    return tag("line", x1=0, y1=_share(y), x2="100%", y2=_share(y), class_=class_)


# ---------------------------------------------------------------- intervals


def _point_mark(cx: float, cy: float, tone: str) -> SafeString:
    if tone == "bad":
        return tag("rect", x=cx - 5, y=cy - 5, width=10, height=10, class_="point-mark bad")
    if tone == "maybe":
        return tag(
            "path", d=f"M{cx:.1f} {cy - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z", class_="point-mark maybe"
        )
    return tag("circle", cx=cx, cy=cy, r=5.5, class_=f"point-mark {tone}")


def _unjudged_row(row: Unjudged, cy: float, x: _Scale, width: float) -> SafeString:
    """Hatched, without mark and number, so that nobody reads one into it."""
    return tag(
        "g",
        tag("title", f"{row.label}, n = {row.n:,}: {row.why}"),
        tag("rect", x=0, y=cy - 16, width=width, height=32, rx=6, class_="hover"),
        text(0, cy + 4.5, textwrap.shorten(row.label, 22, placeholder="…"), "quiet"),
        text(x.start - 18, cy + 4.5, f"{row.n:,}", "tick", "end"),
        line(x.start, cy, x.end, cy, "unjudged"),
        text((x.start + x.end) / 2, cy + 4.5, row.why, "axis-name halo", "middle"),
        class_="forest-row",
    )


def _forest_row(row: Interval | Unjudged, cy: float, x: _Scale, places: int, width: float) -> SafeString:
    if isinstance(row, Unjudged):
        return _unjudged_row(row, cy, x, width)
    tone = TONES.get(row.verdict, row.verdict)
    low, high = signed(row.low, places), signed(row.high, places)
    said = f"{row.label}, n = {row.n:,}: {signed(row.mid, places)} ({low} … {high})"
    if row.verdict in TONES:
        said += f", {row.verdict.replace('_', ' ')}"
    return tag(
        "g",
        tag("title", said),
        tag("rect", x=0, y=cy - 16, width=width, height=32, rx=6, class_="hover"),
        text(0, cy + 4.5, textwrap.shorten(row.label, 22, placeholder="…"), "strong"),
        text(x.start - 18, cy + 4.5, f"{row.n:,}", "tick", "end"),
        line(x(row.low), cy, x(row.high), cy, f"interval {tone}"),
        *(line(x(end), cy - 5, x(end), cy + 5, f"interval {tone}") for end in (row.low, row.high)),
        _point_mark(x(row.mid), cy, tone),
        class_="forest-row",
    )


def forest_plot(
    rows: Sequence[Interval | Unjudged],
    *,
    title: str,
    zero_name: str = "no change",
    places: int = 1,
    margin: float | None = None,
    width: int = 560,
) -> SafeString:
    """Differences with their intervals, one row each, against the line of no change; dashed, a loss of the margin.

    The mark's shape says the verdict too: disc improved, ring not worse, square worse, open diamond inconclusive.
    """
    if not rows:
        return _nothing_yet("forest", title, "Nothing to compare yet")
    judged = [row for row in rows if isinstance(row, Interval)]
    ends = [0.0, *(end for row in judged for end in (row.low, row.high)), *([-margin] if margin else [])]
    left, right, row_height, top = 214.0, width - 14.0, 34, 26
    x = _scale(min(ends), max(ends), left, right, pad=0.04)
    bottom = top + row_height * len(rows)
    ticks = nice_ticks(x.low, x.high, 5)
    pieces = [
        text(left - 18, 12, "n", "axis-name", "end"),
        text(x(0), 12, zero_name, "axis-name", "middle"),
        line(x(0), 18, x(0), bottom, "zero"),
        *([line(x(-margin), 18, x(-margin), bottom, "margin")] if margin else []),
        *(_forest_row(row, top + row_height * (at + 0.5), x, places, width) for at, row in enumerate(rows)),
        line(left, bottom, right, bottom, "axis"),
        *(line(x(tick), bottom, x(tick), bottom + 4, "axis") for tick in ticks),
        *(
            text(
                x(tick),
                bottom + 19,
                signed(tick, _places_of(ticks)),
                "tick" if at % 2 == 0 else "tick minor",
                "middle",
            )
            for at, tick in enumerate(ticks)
        ),
    ]
    return svg("forest", title, width, bottom + 26, *pieces)


def _places_of(ticks: Sequence[float]) -> int:
    return max((len(f"{tick:.10g}".partition(".")[2]) for tick in ticks), default=0)


# ---------------------------------------------------------------- counts


def sides(differences: Sequence[float]) -> tuple[int, int, int]:
    """How many are below, equal to and above no change: what a histogram's bars of each side add up to."""
    found = bins(differences)
    return found.below, found.equal, found.above


def _bin(k: int, count: int, step: float, x: _Scale, y: _Scale, tone: str) -> SafeString:
    places = _places_of([step])
    ends = (signed((k - 1) * step, places), signed(k * step, places))
    if k < 0:
        ends = (signed((k + 1) * step, places), ends[1])
    where = f"{ends[0]} to {ends[1]}" if k else "no change"
    said = f"{where}: {count:,} document{'s' * (count != 1)}"
    left, right = x(k - 0.5) + 1.5, x(k + 0.5) - 1.5
    return tag(
        "rect",
        tag("title", said),
        x=left,
        y=y(count),
        width=max(right - left, 1.0),
        height=y(0) - y(count),
        rx=2,
        class_=f"bin {tone}",
    )


def histogram(
    differences: Sequence[float] | Bins,
    *,
    title: str,
    higher_is_better: bool = True,
    most_bins: int = MOST_BINS,
    marks: Sequence[float] = (),
    width: int = 560,
    height: int = 220,
) -> SafeString:
    """How per-document differences spread. The middle bin holds no change alone, so that it takes no side and the bars
    of each side add up to what `sides` counts. `marks` are differences that a triangle under the axis points at.

    Worse lies on the side where the metric gets worse and is named there.
    """
    found = differences if isinstance(differences, Bins) else bins(differences, most=most_bins)
    counts, step = found.counts, found.step
    if not counts:
        return _nothing_yet("histogram", title, "No documents compared yet")
    first, last, most = min([-1, *counts]), max([1, *counts]), max(counts.values())
    left, right, bottom = 40.0, width - 8.0, height - 46.0
    x, y = _Scale(first - 0.5, last + 0.5, left, right), _Scale(0, most, bottom, 12.0)
    below, above = ("bad", "ok") if higher_is_better else ("ok", "bad")
    tones = {k: above if k > 0 else below if k < 0 else "zero" for k in counts}
    whole = [tick for tick in nice_ticks(0, most, 3) if tick > 0 and tick == int(tick)]
    words = {"bad": "worse", "ok": "better"}
    return svg(
        "histogram",
        title,
        width,
        height,
        *(line(left, y(tick), right, y(tick), "rule") for tick in whole),
        *(text(left - 7, y(tick) + 4, number(tick, None), "tick", "end") for tick in whole),
        *(_bin(k, counts[k], step, x, y, tones[k]) for k in sorted(counts)),
        line(left, bottom, right, bottom, "axis"),
        *(_mark_below(x(found.place_of(value)), bottom + 2) for value in sorted(marks)),
        *(
            text(x(k), bottom + 17, signed(k * step, _places_of([step])), "tick", "middle")
            for k in (first, 0, last)
        ),
        text(left, bottom + 38, f"← {words[below]}", f"{below}-side"),
        text(right, bottom + 38, f"{words[above]} →", f"{above}-side", "end"),
    )


def _mark_below(x: float, y: float) -> SafeString:
    return tag("path", d=f"M{x:.1f} {y:.1f}l4 6h-8z", class_="nine")


def stacked_shares(shares: Sequence[Share], *, title: str, counts: bool = True) -> SafeString:
    """One bar cut into parts, with a legend that gives each part's count, unless they are none, and percentage."""
    total = sum(share.n for share in shares)
    if not total:
        return tag("p", "None yet", class_="soft small")
    bars, at = [], 0.0
    for share in shares:
        part = share.n / total * 600
        if part:
            said = f"{share.label}: {share.n:,} ({share.n / total:.0%})"
            bars.append(
                tag(
                    "rect",
                    tag("title", said),
                    x=at,
                    y=0,
                    width=max(part - 2, 0.5),
                    height=14,
                    class_=f"share {share.tone}",
                )
            )
        at += part
    picture = tag(
        "svg",
        tag("title", title),
        *bars,
        class_="shares",
        viewBox="0 0 600 14",
        preserveAspectRatio="none",
        role="img",
    )
    legend = _legend(
        (
            tag(
                "svg",
                tag("rect", width=10, height=10, rx=2, class_=f"share {share.tone}"),
                viewBox="0 0 10 10",
                aria_hidden="true",
            ),
            f"{share.label}{f' {share.n:,}' if counts else ''} · {share.n / total * 100:.0f} %",
        )
        for share in shares
    )
    return tag("figure", picture, legend, class_="figure shares-figure")
