"""Defects of what a release learnt from: empty or endless summaries, an article twice, rows that nobody reviewed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from models_app.gates.gate import Gate, Judged
from models_app.gates.leakage_checks import learnt_from
from models_app.gates.results import Result, Verdict
from models_app.gates.training_rows import Row, many_rows, rows_of
from models_app.texts.figures import number
from models_app.texts.near_duplicates import plain
from models_app.texts.needs import Between

NAME = "data_quality"


@dataclass(frozen=True)
class DataQualityPolicy:
    """The largest share of a snapshot's rows, in percent."""

    LABELS: ClassVar = {
        "empty_summaries": "Rows without a summary, at most %",
        "longer_than_article": "Summaries no shorter than their article, at most %",
        "duplicates": "Rows with the same article as another one, at most %",
        "without_review": "Rows that came from no review, at most %",
    }

    empty_summaries: Annotated[float, Between(0, 100)] = 0.0
    longer_than_article: Annotated[float, Between(0, 100)] = 1.0
    duplicates: Annotated[float, Between(0, 100)] = 1.0
    without_review: Annotated[float, Between(0, 100)] = 100.0


# ---------------------------------------------------------------- facts


@dataclass
class Facts:
    """Of one snapshot."""

    snapshot: int
    frozen_rows: int
    rows: int = 0
    empty: int = 0
    longer: int = 0
    duplicates: int = 0
    without_review: int = 0
    _sources: set[bytes] = field(default_factory=set, repr=False)

    def add(self, row: Row) -> None:
        self.rows += 1
        source, target = plain(row.source).split(), plain(row.target).split()
        self.empty += not any(map(str.isalnum, row.target))
        self.longer += bool(target) and len(target) >= len(source)
        digest = hashlib.blake2b(" ".join(source).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.duplicates += digest in self._sources
        self._sources.add(digest)
        self.without_review += row.known is None or not row.known.reviewed


def facts_of(judged: Judged) -> list[Facts]:
    found = []
    for snapshot in learnt_from(judged.release).snapshots:
        judged.progress(f"snapshot {snapshot.pk}")
        facts = Facts(snapshot.pk, snapshot.train_rows + snapshot.validation_rows)
        for row in rows_of(snapshot):
            facts.add(row)
        found.append(facts)
    return found


# ---------------------------------------------------------------- deciding


def judge_facts(snapshots: Sequence[Facts], section: DataQualityPolicy) -> list[Result]:
    """A row for each defect: of the snapshot that has the largest share."""
    if not snapshots:
        words = "The model was not trained here, so there are no rows to look at."
        return [_quality("", Verdict.PASS, words, "nothing", None)]
    empty = [facts for facts in snapshots if not facts.rows or facts.rows != facts.frozen_rows]
    if empty:
        worst = empty[0]
        words = (
            f"Snapshot {worst.snapshot} was frozen with {many_rows(worst.frozen_rows)}, and there "
            f"{'is' if worst.rows == 1 else 'are'} {worst.rows:,} now."
        )
        return [_quality("", Verdict.ERROR, words, "all rows that were frozen", worst)]
    return [
        _share(snapshots, "empty", "empty summaries", "has no summary", section.empty_summaries),
        _share(snapshots, "longer", "longer than the article", "has a summary that is no shorter than its article",
               section.longer_than_article),
        _share(snapshots, "duplicates", "duplicates", "has the same article as another one", section.duplicates),
        _share(snapshots, "without_review", "without review", "comes from no review", section.without_review),
    ]  # fmt: skip


def _share(snapshots: Sequence[Facts], attribute: str, name: str, what: str, allowed: float) -> Result:
    worst = max(snapshots, key=lambda facts: getattr(facts, attribute) / facts.rows)
    count = getattr(worst, attribute)
    percent = 100 * count / worst.rows
    verdict = Verdict.FAIL if percent > allowed else Verdict.PASS
    words = (
        f"{count:,} of {many_rows(worst.rows)} of snapshot {worst.snapshot} {what if count == 1 else _plural(what)} "
        f"({number(percent, 1)} %)."
        if count
        else f"No row of any snapshot {what}."
    )
    need = f"at most {number(allowed, None)} % of a snapshot" if allowed else "none allowed"
    return _quality(name, verdict, words, need, worst, estimate=percent, threshold=allowed)


def _plural(what: str) -> str:
    first, _, rest = what.partition(" ")
    return f"{ {'has': 'have', 'comes': 'come'}[first] } {rest}"


def _quality(
    name: str, verdict: Verdict, words: str, need: str, facts: Facts | None, **figures: float
) -> Result:
    return Result(
        gate=NAME,
        name=name,
        verdict=verdict,
        words=words,
        need=need,
        method="counted in every row of the lineage",
        n=facts.rows if facts is not None else 0,
        unit="% of rows",
        evidence=f"datasetsnapshot:{facts.snapshot}" if facts is not None else "",
        **figures,
    )


def _judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.data_quality)


GATE = Gate(NAME, "Data quality", _judge, waivable=True)
