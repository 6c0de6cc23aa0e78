"""A comparison is told in the same figures and words on its page, on its release's, by commands and in reports."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from models_app.evaluation.comparing import COMPARED, compare_releases
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.wording import Figures, figures_of
from models_app.models import Comparison, ComparisonResult, Release
from models_app.queries import comparison_report as report
from reviews.reports.tables import ROUGE, rouge_table, stored_results
from tests.releases import scene as scenes
from tests.releases.scene import scene

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]


@pytest.fixture
def told() -> tuple[Comparison, Client]:
    """ROUGE-2 improves, ROUGE-1 falls within its margin."""
    the = scene()
    on = scenes.evaluation_set(40)
    made = compare_releases(
        candidate=scenes.evaluated(the.candidate, on, level=0.16, rouge1_above=0.134),
        baseline=scenes.evaluated(the.live, on, level=0.10),
        lead=None,
        actor=None,
    )
    client = Client()
    client.force_login(the.cast.ml_engineer)
    return made, client


def figures(comparison: Comparison, metric: str, *, least: int = 0) -> Figures:
    row = ComparisonResult.objects.get(comparison=comparison, metric=metric, slice="all", against="baseline")
    return figures_of(row, least=least)


def cells(page: str, region: str) -> dict[str, list[str]]:
    """By its first cell the first such row of the table in that region."""
    table = page[page.index(f'aria-label="{region}"') :].partition("</table>")[0]
    rows: dict[str, list[str]] = {}
    for row in table.split("<tr")[1:]:
        found = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        texts = [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in found]
        rows.setdefault(texts[0], texts)
    return rows


def test_page_and_command_show_the_same_row_for_each_measure(
    told: tuple[Comparison, Client], capsys: Any
) -> None:
    made, client = told
    on_page = cells(client.get(f"/comparisons/{made.pk}/").content.decode(), "Table of metrics")
    made_text = report(made)
    by_command = {line.label: line.figures for line in made_text.lines}
    call_command("evaluate", "--candidate", str(made.candidate.release_id), "--no-lead", "--format", "md")
    printed = capsys.readouterr().out
    for name in COMPARED:
        label = METRICS[name].label
        if label not in by_command:
            continue
        said = figures(made, name)
        assert by_command[label] == said
        row = next(texts for first, texts in on_page.items() if first.startswith(label))
        assert row[1:7] == [
            said.before, said.after, said.difference, said.interval, said.margin, said.detectable
        ]  # fmt: skip
        assert row[7].startswith(said.verdict)
        in_order = (said.label, said.before, said.after, said.difference, said.interval, said.verdict)
        assert f"| {' | '.join(in_order)} |" in printed


def test_the_page_of_a_release_and_the_papers_table_say_the_same(told: tuple[Comparison, Client]) -> None:
    made, client = told
    Release.objects.filter(pk=made.candidate.release_id).update(comparison=made)
    on_page = cells(
        client.get(f"/releases/{made.candidate.release_id}/").content.decode(), "Metrics before and after"
    )
    by_measure = {row[0]: row for row in rouge_table(made).rows}
    for name in ROUGE:
        said, exact = figures(made, name), figures(made, name, least=2)
        assert on_page[said.label][1:] == [
            said.before, said.after, f"{said.difference} {said.interval}", said.verdict
        ]  # fmt: skip
        label, before, after, _, interval, n, verdict = by_measure[said.label]
        assert (label, before, after, interval, n, verdict) == (
            exact.label, exact.before, exact.after, exact.interval, exact.n, exact.verdict
        )  # fmt: skip


def test_what_fell_is_named_in_the_words_of_the_sentence(told: tuple[Comparison, Client]) -> None:
    made, client = told
    page = client.get(f"/comparisons/{made.pk}/").content.decode()
    _, documents, n, difference, interval, margin, severity = cells(page, "Measures that got worse")[
        "ROUGE-1"
    ]
    said = figures(made, "rouge1", least=2)
    assert (documents, n, difference, interval, margin) == (
        "all", said.n, said.difference, said.interval, said.margin
    )  # fmt: skip
    words = "worse beyond chance, but within the margin"
    assert severity == f"within the margin {words}"
    assert words.capitalize() in made.sentence
    low, high = said.interval.split(" … ")
    assert f"95 % between {low} and {high}" in made.sentence


def test_a_stored_result_and_a_computed_one_are_written_alike(told: tuple[Comparison, Client]) -> None:
    made, _ = told
    for result in stored_results(made):
        if result.slice == "all":
            assert figures_of(result) == figures(made, result.metric)
