"""What a comparison and the gates come to: a word, a line, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.contrib.auth.models import User
from django.urls import reverse

from models_app.evaluation.metrics import Metric
from models_app.evaluation.wording import Fall
from models_app.gates.running import Outcome
from models_app.models import Comparison, Release
from models_app.releases.hands import Hands, judged_by_their_own_policy
from models_app.releases.standing import listed
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
    """At most three: what does not simply pass, a text with something new, a loss that neither of these says."""
    found = in_the_way(rows)[:2]
    told = [document for group in groups for document in group.documents if document.flag_tone == "bad"]
    if told:
        one = told[0]
        found.append(
            Doubt(one.example.title or "A document", f"#doc-{one.number}", one.flag[0].lower() + one.flag[1:])
        )
    in_the_table = {row.name for row in rows if row.state != "pass"}
    for metric, fall in falls:
        if fall.is_whole and metric.key in in_the_table:
            continue
        where = "" if fall.is_whole else f" on “{fall.result.slice}”"
        words = f"{metric.label}{where} {fall.figures.difference}"
        found.append(Doubt(words, reverse("comparison", args=[comparison.pk]), fall.severity.in_words))
    return found[:3]


def doubts_of_policy(release: Release, hands: Hands) -> list[Doubt]:
    """A policy that one of those changed who may want the release to pass it. 1 query where somebody did."""
    own = judged_by_their_own_policy(hands)
    if not own:
        return []
    names = User.objects.filter(pk__in=own).order_by("username").values_list("pk", "username")
    url = reverse("policy", args=[release.environment.name])
    return [
        Doubt(f"{name} changed the policy", url, f"that judges it, and {listed(own[pk])}")
        for pk, name in names
    ]


def in_the_way(rows: Sequence[GateRow]) -> list[Doubt]:
    """What does not simply pass."""
    words = {"fail": "failed", "error": "could not be judged"}
    return [
        Doubt(row.label, f"#{row.key}", words.get(row.state, f"is {row.state}"))
        for row in rows
        if row.state != "pass"
    ]


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
        return Headline("blocked", "The gates do not let it pass.", "bad", _in_the_way(outcome))
    said = Headline(comparison.verdict, LINES[comparison.verdict], VERDICT_TONES[comparison.verdict])
    if outcome is not None and outcome.state == "needs evidence":
        return replace(said, tone="maybe", blocked=_in_the_way(outcome))
    return said


def _in_the_way(outcome: Outcome) -> str:
    """What the first two of those that do not pass found, but for the metrics, of which the comparison's own sentence
    tells. All of them stand in the table."""
    found = [one for one in outcome.standing_in_the_way if one.row.verdict in ("fail", "error")]
    found = [one for one in found or outcome.standing_in_the_way if one.row.gate not in ("primary", "guards")]
    if outcome.findings and not found:
        return ""
    said = [f"{one.label}: {one.row.words}" for one in found[:2]]
    more = len(found) - len(said)
    return " ".join([*said, *([f"And {more} more."] if more else [])]) or outcome.words
