"""Nine documents of a comparison as an approver reads them: article, before, after, reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F, OuterRef, Subquery
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.reading import KINDS, Reading, Shown
from models_app.models import Comparison, EvaluationExample, ExampleScore
from models_app.texts.differences import word_difference
from models_app.texts.figures import number, signed
from models_app.texts.measures import (
    Name,
    Number,
    find_names,
    find_numbers,
    is_known,
    known_words,
    missing_names,
    missing_numbers,
)
from models_app.texts.sentences import sentence_spans

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
    then, now = Lacking.of(example.source, old), Lacking.of(example.source, new)
    flag, tone = _flag(example, old, new, then, now)
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
        before=_with_what_is_new(old, then),
        after=_with_what_is_new(new, now),
        difference=_difference(old, new),
        reference=example.reference,
    )


@dataclass(frozen=True)
class Lacking:
    """What a summary has that its article lacks."""

    numbers: Sequence[Number]
    names: Sequence[Name]

    @classmethod
    def of(cls, source: str, summary: str) -> Lacking:
        return cls(missing_numbers(source, summary), missing_names(source, summary))


def _flag(example: EvaluationExample, old: str, new: str, then: Lacking, now: Lacking) -> tuple[str, str]:
    """The one fact that is worth a second look; facts only, no opinion."""
    if not new.strip():
        return "No summary at all", "bad"
    kinds = (("number", then.numbers, now.numbers), ("name", then.names, now.names))
    for word, before, after in kinds:
        known = {one.text.casefold() for one in before}
        came = [one.text for one in after if one.text.casefold() not in known]
        if came:
            return f"New {word} that the article lacks: {came[0]}", "bad"
    for word, before, _ in kinds:
        gone = [one.text for one in before if one.text not in new]
        if gone:
            return f"{word.capitalize()} that the article lacks is gone: {gone[0]}", "ok"
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
    pieces = [SafeString("… ") if start else SafeString("")]
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


def _with_what_is_new(summary: str, lacking: Lacking) -> SafeString:
    """The clean text, with a wavy line under numbers and names that the article lacks."""
    spans = [(one.start, one.end) for one in lacking.numbers]
    spans += [(one.start, one.end) for one in lacking.names]
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
