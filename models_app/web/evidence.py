"""The evidence of a release as an approver reads it: gates at a glance, nine documents, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import F, OuterRef, Subquery
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.reading import KINDS, Reading, Shown
from models_app.evaluation.wording import Fall
from models_app.gates.running import Finding, Outcome
from models_app.models import Comparison, EvaluationExample, ExampleScore, GateResult
from models_app.texts.differences import word_difference
from models_app.texts.figures import interval, number, signed
from models_app.texts.measures import (
    find_names,
    find_numbers,
    is_known,
    known_words,
    missing_names,
    missing_numbers,
)
from models_app.texts.sentences import sentence_spans
from models_app.web.svg import tag
from models_app.web.trail import subject_words

# ---------------------------------------------------------------- gates

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
    """A line of the table. `note` is its second line, which what does not simply pass has."""

    state: str
    key: str
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
    elif state != "pass":
        note = f"{row.words} {finding.unwaivable}".strip()
    return GateRow(
        state=state,
        key=f"gate-{row.gate}-{row.position}",
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


# ---------------------------------------------------------------- nine documents

HEADS = {"worst": "Worst", "typical": "Typical", "best": "Best"}
EXCERPT = 330


@dataclass(frozen=True)
class Document:
    number: int
    example: EvaluationExample
    url: str
    figures: str
    change: str
    tone: str
    flag: str
    flag_tone: str
    article: SafeString
    before: SafeString
    after: SafeString
    difference: SafeString
    reference: str

    @property
    def language(self) -> str:
        return str(self.example.fields.get("language", ""))[:3]

    @property
    def words(self) -> int:
        return len(self.example.source.split())


@dataclass(frozen=True)
class Group:
    kind: str
    head: str
    of: str
    documents: Sequence[Document]


def nine_documents(comparison: Comparison, reading: Reading) -> list[Group]:
    """1 query."""
    wanted = [one.example for one in reading.documents]
    before = ExampleScore.objects.filter(run=comparison.baseline_id, example=OuterRef("example"))
    found = {
        score.example_id: score
        for score in ExampleScore.objects.filter(run=comparison.candidate_id, example__in=wanted)
        .annotate(old_output=Subquery(before.values("output")[:1]), title=F("example__title"))
        .select_related("example")
    }
    metric = METRICS[reading.metric]
    worse, better = reading.bins.below, reading.bins.above
    if metric.better == "lower":
        worse, better = better, worse
    of = {
        "worst": f"of {worse:,} that got worse" if worse else "none got worse",
        "typical": f"drawn from the middle third, seed {comparison.seed}",
        "best": f"of {better:,} that got better" if better else "none got better",
    }
    groups, position = [], 0
    for kind in KINDS:
        documents = []
        for shown in reading.of_kind(kind):
            position += 1
            documents.append(_document(position, shown, found[shown.example], comparison, metric))
        if documents:
            groups.append(Group(kind, f"{HEADS[kind]} {len(documents)}", of[kind], documents))
    return groups


def _document(
    number_: int, shown: Shown, score: ExampleScore, comparison: Comparison, metric: Metric
) -> Document:
    example = score.example
    old, new = score.old_output or "", score.output  # type: ignore[attr-defined]
    places = max(metric.decimals, 1)
    change = shown.after - shown.before
    gained = change if metric.better != "lower" else -change
    flag, tone = _flag(example, old, new)
    return Document(
        number=number_,
        example=example,
        url=reverse("comparison_document", args=[comparison.pk, example.pk]),
        figures=f"{number(shown.before, places)} to {number(shown.after, places)}",
        change=signed(change, places),
        tone="up" if gained > 0 else "down" if gained < 0 else "flat",
        flag=flag,
        flag_tone=tone,
        article=_article(example, old, new),
        before=_with_what_is_new(example.source, old),
        after=_with_what_is_new(example.source, new),
        difference=_difference(old, new),
        reference=example.reference,
    )


def _flag(example: EvaluationExample, old: str, new: str) -> tuple[str, str]:
    """The one fact that is worth a second look; facts only, no opinion."""
    if not new.strip():
        return "No summary at all", "bad"
    source = example.source
    for find, word in ((missing_numbers, "number"), (missing_names, "name")):
        then = {one.text.casefold() for one in find(source, old)}
        now = {one.text.casefold(): one.text for one in find(source, new)}
        came = [text for key, text in now.items() if key not in then]
        if came:
            return f"New {word} that the article lacks: {came[0]}", "bad"
    for find, word in ((missing_numbers, "Number"), (missing_names, "Name")):
        gone = [one.text for one in find(source, old) if one.text not in new]
        if gone:
            return f"{word} that the article lacks is gone: {gone[0]}", "ok"
    lost, won = _facts(example.reference, old, new)
    if lost:
        return f"Left out: {lost[0]}", "maybe"
    return (f"Now has: {won[0]}", "ok") if won else ("", "")


def _facts(reference: str, old: str, new: str) -> tuple[list[str], list[str]]:
    """Numbers and names of the reference that only before has, and those that only after has."""
    lost: list[str] = []
    won: list[str] = []
    values = [{value for one in find_numbers(text) for value in one.values} for text in (old, new)]
    for fact in find_numbers(reference):
        had, has = (not known.isdisjoint(fact.values) for known in values)
        if had != has:
            (won if has else lost).append(fact.text)
    words = [known_words(text) for text in (old, new)]
    for name in find_names(reference):
        had, has = (is_known(name, known) for known in words)
        if had != has:
            (won if has else lost).append(name.text)
    return lost, won


def _article(example: EvaluationExample, old: str, new: str) -> SafeString:
    """Its beginning, or the sentence with what decides; marked are facts of the reference that one of the two has."""
    source = example.source
    lost, won = _facts(example.reference, old, new)
    marks = sorted({at for fact in (*lost, *won) for at in _places_in(source, fact)})
    start = 0
    if marks and marks[0][1] > EXCERPT:
        start = next(
            (begin for begin, end in sentence_spans(source) if begin <= marks[0][0] < end), marks[0][0]
        )
    end = min(len(source), start + EXCERPT)
    if end < len(source):
        cut = source.rfind(" ", start, end)
        end = cut if cut > start else end
    pieces = [format_html("… ") if start else SafeString("")]
    at = start
    for begin, stop in marks:
        if begin >= at and stop <= end:
            pieces += [format_html("{}<mark>{}</mark>", source[at:begin], source[begin:stop])]
            at = stop
    pieces.append(format_html("{}{}", source[at:end], " …" if end < len(source) else ""))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _places_in(text: str, words: str) -> list[tuple[int, int]]:
    at = text.find(words)
    return [(at, at + len(words))] if at >= 0 else []


def _with_what_is_new(source: str, summary: str) -> SafeString:
    """The clean text, with a wavy line under numbers and names that the article lacks."""
    spans = [(one.start, one.end) for one in missing_numbers(source, summary)]
    spans += [(one.start, one.end) for one in missing_names(source, summary)]
    pieces, at = [], 0
    for start, end in sorted(spans):
        if start < at:
            continue
        pieces.append(format_html("{}{}", summary[at:start], _suspect(summary[start:end])))
        at = end
    pieces.append(format_html("{}", summary[at:]))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _suspect(words: str) -> SafeString:
    return format_html('<span class="sus">{}<span class="sr"> (not in the article)</span></span>', words)


def _difference(old: str, new: str) -> SafeString:
    tags = {"same": "{}", "deleted": "<del>{}</del>", "inserted": "<ins>{}</ins>"}
    return format_html_join(
        "", "{}", ((format_html(tags[part.kind], part.text),) for part in word_difference(old, new))
    )


# ---------------------------------------------------------------- verdict

LINES = {
    "improved": "Closer to the references.",
    "not worse": "No loss that counts.",
    "inconclusive": "It may be better or worse.",
    "worse": "Further from the references.",
}


@dataclass(frozen=True)
class Doubt:
    """Something that speaks against it: a link to where that is seen, and the rest of the sentence."""

    words: str
    url: str
    more: str = ""


def doubts(
    rows: Sequence[GateRow],
    groups: Sequence[Group],
    falls: Sequence[tuple[Metric, Fall]],
    comparison: Comparison,
) -> list[Doubt]:
    """At most three: what does not simply pass, a text with something new, a loss that the verdict does not say."""
    found = [
        Doubt(row.label, f"#{row.key}", {"error": "could not be judged"}.get(row.state, f"is {row.state}"))
        if row.state != "fail"
        else Doubt(row.label, f"#{row.key}", "failed")
        for row in rows
        if row.state != "pass"
    ][:2]
    told = [document for group in groups for document in group.documents if document.flag_tone == "bad"]
    if told:
        one = told[0]
        found.append(
            Doubt(one.example.title or "A document", f"#doc-{one.number}", one.flag[0].lower() + one.flag[1:])
        )
    for metric, fall in falls:
        where = "" if fall.is_whole else f" on “{fall.result.slice}”"
        words = f"{metric.label}{where} {fall.figures.difference}"
        found.append(Doubt(words, reverse("comparison", args=[comparison.pk]), fall.severity.in_words))
    return found[:3]


@dataclass(frozen=True)
class Headline:
    """The verdict in a word and a line; `blocked`: what the gates say, where they let it pass no further."""

    word: str
    line: str
    tone: str
    blocked: str = ""


VERDICT_TONES = {"improved": "ok", "not worse": "info", "inconclusive": "maybe", "worse": "bad"}


def headline(comparison: Comparison, outcome: Outcome | None) -> Headline:
    if outcome is not None and outcome.state == "blocked":
        return Headline("blocked", "The gates do not let it pass.", "bad", outcome.words)
    said = Headline(comparison.verdict, LINES[comparison.verdict], VERDICT_TONES[comparison.verdict])
    if outcome is not None and outcome.state == "needs evidence":
        return replace(said, tone="maybe", blocked=outcome.words)
    return said


# ---------------------------------------------------------------- where it comes from


@dataclass(frozen=True)
class Station:
    """Of the picture: `lane` is top (what trains), low (what tests) or mid; `kind` done, now, bad, or nothing where it
    has not been reached."""

    name: str
    note: str
    kind: str
    url: str
    column: int
    lane: str


@dataclass(frozen=True)
class Path:
    d: str
    done: bool


@dataclass(frozen=True)
class LineagePicture:
    stations: Sequence[Station]
    paths: Sequence[Path]


COLUMNS = 9
UPPER = {1: (5,), 2: (3, 5), 3: (2, 3, 5), 4: (2, 3, 4, 5)}


def lineage_picture(
    origins: Sequence[Step], later: Sequence[Step], *, test_set: Step | None, documents: str
) -> LineagePicture:
    """`origins` lead to the model and `later` from the comparison on; both lanes begin with the documents."""
    stations = [Station("Documents", documents, "done", "", 1, "mid")]
    stations += [
        Station(step.name, step.note, step.kind, step.url, column, "top")
        for step, column in zip(origins, UPPER[len(origins)], strict=True)
    ]
    if test_set is not None:
        stations.append(Station(test_set.name, test_set.note, test_set.kind, test_set.url, 2, "low"))
    stations += [
        Station(step.name, step.note, step.kind, step.url, 6 + at, "mid") for at, step in enumerate(later)
    ]
    return LineagePicture(stations, _paths(later, tested=test_set is not None))


def _paths(later: Sequence[Step], *, tested: bool) -> list[Path]:
    def x(column: int) -> float:
        return round((column - 0.5) / COLUMNS * 100, 2)

    one, two, five, six = x(1), x(2), x(5), x(6)
    paths = [
        Path(
            f"M{one} 52C{one + 5} 52 {two - 6} 12 {two} 12H{five - 2}C{five + 3} 12 {six - 6} 52 {six - 3} 52H{six}",
            later[0].kind == "done",
        )
    ]
    if tested:
        paths.append(
            Path(
                f"M{one} 52C{one + 5} 52 {two - 6} 92 {two} 92H{five - 5}C{five} 92 {six - 8} 52 {six - 4} 52H{six}",
                later[0].kind == "done",
            )
        )
    paths += [
        Path(f"M{x(6 + at)} 52H{x(7 + at)}", step.kind in ("done", "bad", "now"))
        for at, step in enumerate(later[1:])
    ]
    return paths


@dataclass(frozen=True)
class Step:
    """A station of the loop. `kind`: done, now, bad, or nothing where it has not been reached."""

    name: str
    note: str
    kind: str = ""
    url: str = ""
