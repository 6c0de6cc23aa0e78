"""Drawings are well-formed, escape what people typed, and put values where they belong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from django.utils.safestring import SafeString

from models_app.web.charts import (
    Interval,
    Series,
    Share,
    Unjudged,
    daily_bars,
    forest_plot,
    histogram,
    line_chart,
    nice_ticks,
    sides,
    stacked_shares,
)
from models_app.web.loop_picture import Stage, loop, loop_list, loop_picture

NASTY = "<script>alert('1')</script> & \"quotes\" \x00\x1b"
STAGES = [
    Stage("Documents", "1,204", "9 new", "/documents/"),
    Stage("Review", "38", "wait for you", "/desk/", "hot"),
    Stage("Training", "1", "running, 61 %", "/training/", "active"),
    Stage("Live", "release 12", "since 19 Nov", "/deployments/"),
]
DRAWINGS: dict[str, Callable[[str], SafeString]] = {
    "lines": lambda name: line_chart(
        [Series(name, [(0, 3.0), (10, 2.0)])], title=name, x_name=name, y_name=name
    ),
    "forest": lambda name: forest_plot([Interval(name, 12, -1, 0, 1)], title=name, zero_name=name),
    "unjudged": lambda name: forest_plot([Unjudged(name, 12, name)], title=name, margin=1.0),
    "histogram": lambda name: histogram([-1.0, 0.0, 2.0], title=name),
    "daily bars": lambda name: daily_bars([(date(2026, 11, 23), 3), (date(2026, 11, 24), 0)], title=name),
    "shares": lambda name: stacked_shares([Share(name, 3, "ok"), Share("Poor", 1, "bad")], title=name),
    "loop": lambda name: loop_picture([Stage(name, name, name, "/x?a=1&b=2")], heading=name, sentence=name),
    "loop list": lambda name: loop_list([Stage(name, name, name, "/x?a=1&b=2")], heading=name, sentence=name),
    "nothing yet": lambda name: line_chart([Series(name, [])], title=name),
}


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{markup}</div>")


def numbers(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def by_class(tree: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in tree.iter() if name in element.get("class", "").split()]


@pytest.mark.parametrize("kind", DRAWINGS)
def test_a_drawing_is_well_formed_and_shows_typed_markup_as_text(kind: str) -> None:
    markup = DRAWINGS[kind](NASTY)
    tree = parsed(markup)
    assert isinstance(markup, SafeString)
    assert not any(element.tag == "script" for element in tree.iter())
    assert "alert('1')" in "".join(tree.itertext())


@pytest.mark.parametrize("kind", DRAWINGS)
def test_a_drawing_carries_no_style_attribute(kind: str) -> None:
    assert not any("style" in element.attrib for element in parsed(DRAWINGS[kind]("Plain")).iter())


@pytest.mark.parametrize("kind", [kind for kind in DRAWINGS if kind != "loop list"])
def test_a_drawing_has_a_title_that_can_be_read_out(kind: str) -> None:
    svg = next(
        element
        for element in parsed(DRAWINGS[kind]("Loss by step")).iter("svg")
        if element.get("aria-hidden") is None
    )
    assert svg[0].tag == "title"
    assert "Loss by step" in (svg[0].text or "")
    assert svg.get("role") in ("img", "group")


def test_a_line_falls_on_the_page_where_values_fall() -> None:
    tree = parsed(line_chart([Series("training", [(0, 3.0), (50, 2.0), (100, 1.0)])], title="Loss"))
    line = next(tree.iter("polyline"))
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # SVG counts downwards
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)


def test_series_share_their_axes_and_are_told_apart_without_colour() -> None:
    tree = parsed(
        line_chart(
            [Series("training", [(0, 4.0), (9, 2.0)]), Series("validation", [(0, 4.0), (9, 3.0)])],
            title="Loss",
        )
    )
    first, second = tree.iter("polyline")
    assert first.attrib["points"].split()[0] == second.attrib["points"].split()[0]
    assert (first.attrib["class"], second.attrib["class"]) == ("line a", "line b")
    assert "training" in "".join(tree.itertext())


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    points = [(0, 3.0), (1, 2.8), (2, math.nan), (3, math.inf), (4, 2.0), (5, 1.9)]
    tree = parsed(line_chart([Series("training", points)], title="Loss"))
    assert len(list(tree.iter("polyline"))) == 2
    assert "nan" not in line_chart([Series("training", points)], title="Loss")


def test_a_long_run_is_thinned() -> None:
    markup = line_chart(
        [Series("training", [(step, 1 / (step + 1)) for step in range(20_000)])], title="Loss"
    )
    assert len(next(parsed(markup).iter("polyline")).attrib["points"].split()) <= 300
    assert len(markup) < 20_000


def test_the_kept_checkpoint_is_ringed_where_it_lies() -> None:
    tree = parsed(
        line_chart([Series("validation", [(0, 3.0), (10, 2.0), (20, 2.5)])], title="Loss", best=(10, 2.0))
    )
    ring = by_class(tree, "best")[0]
    dots = [numbers(dot, "cx", "cy") for dot in by_class(tree, "dot")]
    assert numbers(ring, "cx", "cy") == dots[1]
    assert "kept: 2.000" in "".join(tree.itertext())


@pytest.mark.parametrize("points", [[], [(1.0, math.nan)]])
def test_a_chart_without_values_says_so(points: list[tuple[float, float]]) -> None:
    assert "Nothing measured yet" in line_chart([Series("training", points)], title="Loss")


def test_one_point_alone_is_drawn() -> None:
    tree = parsed(line_chart([Series("training", [(1, 2.5)])], title="Loss"))
    assert len(by_class(tree, "dot")) == 1


def test_intervals_lie_on_their_side_of_no_change() -> None:
    rows = [
        Interval("Business", 70, 0.4, 1.9, 3.6, "improved"),
        Interval("Entertainment", 41, -3.6, -1.9, -0.3, "worse"),
        Interval("News", 120, -0.9, 1.0, 3.0, "inconclusive"),
    ]
    tree = parsed(forest_plot(rows, title="ROUGE-2 by domain"))
    zero = numbers(by_class(tree, "zero")[0], "x1")[0]
    whole = [
        numbers(line, "x1", "x2")
        for line in by_class(tree, "interval")
        if line.attrib["y1"] == line.attrib["y2"]
    ]
    assert whole[0][0] > zero
    assert whole[1][1] < zero
    assert whole[2][0] < zero < whole[2][1]
    assert [row[0].text for row in by_class(tree, "forest-row")] == [
        "Business, n = 70: +1.9 (+0.4 … +3.6), improved",
        "Entertainment, n = 41: −1.9 (−3.6 … −0.3), worse",
        "News, n = 120: +1.0 (−0.9 … +3.0), inconclusive",
    ]


def test_a_verdict_has_a_shape_of_its_own() -> None:
    rows = [Interval("a", 1, -1, 0, 1, verdict) for verdict in ("improved", "worse", "inconclusive")]
    marks = by_class(parsed(forest_plot(rows, title="t")), "point-mark")
    assert [mark.tag for mark in marks] == ["circle", "rect", "path"]
    assert [mark.attrib["class"].split()[1] for mark in marks] == ["ok", "bad", "maybe"]


def test_the_line_of_no_change_is_drawn_even_where_no_interval_reaches_it() -> None:
    tree = parsed(forest_plot([Interval("a", 9, 5, 6, 7, "improved")], title="t"))
    zero = numbers(by_class(tree, "zero")[0], "x1")[0]
    assert zero < numbers(by_class(tree, "interval")[0], "x1")[0]


def test_a_row_that_is_not_judged_has_neither_mark_nor_interval_and_says_why() -> None:
    rows: list[Interval | Unjudged] = [
        Interval("News", 300, -0.4, 1.0, 2.4, "not worse"),
        Unjudged("Sport", 42, "not judged: under 100"),
    ]
    tree = parsed(forest_plot(rows, title="t", margin=1.5))
    assert len(by_class(tree, "point-mark")) == 1
    assert len(by_class(tree, "unjudged")) == 1
    assert by_class(tree, "forest-row")[1][0].text == "Sport, n = 42: not judged: under 100"
    assert "not judged: under 100" in {element.text for element in tree.iter()}


def test_the_margin_is_a_line_on_the_worse_side_of_no_change() -> None:
    rows = [Interval("News", 300, 0.4, 1.0, 2.4, "improved")]
    tree = parsed(forest_plot(rows, title="t", margin=1.5))
    (margin,) = by_class(tree, "margin")
    assert numbers(margin, "x1")[0] < numbers(by_class(tree, "zero")[0], "x1")[0]
    assert by_class(parsed(forest_plot(rows, title="t")), "margin") == []


def test_every_document_is_in_a_bin() -> None:
    values = [-12.0, -3.2, -0.1, 0.0, 0.0, 0.4, 2.2, 2.3, 18.0, math.nan]
    bins = by_class(parsed(histogram(values, title="t")), "bin")
    counts = [int(re.search(r": (\d+) document", bar[0].text or "").group(1)) for bar in bins]  # type: ignore[union-attr]
    assert sum(counts) == 9


def test_the_bars_of_each_side_add_up_to_what_the_text_counts() -> None:
    """A document that is 0.1 points worse is worse in the bars as well: the middle bar holds no change alone."""
    values = [-12.0, -3.2, -0.1, 0.0, 1e-12, 0.4, 2.2, 2.3, 18.0, math.nan]
    assert sides(values) == (3, 2, 4)
    bars = {"bad": 0, "zero": 0, "ok": 0}
    said = []
    for bar in by_class(parsed(histogram(values, title="t")), "bin"):
        count = int(re.search(r": (\d+) document", bar[0].text or "").group(1))  # type: ignore[union-attr]
        bars[bar.attrib["class"].split()[1]] += count
        said.append(bar[0].text)
    assert tuple(bars.values()) == sides(values)
    assert "no change: 2 documents" in said
    assert "0 to +2: 1 document" in said
    assert "0 to −2: 1 document" in said


@pytest.mark.parametrize(("higher", "left", "right"), [(True, "bad", "ok"), (False, "ok", "bad")])
def test_bins_are_coloured_and_named_by_the_metric_s_direction(higher: bool, left: str, right: str) -> None:
    tree = parsed(histogram([-5.0, 0.0, 5.0], title="t", higher_is_better=higher))
    bins = sorted(by_class(tree, "bin"), key=lambda bar: float(bar.attrib["x"]))
    assert [bar.attrib["class"] for bar in bins] == [f"bin {left}", "bin zero", f"bin {right}"]
    text = " ".join(tree.itertext())
    assert ("← worse" in text and "better →" in text) is higher
    assert ("← better" in text and "worse →" in text) is not higher


def test_taller_means_more_documents() -> None:
    tree = parsed(histogram([-4.0] + [4.0] * 3, title="t"))
    few, many = (float(bar.attrib["height"]) for bar in by_class(tree, "bin"))
    assert many == pytest.approx(3 * few, rel=0.02)


def test_differences_that_are_all_zero_are_one_neutral_bin() -> None:
    assert len(by_class(parsed(histogram([0.0] * 50, title="t")), "bin")) == 1


def test_a_day_s_bar_stands_in_its_place_and_is_as_tall_as_its_count() -> None:
    days = [date(2026, 11, 16) + timedelta(days=at) for at in range(10)]
    tree = parsed(daily_bars(list(zip(days, [4, 0, 0, 2, 0, 0, 0, 0, 0, 4], strict=True)), title="By day"))
    bars = by_class(tree, "bin")
    places = [[float(bar.attrib[name].rstrip("%")) for name in ("x", "y", "width", "height")] for bar in bars]
    assert [int(x // 10) for x, *_ in places] == [0, 3, 9]
    assert all(x + width <= 10 * (x // 10 + 1) for x, _, width, _ in places)
    assert all(y + height == pytest.approx(100, abs=0.1) for _, y, _, height in places)
    assert places[0][3] == places[2][3] == pytest.approx(2 * places[1][3], abs=0.1)
    assert [text.text for text in by_class(tree, "below")] == ["16 Nov", "23 Nov"], "Mondays"
    assert [bar[0].text for bar in bars][1] == "Thursday 19 November: 2"
    assert "viewBox" not in tree[0].attrib, "its type does not grow with the page"


def test_shares_are_as_wide_as_they_are_large() -> None:
    tree = parsed(
        stacked_shares(
            [Share("Good", 60, "ok"), Share("Fair", 30, "maybe"), Share("Poor", 10, "bad")], title="t"
        )
    )
    bars = [bar for bar in by_class(tree, "share") if bar.get("height") == "14"]
    starts = [float(bar.attrib["x"]) for bar in bars]
    assert starts == [0, 360, 540]
    assert "Good 60 · 60 %" in "".join(tree.itertext())
    assert "None yet" in stacked_shares([Share("Good", 0, "ok")], title="t")


def test_every_stage_of_the_loop_is_a_link_with_its_state() -> None:
    tree = parsed(loop_picture(STAGES, heading="Loop 3", sentence="It is at training."))
    links = list(tree.iter("a"))
    assert [link.attrib["href"] for link in links] == [stage.url for stage in STAGES]
    assert [link.attrib["aria-label"] for link in links][1] == "Review: 38 wait for you"
    assert [link.attrib["class"].split()[1] for link in links] == ["quiet", "hot", "active", "quiet"]


def test_the_loop_begins_at_the_top_and_runs_clockwise() -> None:
    links = list(parsed(loop_picture(STAGES, heading="h", sentence="s")).iter("a"))
    places = [tuple(map(float, re.findall(r"-?[\d.]+", link.attrib["transform"]))) for link in links]
    top, right, bottom, left = places
    assert top[1] < right[1] == left[1] < bottom[1]
    assert left[0] < top[0] == bottom[0] < right[0]


def test_on_a_phone_the_loop_is_an_ordered_list_that_says_the_same() -> None:
    tree = parsed(loop(STAGES, heading="Loop 3", sentence="It is at training."))
    items = list(next(tree.iter("ol")))
    assert len(items) == len(STAGES)
    assert [item[0].attrib["href"] for item in items] == [stage.url for stage in STAGES]
    assert "wait for you" in "".join(items[1].itertext())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.13, 0.31, [0.15, 0.2, 0.25, 0.3]), (-4, 4, [-4, -2, 0, 2, 4])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == expected
