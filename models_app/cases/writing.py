"""Making and changing cases: each change is the next version of their set, with a reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from models_app.cases.assertions import (
    MOST_ASSERTIONS,
    Assertion,
    WrongAssertion,
    assertion_of,
    contradictions,
    to_json,
)
from models_app.cases.changes import Article
from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.models import CaseSet, CaseSetVersion, CaseVersion
from models_app.texts.normalise import normalise, one_line

LONGEST_REASON = CaseSet.LONGEST_REASON
LONGEST_DOMAIN = 40
HIGHEST_NUMBER = 1_000_000

#: The cases of the newest version by their number, without their articles.
There = Mapping[int, CaseVersion]


@dataclass(frozen=True)
class Draft:
    """A case as somebody writes it. `number` says which of its set it is, where it is in a file."""

    article: str
    assertions: Sequence[Any]
    title: str = ""
    domain: str = ""
    must_pass: bool = False
    origin: str = ""
    number: int | None = None


# ---------------------------------------------------------------- what a case has to be


def checked(draft: Draft) -> CaseVersion:
    """Ready for a version of a set, without its number. Raises InvalidInput by field; of assertion 0 as
    `assertions.0.text`, or `assertions.0` where none of its fields is meant."""
    article = Article(normalise(draft.article), one_line(draft.title), one_line(draft.domain))
    wrong = _wrong_article(article)
    read, of_assertions = _assertions(draft.assertions, None if "article" in wrong else article)
    wrong |= of_assertions
    if wrong:
        raise InvalidInput("This is no case yet.", fields=wrong)
    made = CaseVersion(
        title=article.title,
        domain=article.domain,
        article=article.text,
        assertions=[to_json(assertion) for assertion in read],
        must_pass=draft.must_pass,
        origin=one_line(draft.origin)[: CaseVersion.LONGEST_ORIGIN],
    )
    made.digest = digest_of(made)
    return made


def _wrong_article(article: Article) -> dict[str, str]:
    wrong = {}
    count = len(article.text.split())
    least, most = settings.GALLEY_MIN_DOCUMENT_WORDS, settings.GALLEY_MAX_DOCUMENT_WORDS
    if not count:
        wrong["article"] = "A case has an article."
    elif count < least:
        wrong["article"] = (
            f"{count} word{'s' if count > 1 else ''}; an article has at least {least} (GALLEY_MIN_DOCUMENT_WORDS)."
        )
    elif count > most:
        wrong["article"] = f"{count:,} words; an article has at most {most:,} (GALLEY_MAX_DOCUMENT_WORDS)."
    for name, longest in (("title", CaseVersion.LONGEST_TITLE), ("domain", LONGEST_DOMAIN)):
        if (size := len(getattr(article, name))) > longest:
            wrong[name] = f"It has {size:,} characters; at most {longest} are kept."
    return wrong


def _assertions(values: Any, article: Article | None) -> tuple[list[Assertion], dict[str, str]]:
    """What can be read of them, and what is wrong by field; for the article where there is one."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return [], {"assertions": "A case asserts something: at least one assertion."}
    if len(values) > MOST_ASSERTIONS:
        return [], {"assertions": f"{len(values)} assertions; a case has at most {MOST_ASSERTIONS}."}
    read: list[Assertion] = []
    wrong: dict[str, str] = {}
    for place, value in enumerate(values):
        try:
            assertion = assertion_of(value)
        except WrongAssertion as error:
            fields: Mapping[str, str] = error.fields
        else:
            read.append(assertion)
            fields = assertion.mistakes(article) if article is not None else {}
        for name, words in fields.items():
            wrong[f"assertions.{place}.{name}" if name else f"assertions.{place}"] = words
    if len(read) == len(values):
        for place, words in contradictions(read).items():
            wrong.setdefault(f"assertions.{place}", words)
    return read, wrong


def digest_of(case: CaseVersion) -> str:
    """Over all that a release is shown and judged by, and whether it must pass."""
    content = [case.title, case.domain, case.article, case.assertions, case.must_pass]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------- sets


def create_case_set(*, name: str, actor: Any | None) -> CaseSet:
    require(actor, "evaluate")
    name = one_line(name)
    if not name or len(name) > CaseSet.LONGEST_NAME:
        raise InvalidInput(
            "Name the set.", fields={"name": f"A name has 1 to {CaseSet.LONGEST_NAME} characters."}
        )
    try:
        with transaction.atomic():
            made = CaseSet.objects.create(name=name, created_by=actor)
            audit.record(actor=actor, action="case_set.create", subject=made, data={"name": name})
    except IntegrityError as error:
        if not broke(error, "models_app_caseset_name_key"):
            raise
        raise InvalidInput(
            "There is a set of this name.", fields={"name": "Another set has this name."}
        ) from error
    return made


# ---------------------------------------------------------------- changing one


def add_case(*, case_set: CaseSet, draft: Draft, actor: Any | None, reason: str = "") -> CaseVersion:
    require(actor, "evaluate")
    made = checked(draft)

    def added(there: There) -> list[CaseVersion]:
        same = next((case for case in there.values() if case.digest == made.digest), None)
        if same is not None:
            raise Refused(f"This is {same} of the set already, word for word.")
        made.number = _next_number(case_set)
        return [made]

    _change(case_set=case_set, changes=added, reason=reason or "A case was added.", actor=actor)
    return made


def edit_case(*, case: CaseVersion, draft: Draft, reason: str, actor: Any | None) -> CaseVersion:
    """The case's next version; the same where nothing changed. Raises StaleState where `case` is not the newest."""
    require(actor, "evaluate")
    made = checked(draft)
    made.number, made.origin = case.number, case.origin

    def edited(there: There) -> list[CaseVersion]:
        _still(there, case)
        return [] if made.digest == case.digest else [made]

    version = _change(case_set=_set_of(case), changes=edited, reason=reason, actor=actor)
    return case if version is None else made


def retire_case(*, case: CaseVersion, reason: str, actor: Any | None) -> CaseSetVersion:
    """It is judged no more. What it was, and what releases made of it, stays."""
    require(actor, "evaluate")

    def retired(there: There) -> list[CaseVersion]:
        _still(there, case)
        return [_retired(case)]

    version = _change(case_set=_set_of(case), changes=retired, reason=reason, actor=actor)
    assert version is not None  # nosec B101 (for the types)
    return version


def retire_all(*, case_set: CaseSet, reason: str, actor: Any | None) -> CaseSetVersion:
    """The set stays with its history, and is run no more."""
    require(actor, "evaluate")

    def retired(there: There) -> list[CaseVersion]:
        if not there:
            raise Refused(f"{case_set.name} has no cases.")
        rows = CaseVersion.objects.filter(pk__in=[case.pk for case in there.values()])
        return [_retired(case) for case in rows]

    version = _change(case_set=case_set, changes=retired, reason=reason, actor=actor)
    assert version is not None  # nosec B101 (for the types)
    return version


@dataclass(frozen=True)
class Imported:
    """What a file held. `version` is None where the set has all of it already."""

    version: CaseSetVersion | None
    added: int
    edited: int
    same: int


def import_cases(*, case_set: CaseSet, drafts: Sequence[Draft], reason: str, actor: Any | None) -> Imported:
    """All of them in one version, or none. A draft with a number is that case: edited where it differs, brought back
    where it was retired, new where there was none. One without is new unless the set has it word for word.

    Raises InvalidInput with the draft's place, from 1, as `2` or `2.assertions.0.text`.
    """
    require(actor, "evaluate")
    made = _checked(drafts)
    counts = {"added": 0, "edited": 0, "same": 0}

    def imported(there: There) -> list[CaseVersion]:
        known = {case.digest for case in there.values()}
        number = _next_number(case_set)
        number = max([number, *(row.number + 1 for row in made if row.number)])
        rows = []
        for row in made:
            if row.number in there:
                what = "same" if there[row.number].digest == row.digest else "edited"
            else:
                what = "same" if not row.number and row.digest in known else "added"
            counts[what] += 1
            if what == "same":
                continue
            if not row.number:
                row.number, number = number, number + 1
            known.add(row.digest)
            rows.append(row)
        return rows

    version = _change(case_set=case_set, changes=imported, reason=reason, actor=actor)
    return Imported(version, **counts)


def _checked(drafts: Sequence[Draft]) -> list[CaseVersion]:
    if len(drafts) > CaseSet.MOST_CASES:
        raise InvalidInput(f"{len(drafts):,} cases; a set has at most {CaseSet.MOST_CASES}.")
    made: list[CaseVersion] = []
    wrong: dict[str, str] = {}
    numbers: set[int] = set()
    for place, draft in enumerate(drafts, start=1):
        try:
            row = checked(draft)
        except InvalidInput as error:
            wrong |= {f"{place}.{name}": words for name, words in error.fields.items()}
            continue
        if draft.number is not None:
            if not 1 <= draft.number <= HIGHEST_NUMBER:
                wrong[f"{place}.number"] = f"A case has a number from 1 to {HIGHEST_NUMBER:,}."
            elif draft.number in numbers:
                wrong[f"{place}.number"] = f"Case {draft.number} is in the file twice."
            numbers.add(draft.number)
            row.number = draft.number
        made.append(row)
    if wrong:
        raise InvalidInput("Not all of these are cases; none was taken.", fields=wrong)
    return made


# ---------------------------------------------------------------- the next version of a set


def _change(
    *, case_set: CaseSet, changes: Callable[[There], list[CaseVersion]], reason: str, actor: Any | None
) -> CaseSetVersion | None:
    """The set with the rows that `changes` makes of its cases, as its next version; None where it makes none."""
    reason = one_line(reason)
    if not reason or len(reason) > LONGEST_REASON:
        raise InvalidInput(
            "Say why.", fields={"reason": f"Say why, in at most {LONGEST_REASON} characters; the history keeps it."}
        )  # fmt: skip
    with transaction.atomic():
        CaseSet.objects.select_for_update().get(pk=case_set.pk)
        last = CaseSetVersion.objects.filter(case_set=case_set).order_by("-number").first()
        there = {case.number: case for case in CaseVersion.objects.of(last).defer("article")} if last else {}
        rows = changes(there)
        if not rows:
            return None
        now: dict[int, CaseVersion] = {**there, **{row.number: row for row in rows}}
        digests = {number: case.digest for number, case in now.items() if not case.retired}
        if len(digests) > CaseSet.MOST_CASES:
            raise Refused(
                f"{case_set.name} would have {len(digests)} cases; a set has at most {CaseSet.MOST_CASES}. "
                "Retire some, or make another set."
            )
        version = CaseSetVersion.objects.create(
            case_set=case_set,
            number=last.number + 1 if last else 1,
            cases=len(digests),
            digest=digest_of_version(digests),
            reason=reason,
            made_by=actor,
        )
        for row in rows:
            row.set_version = version
        CaseVersion.objects.bulk_create(rows, batch_size=100)
        audit.record(
            actor=actor, action="cases.change", subject=case_set, reason=reason,
            data={"version": version.number, "digest": version.digest, **_told(there, rows)},
        )  # fmt: skip
    return version


def digest_of_version(digests: Mapping[int, str]) -> str:
    """Over the digests of a version's cases, by their numbers."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def _told(there: There, rows: Iterable[CaseVersion]) -> dict[str, list[int]]:
    told: dict[str, list[int]] = {"added": [], "edited": [], "retired": []}
    for row in rows:
        what = "retired" if row.retired else "edited" if row.number in there else "added"
        told[what].append(row.number)
    return {what: numbers for what, numbers in told.items() if numbers}


def _next_number(case_set: CaseSet) -> int:
    rows = CaseVersion.objects.filter(set_version__case_set=case_set)
    return (rows.aggregate(highest=Max("number"))["highest"] or 0) + 1


def _set_of(case: CaseVersion) -> CaseSet:
    return case.set_version.case_set


def _still(there: There, case: CaseVersion) -> None:
    now = there.get(case.number)
    if now is None:
        raise StaleState(f"Case {case.number} has been retired meanwhile.")
    if now.pk != case.pk:
        raise StaleState(f"Case {case.number} has been edited meanwhile. Look at it again.")


def _retired(case: CaseVersion) -> CaseVersion:
    copied = ("number", "title", "domain", "article", "assertions", "must_pass", "digest", "origin")
    return CaseVersion(retired=True, **{name: getattr(case, name) for name in copied})
