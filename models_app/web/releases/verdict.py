"""What a comparison and the gates come to: a word, a line, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.urls import reverse

from models_app.evaluation.metrics import Metric
from models_app.evaluation.wording import Fall
from models_app.gates.running import Outcome
from models_app.models import Comparison
from models_app.web.releases.gates_at_a_glance import GateRow
from models_app.web.releases.nine_documents import Group

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
