"""What a test set keeps of its documents: the fields that slices are cut by, and the words that ROUGE counts."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import DatabaseError, transaction

from models_app.evaluation import rouge
from models_app.evaluation.comparing import compare_releases
from models_app.evaluation.running import start_evaluation
from models_app.evaluation.sets import EvaluationRow, freeze_evaluation_set
from models_app.evaluation.signature import SIGNATURE, signature_of
from models_app.models import ComparisonResult, EvaluationExample, EvaluationRun, EvaluationSet, ExampleScore
from reviews.examples.references import freeze_test_set
from reviews.ingest.documents import DocumentRow, import_rows
from reviews.models import SourceDocument
from tests import make
from tests.releases.scene import digest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cast")]

CHINESE = (
    "港口管理局星期一表示，将关闭旧码头九个月。潜水员发现一百四十根木桩已经腐烂。"
    "这项工程耗资三百二十万欧元，其中一半由地区支付。前往两个岛屿的渡轮将从北码头出发。"
)
FRENCH = (
    "L'autorité portuaire a annoncé lundi qu'elle fermera l'ancienne jetée pendant neuf mois. Des plongeurs ont "
    "constaté que cent quarante pieux sont pourris, et les commerçants craignent pour la saison d'été."
)


def row(number: int, **fields: object) -> EvaluationRow:
    values: dict[str, object] = {
        "document_hash": digest("words", number), "origin": f"document:{number}",
        "source": f"{make.ARTICLE} {number}", "reference": make.REFERENCE,
    }  # fmt: skip
    return EvaluationRow(**{**values, **fields})  # type: ignore[arg-type]


def frozen(rows: list[EvaluationRow], words: rouge.Words | None = None) -> EvaluationSet:
    return freeze_evaluation_set(rows=rows, name="t", selection={}, actor=None, words=words)


# ---------------------------------------------------------------- fields


def test_the_language_of_a_document_is_found_when_it_comes_in() -> None:
    rows = [
        DocumentRow(make.ARTICLE), DocumentRow(FRENCH),
        DocumentRow(" ".join(f"{number}" for number in range(1000, 1040)), title="Figures"),
    ]  # fmt: skip
    report = import_rows(rows=rows, origin="three.csv", actor=None)
    assert report.imported == 3
    assert sorted(SourceDocument.objects.values_list("language", flat=True)) == ["", "en", "fr"]


def test_a_test_set_keeps_what_its_documents_were_when_it_was_frozen() -> None:
    document = make.document(
        split="test", language="en", licence="CC BY 4.0", group_key="strike", origin="a.csv"
    )
    example = EvaluationExample.objects.get(evaluation_set=freeze_test_set(actor=None))
    assert example.fields == {"language": "en", "licence": "CC BY 4.0", "group": "strike", "origin": "a.csv"}
    with pytest.raises(DatabaseError), transaction.atomic():
        EvaluationExample.objects.filter(pk=example.pk).update(fields={})
    document.refresh_from_db()


def test_the_digest_of_a_test_set_covers_the_fields_and_what_is_empty_changes_none() -> None:
    plain = frozen([row(1)])
    assert frozen([row(1, fields={"language": ""})]) == plain
    assert frozen([row(1, fields={"language": "en"})]) != plain
    assert frozen([row(1, fields={"licence": "x", "language": "en"})]) == frozen(
        [row(1, fields={"language": "en", "licence": "x"})]
    )


def test_a_comparison_has_slices_by_language() -> None:
    on = frozen([row(number, fields={"language": "fr" if number % 2 else "en"}) for number in range(240)])
    rng = np.random.default_rng(3)
    runs = []
    for gain in (0.0, -0.05):
        run = EvaluationRun.objects.create(
            release=make.release(), evaluation_set=on, state="succeeded", signature=signature_of(on)
        )
        runs.append(run)
        ExampleScore.objects.bulk_create(
            ExampleScore(
                run=run, signature=run.signature, example=example, output="x", rouge1=0.4, rougeL=0.4, rougeLsum=0.4,
                rouge2=0.4 + (gain if example.fields["language"] == "fr" else 0.05) + rng.normal(0, 0.01),
                summary_words=9, length_ratio=1, repetition=0, copied_share=0, unsupported_numbers=0,
                unsupported_names=0,
            )
            for example in on.examples.order_by("position")
        )  # fmt: skip
    comparison = compare_releases(candidate=runs[1], baseline=runs[0], lead=None, actor=None, resamples=200)
    found = {
        result.slice: result.verdict
        for result in ComparisonResult.objects.filter(comparison=comparison, metric="rouge2")
    }
    assert found["language: fr"] == "worse"
    assert found["language: en"] == "not worse"
    assert comparison.verdict == "worse"
    assert "Worse on slices: ROUGE-2 on “language: fr”" in comparison.sentence


# ---------------------------------------------------------------- words


def chinese(count: int) -> list[EvaluationRow]:
    return [
        row(number, source=f"{CHINESE}第{number}号。", reference="旧码头将关闭九个月。")
        for number in range(count)
    ]


def test_references_in_another_script_are_scored_with_words_of_any_script() -> None:
    on = frozen(chinese(12))
    assert on.words == "unicode"
    run = start_evaluation(release=make.release(), evaluation_set=on, actor=None, deliver=False)
    assert run.job is not None
    make.carried_out(run.job)
    run.refresh_from_db()
    assert (run.state, run.reason) == ("succeeded", "")
    assert "tokens:unicode-1|stemmer:none" in run.signature
    assert run.means["rouge1"] > 0.1, "by the default words it would be zero"
    assert rouge.score_pair("旧码头将关闭九个月。", CHINESE).rouge1.fmeasure == 0


def test_the_same_documents_with_other_words_are_another_test_set_with_another_signature() -> None:
    default, other = frozen([row(1)]), frozen([row(1)], rouge.UNICODE)
    assert (default.words, other.words) == ("latin", "unicode")
    assert default != other
    assert signature_of(default) == SIGNATURE != signature_of(other)
    assert frozen(chinese(2), rouge.LATIN).words == "latin", "one that says so gets them"
    assert frozen([row(1)], rouge.UNICODE) == other, "twice is once"


def test_the_words_of_a_test_set_are_never_changed() -> None:
    on = frozen([row(1)])
    with pytest.raises(DatabaseError), transaction.atomic():
        EvaluationSet.objects.filter(pk=on.pk).update(words="unicode")
    with pytest.raises(DatabaseError), transaction.atomic():
        EvaluationSet.objects.create(name="x", digest="y", rows=1, words="klingon")
