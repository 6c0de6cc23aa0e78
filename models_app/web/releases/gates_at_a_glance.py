"""What the gates found, a line each, with a bar where a figure has an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from models_app.evaluation.metrics import METRICS
from models_app.gates.running import Finding
from models_app.models import GateResult
from models_app.texts.figures import interval, number, signed
from models_app.web.svg import tag
from models_app.web.trail import subject_words

#: What is shown is a difference, which has a sign.
DIFFERENCES = ("primary", "guards", "slices", "forgetting", "preference")
#: Of these less is better; of metrics the catalogue says it.
LESS_IS_BETTER = ("safety", "speed", "leakage", "personal_data", "data_quality")
#: What they find is counted; a difference among their rows is told beside it and is not what they are about.
COUNTED = ("leakage", "personal_data", "data_quality")
STATES = ("fail", "error", "inconclusive", "waived", "pass")
TONES = {"inconclusive": "maybe"}


@dataclass(frozen=True)
class GateRow:
    """A line of the table. `name` is that of its row within the gate; `note` is its second line, which what does not
    simply pass has."""

    state: str
    key: str
    name: str
    label: str
    url: str
    result: str
    interval: str
    bar: SafeString | str
    words: str
    needs: str
    n: int | None
    note: SafeString | str

    @property
    def tone(self) -> str:
        return TONES.get(self.state, self.state)


def gate_rows(findings: Sequence[Finding], *, release: int) -> list[GateRow]:
    """What does not simply pass first, a line each; then a line for each gate, with its worst row, in their order."""
    by_gate: dict[str, list[Finding]] = {}
    for finding in findings:
        by_gate.setdefault(finding.row.gate, []).append(finding)
    rows = []
    for found in by_gate.values():
        passing = [one for one in found if _state(one) == "pass"]
        rows += [_gate_row(one, _label(one), release) for one in found if _state(one) != "pass"]
        if passing:
            rows.append(_passing(passing, release))
    return sorted(rows, key=lambda row: STATES.index(row.state))


def counted(findings: Sequence[Finding]) -> str:
    """12 pass, 1 waived"""
    counts = {state: sum(_state(one) == state for one in findings) for state in STATES}
    words = {"fail": "failed", "error": "could not be judged"}
    return ", ".join(f"{count} {words.get(state, state)}" for state, count in counts.items() if count)


def _state(finding: Finding) -> str:
    return "waived" if finding.waiver is not None else finding.row.verdict


def _label(finding: Finding) -> str:
    row = finding.row
    metric = METRICS.get(row.name)
    name = metric.label if metric is not None else row.name.replace("_", " ")
    if row.gate == "primary" and name:
        return f"{name}, primary"
    return f"{finding.label}: {name}" if name else finding.label


def _passing(found: Sequence[Finding], release: int) -> GateRow:
    if len(found) == 1:
        return _gate_row(found[0], _label(found[0]), release)
    measured = [(_room(one.row, ends), one) for one in found if (ends := _measured(one.row)) is not None]
    label = found[0].label
    if not measured or found[0].row.gate in COUNTED:
        words = f"all {len(found)} rows pass"
        return _gate_row(found[0], label, release, words=words)
    worst = min(measured, key=lambda pair: pair[0])[1]
    return _gate_row(worst, f"{label}, worst of {len(found)}", release)


def _measured(row: GateResult) -> tuple[float, float, float] | None:
    """Low, high and threshold of a row that a bar can show."""
    if row.low is None or row.high is None or row.estimate is None or row.threshold is None:
        return None
    return row.low, row.high, row.threshold


def _is_higher_better(row: GateResult) -> bool:
    metric = METRICS.get(row.name)
    if metric is not None:
        return metric.better != "lower"
    return row.unit == "points" or row.gate not in LESS_IS_BETTER


def _room(row: GateResult, ends: tuple[float, float, float]) -> float:
    """How far the worse end of the interval is on the side that passes, in widths of the interval."""
    low, high, threshold = ends
    room = low - threshold if _is_higher_better(row) else threshold - high
    return room / max(high - low, 1e-9)


def _gate_row(finding: Finding, label: str, release: int, *, words: str = "") -> GateRow:
    row, state = finding.row, _state(finding)
    ends = None if words else _measured(row)
    places = _places(row)
    evidence = subject_words(row.evidence).url if row.evidence else ""
    note: SafeString | str = ""
    if finding.waiver is not None:
        waiver = finding.waiver
        note = format_html(
            "{} Waived until {} by {} and {}: “{}”", row.words, f"{waiver.expires_at:%-d %B %Y}",
            waiver.asked_by.get_username(), waiver.agreed_by.get_username() if waiver.agreed_by else "–",
            waiver.reason,
        )  # fmt: skip
    elif state == "inconclusive":
        note = f"{row.words} {finding.unwaivable}".strip()
    elif state != "pass":
        note = row.words  # whether it could be waived, the page of all results says
    return GateRow(
        state=state,
        key=f"gate-{row.gate}-{row.position}",
        name=row.name,
        label=label,
        url=evidence or reverse("release_gates", args=[release]),
        result=_figure(row, row.estimate, places) if row.estimate is not None and not words else "",
        interval=interval(row.low, row.high, places) if ends else "",
        bar=_bar(row, ends, state) if ends else "",
        words=words or (row.words if not note else row.need),
        needs=_needs(row, places) if ends else row.need,
        n=row.n,
        note=note,
    )


def _places(row: GateResult) -> int:
    metric = METRICS.get(row.name)
    if metric is not None:
        return max(metric.decimals, 1)
    return {"times": 2, "MB": 0, "ms": 0}.get(row.unit, 1)


def _figure(row: GateResult, value: float | None, places: int) -> str:
    written = signed(value, places) if row.gate in DIFFERENCES else number(value, places)
    return f"{written}{ {'times': ' ×', '%': ' %', 'MB': ' MB', 'ms': ' ms'}.get(row.unit, '') }"


def _needs(row: GateResult, places: int) -> str:
    side = "over" if _is_higher_better(row) else "under"
    whole = row.threshold is not None and row.threshold == int(row.threshold)
    return f"{side} {number(row.threshold, 0 if whole else places)}"


def _bar(row: GateResult, measured: tuple[float, float, float], state: str) -> SafeString:
    """Of its own scale: the tinted side passes, the upright line is the threshold, the mark the estimate."""
    pad = (max(measured) - min(measured)) * 0.18 or 1.0
    low, high = min(measured) - pad, max(measured) + pad

    def at(value: float | None) -> str:
        return f"{((value or 0.0) - low) / (high - low) * 100:.2f}%"

    above = _is_higher_better(row)
    threshold = at(row.threshold)
    zone = {
        "x": threshold if above else "0%",
        "width": f"{100 - float(threshold[:-1]):.2f}%" if above else threshold,
    }
    return tag(
        "svg",
        tag("rect", class_="zone", y=3, height=14, rx=2, **zone),
        tag("line", class_="track", x1="0", x2="100%", y1=10, y2=10),
        tag("line", class_="iv", x1=at(row.low), x2=at(row.high), y1=10, y2=10),
        tag("line", class_="thr", x1=threshold, x2=threshold, y1=0, y2=20),
        tag("svg", _sign(state), x=at(row.estimate), y=10, width=1, height=1, overflow="visible"),
        class_=f"range {TONES.get(state, state)}",
        width="100%",
        height=20,
        aria_hidden="true",
        focusable="false",
    )


def _sign(state: str) -> SafeString:
    if state == "pass":
        return tag("circle", r=4.4, class_="pt")
    if state in ("fail", "error"):
        return tag("path", d="M-4.2-4.2H4.2V4.2H-4.2z", class_="pt")
    return tag("path", d="M0-5.6L5.6 0 0 5.6-5.6 0z", class_="pt hollow" if state == "waived" else "pt")
