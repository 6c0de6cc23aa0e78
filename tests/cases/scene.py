"""Cases of tests, and a set with some."""

from __future__ import annotations

import itertools
from typing import Any

from models_app.cases.writing import Draft, add_case, create_case_set
from models_app.models import CaseSet, CaseVersion

_numbers = itertools.count(1)

# Leading sentences write its first three: Anna Berg and 140 are there, the ferries are not.
ARTICLE = (
    "Anna Berg, the mayor of Nordhaven, said on Monday that the old pier closes for nine months. Divers found that 140 "
    "of its piles are rotten. Berg's plan costs 3.2 million euros.\n\nFerries to the islands leave from the northern "
    "quay instead. Shop owners near the pier said they fear for the summer season."
)
PASSES: list[dict[str, Any]] = [{"kind": "contains", "text": "140"}, {"kind": "answer"}]
FAILS: list[dict[str, Any]] = [{"kind": "contains", "text": "northern quay"}]
UNDECIDED: list[dict[str, Any]] = [{"kind": "language"}]


def draft(assertions: list[dict[str, Any]] | None = None, **fields: Any) -> Draft:
    values = {
        "article": f"{ARTICLE} This is report {next(_numbers)}.",
        "title": "Old pier closes",
        "domain": "news",
    }
    return Draft(**{**values, "assertions": PASSES if assertions is None else assertions, **fields})


def case_set(name: str = "Acceptance", *drafts: Draft) -> CaseSet:
    made = create_case_set(name=name, actor=None)
    for one in drafts:
        add_case(case_set=made, draft=one, actor=None)
    return made


def add(to: CaseSet, assertions: list[dict[str, Any]] | None = None, **fields: Any) -> CaseVersion:
    return add_case(case_set=to, draft=draft(assertions, **fields), actor=None)
