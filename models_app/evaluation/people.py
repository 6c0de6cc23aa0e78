"""What people preferred who saw the summaries of two releases side by side, blind: the figure, its interval, its words.

Documents are the unit: each goes to the side that most of its judges preferred, so that several choices on one document
don't count as independent. The rate is the share of documents on the candidate's side, ties as half:
1/2 + decided share × (candidate's share of the decided − 1/2). Its interval takes both shares at the ends of their
exact intervals (Clopper and Pearson 1934), so it holds 50 % exactly where the sign test finds no difference, and
tells how little a study says that is all ties.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from django.db import transaction
from django.utils import timezone
from scipy.special import betaincinv

from models_app.evaluation.statistics import ALPHA
from models_app.models import HumanPreference, Release

#: Fewer documents can't tell: even if all went to one side, its interval would hold 50 %.
LEAST = 6
METHOD = "documents by majority, ties as half; exact intervals, 50 % inside where the sign test finds nothing"

Preferred = Literal["candidate", "baseline", "tie", "both bad"]


@dataclass(frozen=True)
class Choice:
    """One person's choice on one document; `candidate_left` says which side of the page the candidate stood on."""

    document: int
    preferred: Preferred
    candidate_left: bool


@dataclass(frozen=True)
class Rate:
    documents: int
    rate: float | None  # None where nothing was judged
    low: float
    high: float


def exact_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a share after Clopper and Pearson; (0, 1) where nothing was counted."""
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is no share")
    low = float(betaincinv(successes, total - successes + 1, ALPHA / 2)) if successes else 0.0
    high = float(betaincinv(successes + 1, total - successes, 1 - ALPHA / 2)) if successes < total else 1.0
    return low, high


def win_rate_by_document(choices: Iterable[Choice]) -> Rate:
    votes: dict[int, int] = defaultdict(int)
    for choice in choices:
        votes[choice.document] += {"candidate": 1, "baseline": -1}.get(choice.preferred, 0)
    documents = len(votes)
    if not documents:
        return Rate(0, None, 0.0, 1.0)
    won = sum(vote > 0 for vote in votes.values())
    decided = won + sum(vote < 0 for vote in votes.values())
    lean_low, lean_high = (bound - 0.5 for bound in exact_interval(won, decided))
    few, many = exact_interval(decided, documents)
    return Rate(
        documents,
        0.5 + (won - decided / 2) / documents,
        0.5 + lean_low * (few if lean_low > 0 else many),
        0.5 + lean_high * (many if lean_high > 0 else few),
    )


def keep_preference(
    *, candidate: Release, baseline: Release, read: Callable[[], Iterable[Choice]]
) -> HumanPreference:
    """Write the figures anew from all choices there are.

    `read` is called once the row is locked, so that of two choices at the same time the second sees the first.
    """
    with transaction.atomic():
        nothing = dict.fromkeys(
            ("documents", "choices", "candidate_better", "baseline_better", "ties", "both_bad"), 0
        )
        HumanPreference.objects.get_or_create(
            candidate=candidate, baseline=baseline, defaults={**nothing, "method": METHOD}
        )
        row = HumanPreference.objects.select_for_update().get(candidate=candidate, baseline=baseline)
        choices = list(read())
        found = win_rate_by_document(choices)
        row.documents, row.choices = found.documents, len(choices)
        row.candidate_better = sum(choice.preferred == "candidate" for choice in choices)
        row.baseline_better = sum(choice.preferred == "baseline" for choice in choices)
        row.ties = sum(choice.preferred == "tie" for choice in choices)
        row.both_bad = sum(choice.preferred == "both bad" for choice in choices)
        row.left_preferred = sum(
            choice.preferred == ("candidate" if choice.candidate_left else "baseline") for choice in choices
        )
        row.win_rate = found.rate
        row.low, row.high = (found.low, found.high) if found.documents else (None, None)
        row.method, row.updated_at = METHOD, timezone.now()
        row.save()
    return row


# ---------------------------------------------------------------- in words


@dataclass(frozen=True)
class People:
    """A row in words, for pages and evidence."""

    row: HumanPreference
    verdict: str  # improved, worse or inconclusive
    sentence: str
    counts: str
    sides: str
    lopsided: bool  # one side of the page was chosen more often than chance allows


def preferences(*, candidate: Release, baseline: Release | None = None) -> list[People]:
    """What people said of a candidate, against one release or each. 1 query."""
    rows = HumanPreference.objects.filter(candidate=candidate, documents__gt=0).order_by("-updated_at")
    if baseline is not None:
        rows = rows.filter(baseline=baseline)
    return [in_words(row) for row in rows]


def in_words(row: HumanPreference) -> People:
    if row.win_rate is None or row.low is None or row.high is None:
        raise ValueError(f"nothing was judged in {row}")
    verdict = "improved" if row.low > 0.5 else "worse" if row.high < 0.5 else "inconclusive"
    interval = f"{row.win_rate:.0%} [{row.low * 100:.0f}, {row.high * 100:.0f}]".replace("%", " %")
    documents = f"{row.documents:,} document{'s' * (row.documents != 1)}"
    said = {
        "improved": f"after preferred: {interval}",
        "worse": f"before preferred: after wins {interval}",
        "inconclusive": f"no preference is established: after wins {interval}",
    }[verdict]
    if row.documents < LEAST:
        said = f"too few to say: after wins {interval}; {LEAST} are the least that can tell"
    decided = row.candidate_better + row.baseline_better
    low, high = exact_interval(row.left_preferred, decided)
    lopsided = not low <= 0.5 <= high
    sides = ""
    if decided:
        share = f"{row.left_preferred / decided:.0%}".replace("%", " %")
        chance = "chance does not explain that" if lopsided else "chance explains it"
        sides = f"The text on the left was preferred in {share} of {decided:,} decided choices; {chance}."
    return People(
        row,
        verdict,
        f"People, blind: {documents}, {said}.",
        _counted(row),
        sides,
        lopsided,
    )


def _counted(row: HumanPreference) -> str:
    parts: Sequence[tuple[int, str]] = (
        (row.candidate_better, "after better"),
        (row.baseline_better, "before better"),
        (row.ties, "no difference"),
        (row.both_bad, "both bad"),
    )
    total = f"{row.choices:,} choice{'s' * (row.choices != 1)}"
    return f"{total}: " + ", ".join(f"{count:,} {words}" for count, words in parts if count)
