"""Cases and their sets: each change is a version with a reason, and nothing is rewritten."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError

from models_app.cases import queries
from models_app.cases.writing import (
    Draft,
    add_case,
    create_case_set,
    edit_case,
    import_cases,
    retire_all,
    retire_case,
)
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent, CaseSet, CaseSetVersion, CaseVersion
from tests import make
from tests.cases import scene

pytestmark = pytest.mark.django_db


def numbers(case_set: CaseSet, version: int | None = None) -> list[int]:
    return [case.number for case in queries.cases_of(queries.version_of(case_set, version))]


# ---------------------------------------------------------------- versions


def test_every_change_makes_the_next_version_and_the_earlier_ones_stay() -> None:
    the = scene.case_set()
    first, second = scene.add(the), scene.add(the)
    edited = edit_case(
        case=first, draft=scene.draft(scene.FAILS, title="Changed"), reason="It was too easy.", actor=None
    )
    retire_case(case=second, reason="Nobody needs it.", actor=None)
    versions = list(CaseSetVersion.objects.filter(case_set=the).order_by("number"))
    assert [(v.number, v.cases, v.reason) for v in versions] == [
        (1, 1, "A case was added."),
        (2, 2, "A case was added."),
        (3, 2, "It was too easy."),
        (4, 1, "Nobody needs it."),
    ]
    assert [numbers(the, number) for number in (1, 2, 3, 4)] == [[1], [1, 2], [1, 2], [1]]
    assert queries.cases_of(versions[1]).get(number=1) == first
    assert queries.cases_of(versions[2]).get(number=1) == edited
    assert len({version.digest for version in versions}) == 4
    told = queries.changes(list(versions))
    assert [(one.added, one.edited, one.retired) for one in told] == [
        ([1], [], []), ([2], [], []), ([], [1], []), ([], [], [2])
    ]  # fmt: skip
    event = AuditEvent.objects.filter(action="cases.change").latest("pk")
    assert (event.subject, event.data["version"], event.data["retired"]) == (f"caseset:{the.pk}", 4, [2])


def test_the_same_cases_have_the_same_digest() -> None:
    drafts = [scene.draft(), scene.draft(scene.FAILS)]
    one, other = scene.case_set("One", *drafts), scene.case_set("Other", *drafts)
    digests = [queries.version_of(of).digest for of in (one, other)]  # type: ignore[union-attr]
    assert digests[0] == digests[1]


def test_an_edit_that_changes_nothing_makes_no_version() -> None:
    the = scene.case_set()
    case = scene.add(the)
    same = Draft(case.article, case.assertions, case.title, case.domain, case.must_pass)
    assert edit_case(case=case, draft=same, reason="Again.", actor=None) == case
    assert CaseSetVersion.objects.count() == 1


def test_an_edit_of_what_was_edited_or_retired_meanwhile_is_refused() -> None:
    the = scene.case_set()
    case = scene.add(the)
    edited = edit_case(case=case, draft=scene.draft(), reason="First.", actor=None)
    with pytest.raises(StaleState, match="edited meanwhile"):
        edit_case(case=case, draft=scene.draft(), reason="Second.", actor=None)
    with pytest.raises(StaleState, match="edited meanwhile"):
        retire_case(case=case, reason="Second.", actor=None)
    retire_case(case=edited, reason="Gone.", actor=None)
    with pytest.raises(StaleState, match="retired meanwhile"):
        edit_case(case=edited, draft=scene.draft(), reason="Third.", actor=None)


def test_a_set_whose_cases_are_all_retired_is_run_no_more() -> None:
    from models_app.cases.running import newest_versions

    the = scene.case_set("Acceptance", scene.draft(), scene.draft())
    assert [str(version) for version in newest_versions()] == ["Acceptance version 2"]
    retire_all(case_set=the, reason="Another set has them.", actor=None)
    assert newest_versions() == []
    with pytest.raises(Refused, match="has no cases"):
        retire_all(case_set=the, reason="Again.", actor=None)


@pytest.mark.parametrize("reason", ["", " \0 ", "x" * 301])
def test_edits_and_retirements_have_a_reason(reason: str) -> None:
    case = scene.add(scene.case_set())
    for act in (
        lambda: edit_case(case=case, draft=scene.draft(), reason=reason, actor=None),
        lambda: retire_case(case=case, reason=reason, actor=None),
    ):
        with pytest.raises(InvalidInput) as refused:
            act()
        assert "reason" in refused.value.fields


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"article": ""}, "article"),
        ({"article": " \0\ud800 "}, "article"),
        ({"article": "Too short."}, "article"),
        ({"article": "word " * 50_001}, "article"),
        ({"title": "x" * 301}, "title"),
        ({"domain": "x" * 41}, "domain"),
        ({"assertions": []}, "assertions"),
        ({"assertions": "contains"}, "assertions"),
        ({"assertions": None}, "assertions"),
        ({"assertions": [{"kind": "length", "most": n} for n in range(1, 22)]}, "assertions"),
        ({"assertions": [{"kind": "answer"}, {"kind": "contains"}]}, "assertions.1.text"),
        ({"assertions": [{"kind": "answer"}, 5]}, "assertions.1"),
        ({"assertions": [{"kind": "number", "number": "141"}]}, "assertions.0.number"),
        ({"assertions": [{"kind": "answer"}, {"kind": "answer"}]}, "assertions.1"),
    ],
)
def test_what_is_no_case_is_refused_at_its_field(fields: dict[str, Any], at: str) -> None:
    the = scene.case_set()
    values = {"article": scene.ARTICLE, "assertions": scene.PASSES, **fields}
    with pytest.raises(InvalidInput) as refused:
        add_case(case_set=the, draft=Draft(**values), actor=None)
    assert list(refused.value.fields) == [at]
    assert not CaseSetVersion.objects.exists()


def test_twenty_assertions_are_allowed_and_limits_are_the_documents_own() -> None:
    assertions = [{"kind": "length", "most": n} for n in range(1, 21)]
    made = scene.add(scene.case_set(), assertions)
    assert len(made.assertions) == 20
    assert settings.GALLEY_MIN_DOCUMENT_WORDS == 20


def test_the_same_case_twice_is_refused() -> None:
    the = scene.case_set()
    one = scene.draft()
    add_case(case_set=the, draft=one, actor=None)
    with pytest.raises(Refused, match="case 1 of the set already"):
        add_case(case_set=the, draft=one, actor=None)


def test_a_set_has_a_name_of_its_own() -> None:
    create_case_set(name="Acceptance", actor=None)
    for name in ("Acceptance", " Acceptance ", "", "\0", "x" * 81):
        with pytest.raises(InvalidInput) as refused:
            create_case_set(name=name, actor=None)
        assert "name" in refused.value.fields


def test_only_those_who_evaluate_write_cases(cast: make.Cast) -> None:
    the = scene.case_set()
    case = add_case(case_set=the, draft=scene.draft(), actor=cast.ml_engineer)
    for person in (cast.reviewer, cast.approver, cast.operator, cast.stranger):
        for act in (
            lambda who=person: create_case_set(name="Mine", actor=who),
            lambda who=person: add_case(case_set=the, draft=scene.draft(), actor=who),
            lambda who=person: edit_case(case=case, draft=scene.draft(), reason="Mine.", actor=who),
            lambda who=person: retire_case(case=case, reason="Mine.", actor=who),
            lambda who=person: retire_all(case_set=the, reason="Mine.", actor=who),
            lambda who=person: import_cases(case_set=the, drafts=[scene.draft()], reason="Mine.", actor=who),
        ):
            with pytest.raises(NotAllowed):
                act()
    assert CaseSetVersion.objects.count() == 1


# ---------------------------------------------------------------- files


def test_an_import_is_one_version_and_again_it_is_none() -> None:
    the = scene.case_set()
    kept = scene.add(the)
    drafts = [
        scene.draft(number=1, assertions=scene.FAILS),
        scene.draft(number=7),
        scene.draft(),
    ]
    done = import_cases(case_set=the, drafts=drafts, reason="From staging.", actor=None)
    assert (done.added, done.edited, done.same) == (2, 1, 0)
    assert done.version is not None
    assert done.version.number == 2
    assert numbers(the) == [1, 7, 8]
    assert queries.cases_of(queries.version_of(the)).get(number=1) != kept
    again = import_cases(case_set=the, drafts=drafts, reason="Again.", actor=None)
    assert (again.version, again.added, again.edited, again.same) == (None, 0, 0, 3)


def test_an_import_brings_back_what_was_retired_and_takes_a_case_once() -> None:
    the = scene.case_set()
    case = scene.add(the)
    retire_case(case=case, reason="Gone.", actor=None)
    one = Draft(case.article, case.assertions, case.title, case.domain, number=1)
    two = scene.draft()
    done = import_cases(case_set=the, drafts=[one, two, two], reason="Back.", actor=None)
    assert (done.added, done.same) == (2, 1)
    assert numbers(the) == [1, 2]


@pytest.mark.parametrize(
    ("drafts", "at"),
    [
        ([{}, {"article": "short"}], "2.article"),
        ([{"assertions": [{"kind": "contains"}]}], "1.assertions.0.text"),
        ([{"number": 3}, {"number": 3}], "2.number"),
        ([{"number": 0}], "1.number"),
        ([{"number": -1}], "1.number"),
        ([{"number": 10**30}], "1.number"),
    ],
)
def test_an_import_with_one_wrong_case_takes_none(drafts: list[dict[str, Any]], at: str) -> None:
    the = scene.case_set()
    with pytest.raises(InvalidInput) as refused:
        import_cases(case_set=the, drafts=[scene.draft(**one) for one in drafts], reason="File.", actor=None)
    assert list(refused.value.fields) == [at]
    assert not CaseSetVersion.objects.exists()


def test_a_set_has_at_most_500_cases() -> None:
    the = scene.case_set()
    import_cases(case_set=the, drafts=[scene.draft() for _ in range(500)], reason="Many.", actor=None)
    with pytest.raises(Refused, match="at most 500"):
        scene.add(the)
    with pytest.raises(InvalidInput, match="at most 500"):
        import_cases(case_set=the, drafts=[scene.draft()] * 501, reason="More.", actor=None)


# ---------------------------------------------------------------- the database


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models_app_caseversion SET article = 'other'",
        "UPDATE models_app_caseversion SET must_pass = NOT must_pass",
        "DELETE FROM models_app_caseversion",
        "UPDATE models_app_casesetversion SET digest = 'other'",
        "DELETE FROM models_app_casesetversion",
        "UPDATE models_app_caseset SET name = 'other'",
        "DELETE FROM models_app_caseset",
    ],
)
def test_the_database_refuses_to_rewrite_cases(statement: str) -> None:
    scene.case_set("Acceptance", scene.draft())
    with (
        pytest.raises((IntegrityError, InternalError)),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_cases_that_are_added_at_once_are_all_there() -> None:
    the = scene.case_set()
    start = threading.Barrier(4)

    def add() -> None:
        try:
            start.wait(10)
            scene.add(the)
        finally:
            connection.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(the) == [1, 2, 3, 4]
    assert list(CaseSetVersion.objects.order_by("number").values_list("number", "cases")) == [
        (1, 1), (2, 2), (3, 3), (4, 4)
    ]  # fmt: skip
    assert CaseVersion.objects.count() == 4
