"""A comparison as text, Markdown, JSON or JUnit, for pipelines. Pure: plain values in, a string out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from xml.etree import ElementTree  # nosec B405 (written here, never read)

from models_app.evaluation.wording import Figures, figures_of
from models_app.texts.figures import number

# What XML 1.0 cannot contain.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Line:
    """One metric on all documents; ROUGE in points."""

    metric: str
    label: str
    decimals: int
    n: int
    before: float
    after: float
    delta: float
    low: float | None
    high: float | None
    mde: float | None
    margin: float
    verdict: str
    lead: float | None = None

    @property
    def figures(self) -> Figures:
        return figures_of(self)


@dataclass(frozen=True)
class Report:
    comparison: int
    candidate: int
    baseline: int
    baseline_is_live: bool
    test_set: int
    n: int
    verdict: str
    sentence: str
    seed: int
    resamples: int
    signature: str
    digest: str
    lines: Sequence[Line]
    margins: str = ""  # what the margins mean, and how large they are
    url: str = ""

    @property
    def heading(self) -> str:
        beside = f"release {self.baseline}{', which is live' if self.baseline_is_live else ''}"
        return f"Release {self.candidate} against {beside}: {self.verdict}"


def _cells(line: Line, with_lead: bool) -> list[str]:
    said = line.figures
    lead = [number(line.lead, line.decimals)] if with_lead else []
    return [said.label, said.before, said.after, *lead, said.difference, said.interval, said.verdict]


def _head(with_lead: bool) -> list[str]:
    return [
        "metric",
        "before",
        "after",
        *(["lead-3"] if with_lead else []),
        "difference",
        "95 % interval",
        "verdict",
    ]


def _with_lead(report: Report) -> bool:
    return any(line.lead is not None for line in report.lines)


def as_text(report: Report) -> str:
    with_lead = _with_lead(report)
    rows = [_head(with_lead), *[_cells(line, with_lead) for line in report.lines]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def padded(row: list[str]) -> str:
        # words to the left, figures to the right
        last = len(row) - 1
        cells = [
            cell.ljust(w) if i in (0, last) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([report.heading, report.sentence, "", *[padded(row) for row in rows], "", _foot(report)])


def as_markdown(report: Report) -> str:
    with_lead = _with_lead(report)
    head = _head(with_lead)
    rule = [":--", *["--:"] * (len(head) - 2), ":--"]
    rows = [head, rule, *[_cells(line, with_lead) for line in report.lines]]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"## {report.heading}", "", report.sentence, "", *table, "", _foot(report)])


def _foot(report: Report) -> str:
    foot = (
        f"Comparison {report.comparison}, {report.n:,} documents of test set {report.test_set}, "
        f"{report.resamples:,} paired resamples, seed {report.seed}. {report.signature}"
    )
    return "\n".join(part for part in (report.margins, foot, report.url) if part)


def as_json(report: Report) -> str:
    return json.dumps(asdict(report), indent=2, ensure_ascii=False)


def as_junit(report: Report) -> str:
    """The verdict and each metric as a test case: worse is a failure, inconclusive is skipped."""
    name = f"release {report.candidate} against release {report.baseline}"
    verdicts = [report.verdict, *[line.verdict for line in report.lines]]
    suite = ElementTree.Element(
        "testsuite", name=name, tests=str(len(verdicts)), failures=str(verdicts.count("worse")),
        skipped=str(verdicts.count("inconclusive")), errors="0",
    )  # fmt: skip
    _case(suite, "verdict", report.verdict, report.sentence)
    for line in report.lines:
        figures = line.figures
        said = f"{figures.before} → {figures.after} ({figures.interval})"
        _case(suite, line.label, line.verdict, said)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _case(suite: ElementTree.Element, name: str, verdict: str, said: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname="comparison", name=name)
    message = _NOT_XML.sub("", said)
    if verdict == "worse":
        ElementTree.SubElement(case, "failure", message=verdict).text = message
    elif verdict == "inconclusive":
        ElementTree.SubElement(case, "skipped", message=f"inconclusive: {message}")
    else:
        ElementTree.SubElement(case, "system-out").text = f"{verdict}: {message}"


FORMATS = {"text": as_text, "md": as_markdown, "json": as_json, "junit": as_junit}
