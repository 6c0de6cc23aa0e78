"""Personal data in what a release learnt from: the rows of the snapshots of its whole lineage.

A model repeats what it was taught. So a passage that a reviewer marked as personal data has to be gone from the row,
and what has the form of an address or an account number from the summaries that are learnt. What is found is named by
its row and never quoted: results are kept for good. No policy allows a waiver of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from models_app.datasets.provenance import KnownRow
from models_app.gates.gate import Gate, Judged
from models_app.gates.leakage_checks import learnt_from
from models_app.gates.results import Result, Verdict
from models_app.gates.training_rows import Row, many_rows, rows_of
from models_app.models import DatasetSnapshot
from models_app.texts.personal_data import Form, seen, stands_in

NAME = "personal_data"
NAMED = 5


@dataclass(frozen=True)
class PersonalDataPolicy:
    """What has the form of personal data, where it is not a passage that somebody marked: e-mail addresses, card and
    account numbers in summaries; telephone numbers there; and any of these in articles, which people publish."""

    LABELS: ClassVar = {
        "forms_in_summaries": "Addresses, card and account numbers in summaries",
        "telephone_numbers": "Telephone numbers in summaries",
        "forms_in_articles": "Any of these in articles",
    }
    HELP: ClassVar = {"forms_in_summaries": "What a reviewer marked as personal data is never allowed."}

    forms_in_summaries: Literal["none allowed", "shown"] = "none allowed"
    telephone_numbers: Literal["none allowed", "shown"] = "shown"
    forms_in_articles: Literal["none allowed", "shown"] = "shown"


# ---------------------------------------------------------------- facts


@dataclass
class Facts:
    """Rows by name, the first NAMED of each kind, and how many there are."""

    snapshots: int = 0
    rows: int = 0
    marked: list[str] = field(default_factory=list)
    marked_count: int = 0
    refused: list[str] = field(default_factory=list)
    refused_count: int = 0
    in_summaries: Counter[Form] = field(default_factory=Counter)
    summaries: dict[Form, list[str]] = field(default_factory=dict)
    in_articles: Counter[Form] = field(default_factory=Counter)
    evidence: str = ""

    def add(self, row: Row) -> None:
        self.rows += 1
        known = row.known
        if known is not None and known.refused:
            self.refused_count += 1
            self._name(self.refused, row)
        if known is not None and _is_not_masked(row, known):
            self.marked_count += 1
            self._name(self.marked, row)
        for form in {one.form for one in seen(row.target)}:
            self.in_summaries[form] += 1
            self._name(self.summaries.setdefault(form, []), row)
        self.in_articles.update({one.form for one in seen(row.source)})

    def _name(self, names: list[str], row: Row) -> None:
        if len(names) < NAMED:
            names.append(row.name)


def _is_not_masked(row: Row, known: KnownRow) -> bool:
    """What was marked in the summary has to be gone from what is learnt; in the article, from the article as well."""
    return any(stands_in(quote, row.target) for quote in (*known.in_summary, *known.in_article)) or any(
        stands_in(quote, row.source) for quote in known.in_article
    )


def facts_of(judged: Judged) -> Facts:
    """Rows that several snapshots share are counted once."""
    snapshots = learnt_from(judged.release).snapshots
    facts = Facts(len(snapshots), evidence=_evidence(snapshots))
    done: set[bytes] = set()
    for snapshot in snapshots:
        judged.progress(f"snapshot {snapshot.pk}")
        for row in rows_of(snapshot):
            text = f"{row.known}\0{row.source}\0{row.target}".encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if digest not in done:
                done.add(digest)
                facts.add(row)
    return facts


def _evidence(snapshots: Sequence[DatasetSnapshot]) -> str:
    return f"datasetsnapshot:{snapshots[0].pk}" if snapshots else ""


# ---------------------------------------------------------------- deciding


def judge_facts(facts: Facts, section: PersonalDataPolicy) -> list[Result]:
    if not facts.snapshots:
        return [
            _personal(
                "", Verdict.PASS, "The model was not trained here, so there are no rows to look at.", facts
            )
        ]
    if not facts.rows:
        words = "The snapshots that the model was trained on have no rows: nobody can tell what is in them."
        return [_personal("", Verdict.ERROR, words, facts)]
    return [
        _marked(facts),
        _in_summaries(facts, section),
        _phones(facts, section),
        _in_articles(facts, section),
    ]


def _marked(facts: Facts) -> Result:
    parts = []
    if facts.marked_count:
        rows = _listed(facts.marked_count, facts.marked)
        parts.append(f"A passage that a reviewer marked as personal data still stands in {rows}.")
    if facts.refused_count:
        parts.append(
            f"Because of personal data people have since declined {_listed(facts.refused_count, facts.refused)}."
        )
    if not parts:
        words = (
            f"No passage that a reviewer marked as personal data stands in any of {many_rows(facts.rows)}."
        )
        return _personal("marked by reviewers", Verdict.PASS, words, facts)
    parts.append("Mask it or leave the rows out, freeze again and train again.")
    return _personal("marked by reviewers", Verdict.FAIL, " ".join(parts), facts)


_ALWAYS = (Form.EMAIL, Form.CARD, Form.ACCOUNT)


def _in_summaries(facts: Facts, section: PersonalDataPolicy) -> Result:
    found = {form: facts.in_summaries[form] for form in _ALWAYS if facts.in_summaries[form]}
    name = "addresses and account numbers in summaries"
    return _forms(name, found, facts.summaries, "summaries", section.forms_in_summaries, facts)


def _phones(facts: Facts, section: PersonalDataPolicy) -> Result:
    found = {form: count for form, count in facts.in_summaries.items() if form not in _ALWAYS}
    name = "telephone numbers in summaries"
    return _forms(name, found, facts.summaries, "summaries", section.telephone_numbers, facts)


def _in_articles(facts: Facts, section: PersonalDataPolicy) -> Result:
    return _forms("forms in articles", facts.in_articles, {}, "articles", section.forms_in_articles, facts)


def _forms(
    name: str,
    found: Mapping[Form, int],
    names: Mapping[Form, Sequence[str]],
    where: str,
    rule: str,
    facts: Facts,
) -> Result:
    need = rule if rule != "shown" else "shown, does not block"
    if not any(found.values()):
        words = f"None of the {where} of {many_rows(facts.rows)} has one."
        return _personal(name, Verdict.PASS, words, facts, need)
    parts = [
        f"{_form(form)} in {_listed(count, names[form]) if form in names else f'the {where} of {many_rows(count)}'}"
        for form, count in sorted(found.items())
        if count
    ]
    verdict = Verdict.PASS if rule == "shown" else Verdict.FAIL
    return _personal(name, verdict, f"{'; '.join(parts)}.", facts, need, sum(found.values()))


def _form(form: Form) -> str:
    return f"What looks like {'an' if form.value[0] in 'aeiou' else 'a'} {form.value}"


def _personal(
    name: str,
    verdict: Verdict,
    words: str,
    facts: Facts,
    need: str = "none allowed",
    count: int | None = None,
) -> Result:
    return Result(
        gate=NAME,
        name=name,
        verdict=verdict,
        words=words,
        need=need,
        method="marks of reviewers and forms with their check sums, in every row of the lineage",
        estimate=None if count is None else float(count),
        n=facts.rows,
        unit="rows",
        evidence=facts.evidence,
    )


def _listed(count: int, names: Sequence[str]) -> str:
    more = count - len(names)
    return f"{', '.join(names)}{f' and {more:,} more' if more > 0 else ''}"


def _judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.personal_data)


GATE = Gate(NAME, "Personal data", _judge)
