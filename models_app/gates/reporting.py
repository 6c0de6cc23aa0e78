"""What the gates found as text, Markdown, JSON or JUnit, for pipelines. `report_of` reads, the rest is pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree  # nosec B405 (written here, never read)

from models_app.evaluation.metrics import METRICS
from models_app.gates import running
from models_app.gates.results import Verdict, worst
from models_app.gates.running import Finding
from models_app.models import GateRun
from models_app.texts.figures import DASH, interval, number

# What XML 1.0 cannot contain.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HEAD = ("gate", "result", "verdict", "found", "estimate", "95 % interval", "n", "needed")


@dataclass(frozen=True)
class Line:
    """A row of a gate. `verdict` is what was found, `counts_as` is that or, by a waiver, a pass."""

    gate: str
    label: str
    name: str
    verdict: str
    counts_as: str
    waiver: int | None
    words: str
    need: str
    method: str
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float | None
    n: int | None
    unit: str
    evidence: str
    decimals: int = 3

    @property
    def word(self) -> str:
        return self.verdict if self.waiver is None else f"{self.verdict}, waived"


@dataclass(frozen=True)
class Report:
    """`verdict` counts waivers in; it is None while the gates are judged."""

    release: int
    environment: str
    state: str  # the release's own: "draft" where it was not submitted
    outcome: str  # what the run means: "blocked"
    verdict: str | None
    words: str
    run: int
    run_state: str
    comparison: int
    comparison_verdict: str
    policy: int
    policy_digest: str
    digest: str
    lines: Sequence[Line]
    url: str = ""

    @property
    def heading(self) -> str:
        return f"Gates of {self.environment}, release {self.release}: {self.verdict or 'being judged'}"


def verdict_of(run: GateRun, outcome: running.Outcome) -> Verdict | None:
    """What a run comes to with the waivers that hold; None while it goes on. One that failed is an error."""
    if run.state in GateRun.ACTIVE:
        return None
    if run.state == GateRun.State.FAILED:
        return Verdict.ERROR
    return worst(Verdict(one.counts_as) for one in outcome.findings)


def report_of(run: GateRun, *, url: str = "") -> Report:
    """By the waivers that hold now. `run` with its release, comparison and policy."""
    found = running.outcome(run)
    return Report(
        release=run.release_id,
        environment=run.release.environment.name,
        state=run.release.state,
        outcome=found.state,
        verdict=verdict_of(run, found),
        words=found.words,
        run=run.pk,
        run_state=run.state,
        comparison=run.comparison_id,
        comparison_verdict=run.comparison.verdict,
        policy=run.policy.number,
        policy_digest=run.policy_digest,
        digest=run.digest,
        lines=[_line(one) for one in found.findings],
        url=url,
    )


def _line(finding: Finding) -> Line:
    row = finding.row
    metric = METRICS.get(row.name)
    return Line(
        gate=row.gate, label=finding.label, name=row.name, verdict=row.verdict, counts_as=str(finding.counts_as),
        waiver=finding.waiver.pk if finding.waiver is not None else None, words=row.words, need=row.need,
        method=row.method, estimate=row.estimate, low=row.low, high=row.high, threshold=row.threshold, n=row.n,
        unit=row.unit, evidence=row.evidence, decimals=3 if metric is None else max(metric.decimals, 2),
    )  # fmt: skip


# ---------------------------------------------------------------- how it is written


def as_values(report: Report) -> dict[str, Any]:
    """As JSON: what the command writes and the API answers."""
    values = asdict(report)
    values["results"] = [
        {name: value for name, value in line.items() if name != "decimals"} for line in values.pop("lines")
    ]
    return values


def as_json(report: Report) -> str:
    return json.dumps(as_values(report), indent=2, ensure_ascii=False)


def as_text(report: Report) -> str:
    parts = [report.heading, report.words, ""]
    width = max((len(line.word) for line in report.lines), default=0)
    for line in sorted(report.lines, key=_passes):
        parts.append(f"{line.word.ljust(width)}  {_called(line)}: {line.words}")
        figures = "" if _passes(line) and line.low is None else _figures(line)
        needed = "" if line.counts_as == Verdict.PASS else f" Needed: {line.need}."
        if figures or needed:
            parts.append(f"{' ' * width}  {figures}{needed}".rstrip())
    return "\n".join([*parts, "", _foot(report)])


def _passes(line: Line) -> bool:
    """What stands in the way is read first."""
    return line.counts_as == Verdict.PASS


def _called(line: Line) -> str:
    return f"{line.label}, {line.name.replace('_', ' ')}" if line.name else line.label


def _figures(line: Line) -> str:
    said = []
    if line.estimate is not None:
        said.append(f"{number(line.estimate, line.decimals)}{f' {line.unit}' if line.unit else ''}")
    if line.low is not None and line.high is not None:
        said.append(f"95 % interval {interval(line.low, line.high, line.decimals)}")
    if line.n is not None:
        said.append(f"n = {line.n:,}")
    return f"{', '.join(said)}." if said else ""


def _cells(line: Line) -> list[str]:
    estimate = number(line.estimate, line.decimals)
    return [
        line.label,
        line.name.replace("_", " "),
        line.word,
        line.words,
        f"{estimate} {line.unit}" if line.unit and line.estimate is not None else estimate,
        interval(line.low, line.high, line.decimals),
        f"{line.n:,}" if line.n is not None else DASH,
        line.need,
    ]


def as_markdown(report: Report) -> str:
    rows = [list(HEAD), [":--", ":--", ":--", ":--", "--:", "--:", "--:", ":--"]]
    rows += [_cells(line) for line in sorted(report.lines, key=_passes)]
    table = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join([f"## {report.heading}", "", report.words, "", *table, "", _foot(report)])


def _cell(text: str) -> str:
    """On one line, and neither a column of its own nor HTML where Markdown is rendered."""
    plain = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("<", "&lt;").replace(">", "&gt;")


def _foot(report: Report) -> str:
    foot = (
        f"Gate run {report.run} on comparison {report.comparison} ({report.comparison_verdict}), policy "
        f"{report.policy} of {report.environment}."
    )
    return f"{foot}\n{report.url}" if report.url else foot


def as_junit(report: Report) -> str:
    """A test case for each row. What is inconclusive is a failure, too: a tool that counts skipped cases as good would
    let it pass. A waived row passes and says by which waiver."""
    counts = [line.counts_as for line in report.lines]
    broken = report.verdict == Verdict.ERROR and Verdict.ERROR not in counts
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(report.heading),
        tests=str(len(counts) + broken),
        failures=str(counts.count(Verdict.FAIL) + counts.count(Verdict.INCONCLUSIVE)),
        errors=str(counts.count(Verdict.ERROR) + broken),
        skipped="0",
    )
    for line in report.lines:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"gates.{line.gate}", name=_xml(_called(line))
        )
        _tell(
            case, line.counts_as, line.word, " ".join(filter(None, (line.words, _figures(line), line.need)))
        )
    if broken:
        case = ElementTree.SubElement(suite, "testcase", classname="gates", name="all gates are judged")
        _tell(case, Verdict.ERROR, "error", report.words)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _tell(case: ElementTree.Element, counts_as: str, word: str, said: str) -> None:
    if counts_as == Verdict.PASS:
        ElementTree.SubElement(case, "system-out").text = _xml(f"{word}: {said}")
        return
    kind = "error" if counts_as == Verdict.ERROR else "failure"
    ElementTree.SubElement(case, kind, type=counts_as, message=word).text = _xml(said)


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)


FORMATS: Mapping[str, Any] = {"text": as_text, "md": as_markdown, "json": as_json, "junit": as_junit}
