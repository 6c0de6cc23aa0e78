"""The five tables, on the page and by the command, say what the report of a loop says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from models_app.models import ServiceInterval
from tests.pages import markup
from tests.releases.scene import Scene, made_live, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def went_live() -> Scene:
    the = waiting()
    the.approved_by(the.cast.approver)
    made_live(the.candidate)
    return the


def by_command(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    call_command("tables", "--format", "json", *words)
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["tables"]
    return found


def page(the: Scene) -> str:
    client = Client()
    client.force_login(the.cast.operator)
    return markup(client.get("/monitoring/"))


def test_table_5_has_rouge_improvement_interval_and_verdict(
    went_live: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = by_command(capsys)
    assert [table["number"] for table in tables] == [1, 2, 3, 4, 5, 5]
    five = tables[4]
    assert five["columns"] == [
        "Measure", "Before", "After", "Improvement", "95 % interval of the difference", "n", "Verdict",
    ]  # fmt: skip
    rows = {row[0]: row for row in five["rows"]}
    assert {"ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum", "Repeated trigrams", "Stars of reviewers"} <= set(
        rows
    )
    _, before, after, improvement, interval, n, verdict = rows["ROUGE-2"]
    assert float(after) - float(before) == pytest.approx(6.0)
    assert (n, verdict) == ("40", "improved")
    assert improvement.startswith("+")
    assert "…" in interval
    assert rows["ROUGE-2"] == {row[0]: row for row in tables[0]["rows"]}["ROUGE-2"], "one function makes both"
    text = page(went_live)
    for cell in rows["ROUGE-2"]:
        assert cell in text


def test_an_outage_that_logged_nothing_counts_in_table_2(
    went_live: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    for began, seen, state in (
        (600, 300, "ready"),
        (120, 0, "ready"),
    ):  # killed for three minutes, no request came
        ServiceInterval.objects.create(
            state=state, began_at=now - timedelta(seconds=began), seen_at=now - timedelta(seconds=seen)
        )
    table = by_command(capsys, "--days", "1")[1]
    rows = dict(table["rows"])
    share = float(rows["Availability"].partition(" %")[0])
    assert 70 <= share < 80, "seven minutes of ten, and what goes by until it is asked"
    assert rows["Outages"].startswith("1, 3 min from ")
    assert "nothing was written" in rows["Outages"]
    assert rows["Requests answered"] == "–"
    assert "Time in which nothing could ask or be written" in table["note"]
    text = page(went_live)
    assert "Time in which nothing could ask or be written" in text
    assert "1 outage, 3 min" in text


def test_without_a_measurement_availability_is_not_claimed(
    went_live: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dict(by_command(capsys)[1]["rows"])["Availability"] == "–"
    assert "not measured yet" in page(went_live)
