"""Do people prefer what was written before, where the metric hardly moved?

Small differences of ROUGE do not follow what readers prefer (Deutsch, Dror and Roth, NAACL 2022). So where the primary
metric moved by less than the policy says, people choose between the two, blind, and the release passes once they have
judged so many documents and a net preference for before of so many points is excluded. What people say is read after
every vote, so both parts hold at every look: that a preference for before is established (an e-process) and what is
excluded of the net preference (a confidence sequence over documents won, lost and tied); `evaluation/people.py` names
their sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.people import (
    ESTABLISHED,
    Tally,
    count_votes,
    e_value,
    net_interval,
)
from models_app.evaluation.statistics import EVERYTHING
from models_app.gates.gate import Gate, Judged, Judges
from models_app.gates.results import Result, Verdict
from models_app.models import Comparison, ComparisonResult
from models_app.texts.figures import number, signed
from models_app.texts.needs import Between

NAME = "preference"
METHOD = "people, blind; documents by majority; e-process and confidence sequence that hold at every look, ties counted"
UNIT = "net points of 100 documents"


@dataclass(frozen=True)
class PreferencePolicy:
    LABELS: ClassVar = {
        "ask": "People are asked",
        "below": "A change of the primary metric is small below",
        "documents": "Documents that people have to judge",
        "judges": "Different people whose choices count",
        "behind": "Net preference for before that has to be excluded",
    }
    HELP: ClassVar = {
        "ask": "small: where the primary metric hardly moved.",
        "below": "In the metric's own units: points for ROUGE.",
        "behind": "Documents for before minus documents for after, of 100.",
    }

    ask: Literal["never", "small", "always"] = "small"
    below: Annotated[float, Between(0, 100, above=True)] = 1.0
    documents: Annotated[int, Between(10, 5000)] = 100
    judges: Annotated[int, Between(1, 50)] = 2
    behind: Annotated[float, Between(1, 100)] = 30.0


@dataclass(frozen=True)
class Facts:
    """`moved`: the primary metric's difference, in shown units; None where the comparison has none. `judges` are
    people; they may have had more `accounts`."""

    comparison: int
    metric: str
    moved: float | None
    tally: Tally
    judges: int
    accounts: int

    @property
    def documents(self) -> int:
        """That people have judged, or did not need to, because both releases wrote the same."""
        return self.tally.documents


def read(*, comparison: Comparison, primary: str, judges: Judges) -> Facts:
    """By now. Accounts that could be one person's are one judge, as they are one approver: what they chose counts by
    document all the same. 4 queries at most, and what `judges` asks."""
    moved = (
        ComparisonResult.objects.filter(
            comparison=comparison, against="baseline", metric=primary, slice=EVERYTHING
        )
        .values_list("delta", flat=True)
        .first()
    )
    count = count_votes(
        candidate=comparison.candidate.release_id,
        baseline=comparison.baseline.release_id,
        hands=judges.no_judges,
        evaluation_set=comparison.candidate.evaluation_set,
    )
    accounts = len(count.judges)
    people = accounts - len(judges.one_person_s(count.judges))
    return Facts(comparison.pk, primary, moved, count.tally, people, accounts)


def facts_of(judged: Judged) -> Facts:
    return read(
        comparison=judged.comparison,
        primary=judged.policy.primary.metric,
        judges=judged.judges(),
    )


def is_asked(facts: Facts, section: PreferencePolicy) -> bool:
    if section.ask == "always":
        return True
    return section.ask == "small" and (facts.moved is None or abs(facts.moved) < section.below)


def judge_facts(facts: Facts, section: PreferencePolicy) -> list[Result]:
    need = (
        f"{section.documents:,} documents by {section.judges:,} {'people' if section.judges > 1 else 'person'}, a net "
        f"preference for before of {number(section.behind)} of 100 excluded"
    )
    if not is_asked(facts, section):
        return [
            Result(
                NAME, "", Verdict.PASS, f"Not asked: {METRICS[facts.metric].label} moved by {signed(facts.moved, 2)}, "
                f"which is not less than {number(section.below, None)}.", f"asked below {number(section.below, None)}",
                METHOD, evidence=f"comparison:{facts.comparison}",
            )
        ]  # fmt: skip
    said = facts.tally
    low, high = (100 * bound for bound in net_interval(said.won, said.ties + said.identical, said.lost))
    net = 100 * (said.won - said.lost) / facts.documents if facts.documents else None
    verdict, words = _judgement(facts, section, low)
    counted = (
        f"{said.won:,} for after, {said.lost:,} for before, {said.ties + said.identical:,} for neither"
        if facts.documents
        else "Nobody has been asked yet"
    )
    return [
        Result(
            NAME, "", verdict, f"{counted}: {words}.", need, METHOD, estimate=net,
            low=None if net is None else low, high=None if net is None else high, threshold=-section.behind,
            n=facts.documents, unit=UNIT, evidence=f"comparison:{facts.comparison}",
        )
    ]  # fmt: skip


def _judgement(facts: Facts, section: PreferencePolicy, low: float) -> tuple[Verdict, str]:
    said = facts.tally
    established = e_value(said.won, said.lost) >= ESTABLISHED
    if established and said.lost > said.won:
        return Verdict.FAIL, "people prefer what was written before"
    missing = _missing(facts, section)
    if missing:
        return Verdict.INCONCLUSIVE, missing
    if established:
        return Verdict.PASS, "people prefer what was written after"
    if low > -section.behind:
        return Verdict.PASS, "no preference is established, and one that counts for before is excluded"
    more = documents_needed(said, section.behind)
    outlook = f"; about {more:,} more would tell if they go on so" if more else ""
    return (
        Verdict.INCONCLUSIVE,
        f"a net preference for before of {number(section.behind)} of 100 is not excluded{outlook}. Ask for more "
        "documents with Start human evaluation",
    )


def _missing(facts: Facts, section: PreferencePolicy) -> str:
    parts = []
    if facts.documents < section.documents:
        parts.append(f"{facts.documents:,} of {section.documents:,} documents are judged")
    if facts.judges < section.judges:
        more = (
            f", of whose {facts.accounts:,} accounts some could be one person's,"
            if facts.accounts > facts.judges
            else ""
        )
        parts.append(f"{facts.judges:,} of {section.judges:,} people{more} have judged")
    if not parts:
        return ""
    return (
        f"{' and '.join(parts)}. Start human evaluation on the release puts documents into the pairwise queue"
    )


#: More than that nobody asks for.
_MOST = 5000


def documents_needed(said: Tally, behind: float) -> int | None:
    """So many more documents exclude a net preference for before of `behind` of 100, if they are judged like those
    before; None where that is out of reach. A projection: it takes what was seen for what is true."""
    total = said.documents
    if not total or 100 * (said.won - said.lost) / total <= -behind:
        return None
    low, high = total, total
    while not _excluded(said, high / total, behind):
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _excluded(said, middle / total, behind) else (middle, high)
    return max(1, high - total)


def _excluded(said: Tally, times: float, behind: float) -> bool:
    counts = (said.won, said.ties + said.identical, said.lost)
    won, ties, lost = (math.floor(count * times) for count in counts)
    return 100 * net_interval(won, ties, lost)[0] > -behind


@dataclass(frozen=True)
class Progress:
    """Of the human evaluation of a release that is asked for, for its page."""

    comparison: int
    documents: int
    documents_wanted: int
    judges: int
    judges_wanted: int
    result: Result

    @property
    def shown(self) -> int:
        """On a bar that ends with what is wanted."""
        return min(self.documents, self.documents_wanted)

    @property
    def range(self) -> str:
        result = self.result
        if result.estimate is None or result.low is None or result.high is None:
            return ""
        return f"net preference {signed(result.estimate, 0)} of 100 [{signed(result.low, 0)}, {signed(result.high, 0)}]"


def progress_of(facts: Facts, section: PreferencePolicy) -> Progress | None:
    """None where the policy does not ask people about this release."""
    if not is_asked(facts, section):
        return None
    (result,) = judge_facts(facts, section)
    return Progress(
        facts.comparison, facts.documents, section.documents, facts.judges, section.judges, result
    )


def judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.preference)


GATE = Gate(
    NAME, "Human preference", judge, waivable=True, applies=lambda policy: policy.preference.ask != "never"
)
