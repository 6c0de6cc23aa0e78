"""Personal data and defects in training rows: what fails, what is shown, and that nothing is quoted."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.datasets.provenance import KnownRow
from models_app.gates import data_quality, personal_data
from models_app.gates.data_quality import DataQualityPolicy
from models_app.gates.personal_data import PersonalDataPolicy
from models_app.gates.results import Result, Verdict
from models_app.gates.training_rows import Row
from models_app.models import SnapshotExample
from tests.releases import scene as scenes
from tests.releases.scene import Scene

LONG = "The harbour authority of Nordhaven will close the old pier for nine months, it said on Monday."
SHORT = "The old pier closes for nine months."


def row(number: int = 1, source: str = LONG, target: str = SHORT, known: KnownRow | None = None) -> Row:
    return Row(f"row {number} of snapshot 3 (feedback:{number})", f"{source} {number}", target, known)


# ---------------------------------------------------------------- personal data


def personal(*rows: Row, **policy: Any) -> dict[str, Result]:
    facts = personal_data.Facts(snapshots=1)
    for one in rows:
        facts.add(one)
    return {one.name: one for one in personal_data.judge_facts(facts, PersonalDataPolicy(**policy))}


def test_rows_without_personal_data_pass() -> None:
    found = personal(row(1), row(2, known=KnownRow(reviewed=True)))
    assert {one.verdict for one in found.values()} == {Verdict.PASS}
    assert found["marked by reviewers"].n == 2


@pytest.mark.parametrize(
    ("known", "target", "verdict"),
    [
        (KnownRow(True, in_summary=("Nora Vik, 43",)), "Nora Vik, 43, fears for her shop.", "fail"),
        (KnownRow(True, in_summary=("Nora Vik, 43",)), "NORA\u200b VIK (43) fears for her shop.", "fail"),
        (KnownRow(True, in_summary=("Nora Vik, 43",)), "A shop owner fears for her shop.", "pass"),
        (KnownRow(True, in_article=("Monday",)), SHORT, "fail"),
        (KnownRow(True, in_article=("Tuesday",)), SHORT, "pass"),
        (KnownRow(True, refused="Contains personal data"), SHORT, "fail"),
    ],
)
def test_what_a_reviewer_marked_has_to_be_gone(known: KnownRow, target: str, verdict: str) -> None:
    found = personal(row(1, target=target, known=known))["marked by reviewers"]
    assert found.verdict == verdict
    if verdict == "fail":
        assert "row 1 of snapshot 3 (feedback:1)" in found.words


def test_no_result_quotes_what_it_found() -> None:
    known = KnownRow(True, in_summary=("Nora Vik",))
    target = "Nora Vik, k.olsen@nordhaven.example, 0451 223 4455, 4111 1111 1111 1111."
    for one in personal(row(1, target=target, source=target, known=known)).values():
        assert not any(secret in one.words for secret in ("Nora", "olsen", "0451", "4111"))


def test_addresses_in_summaries_fail_and_elsewhere_they_are_shown() -> None:
    address = "Write to k.olsen@nordhaven.example about the old pier."
    in_summary, in_article = personal(row(target=address)), personal(row(source=address))
    assert in_summary["addresses and account numbers in summaries"].verdict is Verdict.FAIL
    assert in_summary["addresses and account numbers in summaries"].estimate == 1
    assert in_article["addresses and account numbers in summaries"].verdict is Verdict.PASS
    assert in_article["forms in articles"].verdict is Verdict.PASS
    assert (
        in_article["forms in articles"].words == "What looks like an e-mail address in the articles of 1 row."
    )
    assert (
        personal(row(source=address), forms_in_articles="none allowed")["forms in articles"].verdict
        is Verdict.FAIL
    )


def test_telephone_numbers_are_what_the_policy_makes_of_them() -> None:
    call = "Call 0451 223 4455 for the old pier."
    name = "telephone numbers in summaries"
    assert personal(row(target=call))[name].verdict is Verdict.PASS
    assert personal(row(target=call), telephone_numbers="none allowed")[name].verdict is Verdict.FAIL


def test_many_rows_are_counted_and_the_first_named() -> None:
    known = KnownRow(True, refused="Contains personal data")
    words = personal(*(row(number, known=known) for number in range(8)))["marked by reviewers"].words
    assert "row 4 of snapshot 3 (feedback:4) and 3 more." in words


def test_no_rows_of_a_trained_model_are_an_error_and_of_an_untrained_one_none() -> None:
    (error,) = personal_data.judge_facts(personal_data.Facts(snapshots=1), PersonalDataPolicy())
    (none,) = personal_data.judge_facts(personal_data.Facts(), PersonalDataPolicy())
    assert (error.verdict, none.verdict) == (Verdict.ERROR, Verdict.PASS)


# ---------------------------------------------------------------- quality


def quality(*rows: Row, frozen: int | None = None, **policy: Any) -> dict[str, Result]:
    facts = data_quality.Facts(snapshot=3, frozen_rows=len(rows) if frozen is None else frozen)
    for one in rows:
        facts.add(one)
    return {one.name: one for one in data_quality.judge_facts([facts], DataQualityPolicy(**policy))}


def test_rows_without_a_defect_pass() -> None:
    found = quality(*(row(number, known=KnownRow(reviewed=True)) for number in range(50)))
    assert {one.verdict for one in found.values()} == {Verdict.PASS}
    assert found["duplicates"].words == "No row of any snapshot has the same article as another one."


@pytest.mark.parametrize(
    ("bad", "name", "words"),
    [
        (row(99, target=" … "), "empty summaries", "1 of 51 rows of snapshot 3 has no summary (2.0 %)."),
        (row(99, target=f"{LONG} {LONG}"), "longer than the article",
         "1 of 51 rows of snapshot 3 has a summary that is no shorter than its article (2.0 %)."),
        (row(7, source=LONG.upper()), "duplicates",
         "1 of 51 rows of snapshot 3 has the same article as another one (2.0 %)."),
    ],
)  # fmt: skip
def test_a_defect_is_counted_and_fails_where_there_are_too_many(bad: Row, name: str, words: str) -> None:
    found = quality(*(row(number) for number in range(50)), bad)[name]
    assert (found.verdict, found.words) == (Verdict.FAIL, words)
    field = {"empty summaries": "empty_summaries", "longer than the article": "longer_than_article"}.get(
        name, name
    )
    allowed: dict[str, Any] = {field: 5.0}
    assert quality(*(row(number) for number in range(50)), bad, **allowed)[name].verdict is Verdict.PASS


def test_rows_without_a_review_are_counted() -> None:
    rows = [row(number, known=KnownRow(reviewed=number % 4 == 0)) for number in range(20)]
    assert quality(*rows)["without review"].verdict is Verdict.PASS
    found = quality(*rows, without_review=50.0)["without review"]
    assert (found.verdict, found.estimate, found.threshold) == (Verdict.FAIL, 75.0, 50.0)
    assert found.words == "15 of 20 rows of snapshot 3 come from no review (75.0 %)."


def test_the_worst_snapshot_is_said() -> None:
    good, bad = data_quality.Facts(3, 1), data_quality.Facts(4, 1)
    good.add(row(1))
    bad.add(row(1, target="…"))
    found = {one.name: one for one in data_quality.judge_facts([good, bad], DataQualityPolicy())}
    assert found["empty summaries"].evidence == "datasetsnapshot:4"


@pytest.mark.parametrize(("rows", "frozen"), [([], 0), ([], 3), ([row()], 3)])
def test_rows_that_are_missing_are_an_error(rows: list[Row], frozen: int) -> None:
    (found,) = quality(*rows, frozen=frozen).values()
    assert found.verdict is Verdict.ERROR
    assert f"was frozen with {frozen} row" in found.words


# ---------------------------------------------------------------- as the job runs them


@pytest.mark.django_db
def test_both_gates_judge_the_rows_of_the_whole_lineage() -> None:
    the: Scene = scenes.scene()
    SnapshotExample.objects.create(
        snapshot=the.snapshot, position=99, split="train", document_hash="f" * 64, origin="feedback:1",
        source=LONG, target="Write to k.olsen@nordhaven.example about it.",
    )  # fmt: skip
    run = scenes.judged(the.candidate, the.comparison)
    row = run.results.get(gate="personal_data", name="addresses and account numbers in summaries")
    assert row.verdict == "fail"
    assert f"row 99 of snapshot {the.snapshot.pk} (feedback:1)" in row.words
    assert "olsen" not in row.words


def test_personal_data_is_never_waived_and_quality_may_be() -> None:
    assert not personal_data.GATE.waivable
    assert data_quality.GATE.waivable
