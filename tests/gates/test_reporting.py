"""What gates found, as pipelines read it."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

from models_app.gates import reporting
from models_app.gates.reporting import Line, Report

PASSED = Line(
    gate="primary", label="Primary metric", name="rouge2", verdict="pass", counts_as="pass", waiver=None,
    words="ROUGE-2 improved by 2.1 points.", need="a loss of 0.5 points or more excluded",
    method="paired bootstrap, 10,000 resamples", estimate=2.1, low=1.2, high=3.0, threshold=-0.5, n=1000,
    unit="points", evidence="comparison:12", decimals=2,
)  # fmt: skip
FAILED = replace(
    PASSED, gate="safety", label="Safety", name="", verdict="fail", counts_as="fail", estimate=None, low=None,
    high=None, words="2 summaries have <b>\x00 a | telephone number.", need="none", n=None, unit="",
)  # fmt: skip
OPEN = replace(
    PASSED, gate="guards", label="Guard metrics", name="rouge1", verdict="inconclusive", counts_as="inconclusive",
    words="A loss cannot be excluded.",
)  # fmt: skip
WAIVED = replace(OPEN, name="rougeL", counts_as="pass", waiver=7)
BROKEN = replace(
    FAILED, gate="speed", label="Speed", verdict="error", counts_as="error", words="No latency is stored."
)


def report(*lines: Line, verdict: str | None = "fail", words: str = "Safety (fail). Blocked.") -> Report:
    return Report(
        release=14, environment="production", state="draft", outcome="blocked", verdict=verdict, words=words, run=3,
        run_state="finished", comparison=12, comparison_verdict="improved", policy=2, policy_digest="ab" * 32,
        digest="cd" * 32, lines=lines, url="http://127.0.0.1:8000/releases/14/gates/",
    )  # fmt: skip


def cases(text: str) -> tuple[ElementTree.Element, dict[str, list[str]]]:
    suite = ElementTree.fromstring(text)
    return suite, {str(case.get("name")): [part.tag for part in case] for case in suite}


def test_junit_lets_nothing_pass_but_what_passes() -> None:
    suite, found = cases(reporting.as_junit(report(PASSED, FAILED, OPEN, WAIVED, BROKEN)))
    assert found == {
        "Primary metric, rouge2": ["system-out"],
        "Safety": ["failure"],
        "Guard metrics, rouge1": ["failure"],
        "Guard metrics, rougeL": ["system-out"],
        "Speed": ["error"],
    }
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["5", "2", "1", "0"]
    waived = suite[3].find("system-out")
    assert waived is not None
    assert str(waived.text).startswith("inconclusive, waived: ")


def test_junit_of_gates_that_could_not_be_judged_is_an_error() -> None:
    suite, found = cases(reporting.as_junit(report(PASSED, verdict="error", words="It was killed.")))
    assert found["all gates are judged"] == ["error"]
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")


def test_markdown_has_no_column_and_no_tag_of_its_own_making() -> None:
    table = [
        line for line in reporting.as_markdown(report(PASSED, FAILED)).splitlines() if line.startswith("|")
    ]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "<b>" not in "".join(table)
    assert "&lt;b&gt;" in "".join(table)


def test_text_says_what_was_found_and_what_would_be_needed() -> None:
    said = reporting.as_text(report(PASSED, OPEN))
    assert "Gates of production, release 14: fail" in said
    assert "ROUGE-2 improved by 2.1 points." in said
    assert "2.10 points, 95 % interval 1.20 … 3.00, n = 1,000." in said
    assert said.count("Needed: ") == 1
    assert "Gate run 3 on comparison 12 (improved), policy 2 of production." in said


def test_json_has_every_figure() -> None:
    values = json.loads(reporting.as_json(report(PASSED, WAIVED)))
    assert (values["verdict"], values["outcome"], values["policy"]) == ("fail", "blocked", 2)
    assert values["results"][0]["low"] == 1.2
    assert (values["results"][1]["verdict"], values["results"][1]["waiver"]) == ("inconclusive", 7)
    assert "decimals" not in values["results"][0]
