"""What people preferred who saw the summaries of two releases side by side, blind: votes, what they say, its words.

Documents are the unit: each goes to the side that most of its judges preferred, so that several choices on one document
don't count as independent. A preference is read after every vote, so it is judged by a test that may be: an e-process.
For w documents won and l lost, e = B(a + w, a + l) / B(a, a) · 2^(w + l) grows beyond 1/α with a chance of at most α
where there is no preference, however often one looks (Robbins' mixture and Ville's inequality; Ramdas and others,
Game-theoretic statistics and safe anytime-valid inference, 2023). The interval holds the shares that a test of this
kind does not reject. Documents without a side say nothing about which is preferred; they are told beside it.
`benchmarks/preference_calibration.py` measures all that.

They do say that the two are alike. So how far the candidate is behind at most is read from all documents, those without
a side included: `net_interval`. `benchmarks/gate_calibration.py` measures it.

Votes are rows that are never changed. People who decide on a release are shown the votes up to the one that was the
last when it was submitted: later ones neither change that nor make it void.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from django.contrib.auth.models import User
from django.db import transaction

from models_app.evaluation.statistics import ALPHA
from models_app.models import EvaluationExample, EvaluationSet, HumanVote, Release

#: How the mixture spreads over shares around one half: most weight between 30 % and 70 %.
A = 10.0
ESTABLISHED = 1 / ALPHA
#: Larger values say nothing more, and floating point ends somewhere.
LARGEST_E = 1e12
METHOD = f"documents by majority, without those of no side; e-process with a = {A:g}, valid at every look"

Preferred = Literal["candidate", "baseline", "tie", "both bad"]


# ---------------------------------------------------------------- the test


def e_value(won: int, lost: int) -> float:
    """How strongly the documents speak against no preference; 1 where there are none. At most LARGEST_E."""
    log = _log_mixture(won, lost) + (won + lost) * math.log(2)
    return LARGEST_E if log >= math.log(LARGEST_E) else math.exp(log)


def _log_mixture(won: int, lost: int) -> float:
    from scipy.special import betaln

    if won < 0 or lost < 0:
        raise ValueError(f"{won} won and {lost} lost are no counts")
    return float(betaln(A + won, A + lost) - betaln(A, A))


def interval(won: int, lost: int) -> tuple[float, float]:
    """The shares of documents for the candidate that are not rejected, valid at every look; (0, 1) without any."""
    from scipy.optimize import brentq

    total = won + lost
    if not total:
        return 0.0, 1.0
    mixture = _log_mixture(won, lost)

    def against(share: float) -> float:
        likelihood = (won * math.log(share) if won else 0.0) + (lost * math.log1p(-share) if lost else 0.0)
        return mixture - likelihood - math.log(ESTABLISHED)

    best, least, most = won / total, 1e-12, 1 - 1e-12
    low = brentq(against, least, best) if won and against(least) > 0 else 0.0
    high = brentq(against, best, most) if lost and against(most) > 0 else 1.0
    return low, high


def net_interval(won: int, ties: int, lost: int) -> tuple[float, float]:
    """Bounds of the net preference, the share of documents for the candidate minus the share for the baseline, valid at
    every look; (-1, 1) without any document.

    A net preference lies inside unless the likeliest distribution over the three outcomes that has it is 20 times less
    likely than a mixture: any share of ties alike, and of those with a side the mixture above. For every distribution
    the ratio of the two is a martingale, so that the true one stays inside at every look with 95 % confidence (Ville's
    inequality; the maximum over a composite null as in Wasserman, Ramdas and Balakrishnan, Universal inference, PNAS
    2020, section 7).
    """
    from scipy.optimize import brentq
    from scipy.special import betaln

    if min(won, ties, lost) < 0:
        raise ValueError(f"{won} won, {ties} ties and {lost} lost are no counts")
    total = won + ties + lost
    if not total:
        return -1.0, 1.0
    mixture = _log_mixture(won, lost) + float(betaln(1 + ties, 1 + won + lost))

    def against(net: float) -> float:
        return mixture - _likeliest(won, ties, lost, net) - math.log(ESTABLISHED)

    best, least, most = (won - lost) / total, -1 + 1e-9, 1 - 1e-9
    best = min(max(best, least), most)
    low = brentq(against, least, best) if against(least) > 0 > against(best) else -1.0
    high = brentq(against, best, most) if against(most) > 0 > against(best) else 1.0
    return low, high


def _likeliest(won: int, ties: int, lost: int, net: float) -> float:
    """Log likelihood of the likeliest distribution over won, tie and lost of which won − lost is `net`."""
    if net < 0:
        return _likeliest(lost, ties, won, -net)
    # The derivative by the share of lost documents is a quadratic with one root between its bounds.
    total = won + ties + lost
    linear = won * (1 - net) + lost * (1 - 3 * net) - 2 * ties * net
    share = (linear + math.sqrt(linear * linear + 8 * total * lost * net * (1 - net))) / (4 * total)
    shares = (share + net, 1 - 2 * share - net, share)
    counts = (won, ties, lost)
    return sum(
        count * math.log(max(part, 1e-300)) for count, part in zip(counts, shares, strict=True) if count
    )


@functools.cache
def least_that_can_tell() -> int:
    """Documents that establish a preference if all of them go to one side."""
    documents = 1
    while e_value(documents, 0) < ESTABLISHED:
        documents += 1
    return documents


# ---------------------------------------------------------------- counting


@dataclass(frozen=True)
class Choice:
    """One person's choice on one document; `candidate_left` says which side of the page the candidate stood on."""

    document: str
    preferred: Preferred
    candidate_left: bool


@dataclass(frozen=True)
class Tally:
    """Documents by side, and the choices they came from."""

    won: int = 0
    lost: int = 0
    ties: int = 0  # documents whose judges saw no difference, found both bad, or were divided evenly
    identical: int = 0  # documents for which both wrote the same
    choices: int = 0
    candidate_better: int = 0
    baseline_better: int = 0
    no_difference: int = 0
    both_bad: int = 0
    left_preferred: int = 0
    left_out: int = 0  # choices of people who had a hand in the candidate

    @property
    def documents(self) -> int:
        return self.won + self.lost + self.ties + self.identical

    @property
    def decided(self) -> int:
        return self.won + self.lost

    @property
    def share(self) -> float | None:
        return self.won / self.decided if self.decided else None


def tally(choices: Iterable[Choice], *, identical: Collection[str] = (), left_out: int = 0) -> Tally:
    choices = list(choices)
    votes: dict[str, int] = defaultdict(int)
    for choice in choices:
        votes[choice.document] += {"candidate": 1, "baseline": -1}.get(choice.preferred, 0)
    preferred = [choice.preferred for choice in choices]
    return Tally(
        won=sum(vote > 0 for vote in votes.values()),
        lost=sum(vote < 0 for vote in votes.values()),
        ties=sum(vote == 0 for vote in votes.values()),
        identical=len(set(identical) - set(votes)),
        choices=len(choices),
        candidate_better=preferred.count("candidate"),
        baseline_better=preferred.count("baseline"),
        no_difference=preferred.count("tie"),
        both_bad=preferred.count("both bad"),
        left_preferred=sum(
            choice.preferred == ("candidate" if choice.candidate_left else "baseline") for choice in choices
        ),
        left_out=left_out,
    )


# ---------------------------------------------------------------- votes


def cast_vote(
    *,
    candidate: Release,
    baseline: Release,
    document_hash: str,
    origin: str,
    judge: User,
    preferred: str,
    candidate_left: bool,
) -> HumanVote:
    """Append one person's vote on a test document, which takes the place of the one before; "withdrawn" leaves none.

    Votes on one candidate come one after another, so that their ids grow as they are committed: what was counted up to
    one of them stays so. Call it in the transaction of the choice, before its audit event.
    """
    with transaction.atomic():
        Release.objects.select_for_update(no_key=True).get(pk=candidate.pk)
        return HumanVote.objects.create(
            candidate=candidate, baseline=baseline, document_hash=document_hash, origin=origin, judge=judge,
            preferred=preferred, candidate_left=candidate_left,
        )  # fmt: skip


def note_identical(
    *, candidate: Release, baseline: Release, document_hashes: Iterable[str], origin: str
) -> None:
    """Both wrote the same for these test documents: nobody needs to be asked, they are ties. Once each."""
    with transaction.atomic():
        Release.objects.select_for_update(no_key=True).get(pk=candidate.pk)
        HumanVote.objects.bulk_create(
            [
                HumanVote(
                    candidate=candidate, baseline=baseline, document_hash=each, origin=origin,
                    preferred=HumanVote.Preferred.IDENTICAL,
                )
                for each in document_hashes
            ],
            ignore_conflicts=True,
        )  # fmt: skip


#: What evidence calls the fields of a tally.
_TALLIED = {
    "documents": "documents",
    "candidate_preferred": "won",
    "baseline_preferred": "lost",
    "no_side": "ties",
    "identical": "identical",
    "choices": "choices",
    "candidate_better": "candidate_better",
    "baseline_better": "baseline_better",
    "no_difference": "no_difference",
    "both_bad": "both_bad",
    "left_preferred": "left_preferred",
    "choices_left_out": "left_out",
}


@dataclass(frozen=True)
class Count:
    """The votes on two releases up to one of them, and what they come to."""

    tally: Tally
    up_to: int  # the last vote's id; 0 without any vote
    digest: str  # over all these votes, those that do not count included
    judges_left_out: tuple[int, ...] = ()  # who voted and had a hand in the candidate
    judges: tuple[
        int, ...
    ] = ()  # whose choices count, the first one first; not among the facts: the votes say it

    def facts(self) -> dict[str, Any]:
        """As JSON, for evidence: which votes there are and how they are counted, nothing that follows from it. Another
        word or another digit of a library makes nothing void."""
        return {
            "votes_up_to": self.up_to,
            "votes_digest": self.digest,
            "judges_left_out": list(self.judges_left_out),
            **{fact: getattr(self.tally, field) for fact, field in _TALLIED.items()},
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        tallied = Tally(**{field: facts[fact] for fact, field in _TALLIED.items() if field != "documents"})
        return cls(tallied, facts["votes_up_to"], facts["votes_digest"], tuple(facts["judges_left_out"]))


def count_votes(
    *,
    candidate: int,
    baseline: int,
    hands: Collection[int],
    evaluation_set: EvaluationSet | None = None,
    up_to: int | None = None,
) -> Count:
    """`hands` had a part in the candidate: their votes do not count. With a test set only votes on its documents do.
    2 queries at most."""
    rows = HumanVote.objects.filter(candidate=candidate, baseline=baseline).order_by("pk")
    if up_to is not None:
        rows = rows.filter(pk__lte=up_to)
    return _counted(list(rows), hands, evaluation_set)


def _counted(
    rows: Sequence[HumanVote], hands: Collection[int], evaluation_set: EvaluationSet | None
) -> Count:
    digest = hashlib.sha256()
    standing: dict[tuple[str, int | None], HumanVote] = {}
    for row in rows:
        digest.update(json.dumps(_canonical(row)).encode() + b"\n")
        standing[row.document_hash, row.judge_id] = row
    votes: Iterable[HumanVote] = standing.values()
    if evaluation_set is not None and rows:
        tested = set(
            EvaluationExample.objects.filter(evaluation_set=evaluation_set).values_list(
                "document_hash", flat=True
            )
        )
        votes = [vote for vote in votes if vote.document_hash in tested]
    given = [vote for vote in votes if vote.judge_id is not None and vote.preferred != "withdrawn"]
    counting = [vote for vote in given if vote.judge_id not in hands]
    return Count(
        tally(
            [
                Choice(vote.document_hash, vote.preferred, bool(vote.candidate_left))  # type: ignore[arg-type]
                for vote in counting
            ],
            identical=[vote.document_hash for vote in votes if vote.judge_id is None],
            left_out=len(given) - len(counting),
        ),
        rows[-1].pk if rows else 0,
        digest.hexdigest() if rows else "",
        tuple(sorted({row.judge_id for row in rows if row.judge_id is not None and row.judge_id in hands})),
        _in_order(rows, {vote.judge_id for vote in counting if vote.judge_id is not None}),
    )


def _in_order(rows: Sequence[HumanVote], judges: Collection[int]) -> tuple[int, ...]:
    return tuple(
        dict.fromkeys(row.judge_id for row in rows if row.judge_id in judges and row.judge_id is not None)
    )


def _canonical(row: HumanVote) -> list[Any]:
    return [
        row.pk, row.candidate_id, row.baseline_id, row.document_hash, row.origin, row.judge_id, row.preferred,
        row.candidate_left, row.at.isoformat(),
    ]  # fmt: skip


# ---------------------------------------------------------------- in words


@dataclass(frozen=True)
class People:
    """A count in words."""

    candidate: int
    baseline: int
    count: Count
    e: float
    low: float
    high: float
    verdict: str  # improved, worse or inconclusive
    sentence: str
    counts: str
    sides: str
    lopsided: bool  # one side of the page was chosen more often than chance allows

    @property
    def tally(self) -> Tally:
        return self.count.tally

    def conclusion(self) -> dict[str, Any]:
        """What the count comes to, as JSON, in the figures and words of this version of Galley."""
        share = self.tally.share
        return {
            "share": None if share is None else round(share, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "e": float(f"{self.e:.3g}"),
            "verdict": self.verdict,
            "sentence": self.sentence,
            "method": METHOD,
        }


def preferences(
    *,
    candidate: Release,
    hands: Collection[int],
    baseline: Release | None = None,
    evaluation_set: EvaluationSet | None = None,
) -> list[People]:
    """What people say of a candidate by now, against one release or each, the latest first; without those on whom
    nobody has said anything. 2 queries at most."""
    rows: dict[int, list[HumanVote]] = defaultdict(list)
    votes = HumanVote.objects.filter(candidate=candidate).order_by("pk")
    for vote in votes.filter(baseline=baseline) if baseline is not None else votes:
        rows[vote.baseline_id].append(vote)
    said = [
        in_words(candidate.pk, other, _counted(found, hands, evaluation_set)) for other, found in rows.items()
    ]
    told = [people for people in said if people.tally.choices or people.tally.left_out]
    return sorted(told, key=lambda people: -people.count.up_to)


def evidence_of(
    *,
    candidate: Release,
    baseline: Release,
    hands: Collection[int],
    evaluation_set: EvaluationSet,
    up_to: int | None,
) -> dict[str, Any]:
    """How people voted on the documents of a test set, as facts to decide on."""
    return count_votes(
        candidate=candidate.pk, baseline=baseline.pk, hands=hands, evaluation_set=evaluation_set, up_to=up_to
    ).facts()


def said_when_submitted(release: Release) -> People | None:
    """What the votes in a release's evidence come to; None for a draft."""
    facts = release.evidence.get("people")
    if facts is None or release.comparison is None:
        return None
    return in_words(release.pk, release.comparison.baseline.release_id, Count.of_facts(facts))


def in_words(candidate: int, baseline: int, count: Count) -> People:
    said = count.tally
    e, (low, high) = e_value(said.won, said.lost), interval(said.won, said.lost)
    established = e >= ESTABLISHED
    verdict = "inconclusive" if not established else "improved" if said.won > said.lost else "worse"
    lopsided, sides = _sides(said)
    return People(
        candidate, baseline, count, e, low, high, verdict,
        f"People, blind: {_documents(said)}: {_conclusion(said, verdict, low, high, e)}.",
        _counts(said), sides, lopsided,
    )  # fmt: skip


def _documents(said: Tally) -> str:
    parts = [f"{said.won:,} for after", f"{said.lost:,} for before"]
    if said.ties:
        parts.append(f"{said.ties:,} for neither")
    if said.identical:
        parts.append(f"{said.identical:,} with the same text from both")
    return f"{said.documents:,} test document{'s' * (said.documents != 1)}, {', '.join(parts)}"


def _conclusion(said: Tally, verdict: str, low: float, high: float, e: float) -> str:
    if said.share is None:
        return "no preference is established"
    range_ = f"{said.share * 100:.0f} % [{low * 100:.0f}, {high * 100:.0f}]"
    if verdict == "improved":
        return f"after is preferred, in {range_} of those with a side (e = {_e(e)})"
    if verdict == "worse":
        return f"before is preferred, after only in {range_} of those with a side (e = {_e(e)})"
    least = least_that_can_tell()
    few = f"; {least} documents with a side are the least that can tell" if said.decided < least else ""
    return (
        f"no preference is established, after has {range_} of those with a side "
        f"(e = {_e(e)}, {ESTABLISHED:.0f} would do){few}"
    )


def _e(value: float) -> str:
    if value >= LARGEST_E:
        return "more than a trillion"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _counts(said: Tally) -> str:
    parts: Sequence[tuple[int, str]] = (
        (said.candidate_better, "after better"),
        (said.baseline_better, "before better"),
        (said.no_difference, "no difference"),
        (said.both_bad, "both bad"),
    )
    total = f"{said.choices:,} choice{'s' * (said.choices != 1)}"
    listed = ", ".join(f"{count:,} {words}" for count, words in parts if count)
    return f"{total}: {listed}" if listed else total


def _sides(said: Tally) -> tuple[bool, str]:
    decided = said.candidate_better + said.baseline_better
    if not decided:
        return False, ""
    lopsided = two_sided_p(said.left_preferred, decided) < ALPHA
    share = f"{said.left_preferred / decided * 100:.0f} %"
    chance = "chance does not explain that" if lopsided else "chance explains it"
    return (
        lopsided,
        f"The text on the left was preferred in {share} of {decided:,} decided choices; {chance}.",
    )


def two_sided_p(successes: int, total: int) -> float:
    """Of the exact sign test: twice the smaller tail, at most 1."""
    from scipy.special import betainc

    tail = min(successes, total - successes)
    # the chance of at most `tail` of `total`, as a regularised incomplete beta function
    return min(1.0, 2 * float(betainc(total - tail, tail + 1, 0.5)))
