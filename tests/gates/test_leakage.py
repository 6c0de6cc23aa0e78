"""The leakage gate: what is found in rows and prompts, kept once, decided by the policy, said on the clean subset."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from typing import Any

import pytest

from models_app.evaluation.sets import Reference
from models_app.evaluation.statistics import MetricComparison
from models_app.evaluation.statistics import Verdict as Word
from models_app.foundation.errors import Refused
from models_app.gates import leakage, leakage_checks
from models_app.gates.clean_comparisons import clean_comparison
from models_app.gates.leakage import Facts, LeakagePolicy, Public, judge_facts
from models_app.gates.leakage_checks import check, kept_check, known_leaks, texts_of
from models_app.gates.results import Result, Verdict
from models_app.models import (
    AuditEvent,
    CleanComparison,
    EvaluationExample,
    LeakageCheck,
    LeakageFinding,
    PromptVersion,
    SnapshotExample,
)
from models_app.prompts.versions import create_version
from models_app.releases.composing import compose_release, submit_release
from models_app.texts.overlaps import Learnt
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene
from tests.texts.test_overlaps import article

# ---------------------------------------------------------------- deciding, from plain values

CLEAN = MetricComparison(
    metric="rouge2", slice="clean subset", n=900, before=10.0, after=11.0, before_sd=None, after_sd=None, delta=1.0,
    delta_sd=None, low=0.4, high=1.6, p=None, p_adjusted=0.01, mde=None, margin=0.5, wins=0, losses=0, ties=0,
    verdict=Word.IMPROVED,
)  # fmt: skip
NOTHING = Facts(
    documents=1000, snapshots=1, frozen_rows=3000, rows=3000, texts=6000, too_short=0, in_rows={}, in_prompts={},
    left_out=0, clean=CLEAN, resamples=10_000,
)  # fmt: skip


def decided(facts: Facts = NOTHING, **policy: Any) -> dict[str, Result]:
    rows = judge_facts(facts, LeakagePolicy(**policy), metric="rouge2", margin=0.5)
    return {row.name: row for row in rows}


def test_nothing_in_common_passes_and_says_what_was_compared() -> None:
    rows = decided()
    assert {row.verdict for row in rows.values()} == {Verdict.PASS}
    assert rows["training rows"].words == "None of 1,000 test documents is in 3,000 training rows."
    assert rows["training rows"].need == "no test document with 80 % of a text"
    assert rows["prompts"].words == "None of 1,000 test documents is in the prompts."


@pytest.mark.parametrize(("share", "verdict"), [(0.5, "pass"), (0.79, "pass"), (0.8, "fail"), (1.0, "fail")])
def test_four_fifths_block_and_less_is_shown(share: float, verdict: str) -> None:
    row = decided(replace(NOTHING, in_rows={5: (share, Learnt.ARTICLE)}, left_out=1))["training rows"]
    assert row.verdict == verdict
    if verdict == "pass":
        assert row.words.endswith("1 has about half of a text in common: look at them.")
    else:
        assert row.words == "1 of 1,000 test documents is in 3,000 training rows: 1 as an article."


def test_the_policy_says_from_which_share_on_it_blocks() -> None:
    facts = replace(NOTHING, in_rows={5: (0.7, Learnt.ARTICLE)}, left_out=1)
    assert decided(facts, blocks=0.6)["training rows"].verdict is Verdict.FAIL


def test_an_example_in_a_prompt_blocks() -> None:
    row = decided(replace(NOTHING, in_prompts={5: (0.9, Learnt.PROMPT)}, left_out=1))["prompts"]
    assert row.verdict is Verdict.FAIL
    assert row.words == "1 of 1,000 test documents is in the prompts: 1 as an example in a prompt."


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"documents": 0}, "no documents"),
        ({"rows": 0}, "have no rows"),
        ({"rows": 2990}, "frozen with 3,000 rows, and there are 2,990 now"),
    ],
)
def test_what_should_be_there_and_is_not_is_an_error(facts: dict[str, int], words: str) -> None:
    row = decided(replace(NOTHING, **facts))["training rows"]  # type: ignore[arg-type]
    assert row.verdict is Verdict.ERROR
    assert words in row.words


def test_a_model_that_was_not_trained_here_has_no_rows() -> None:
    row = decided(replace(NOTHING, snapshots=0, frozen_rows=0, rows=0))["training rows"]
    assert row.verdict is Verdict.PASS
    assert "not trained here" in row.words


def test_the_clean_subset_is_said_beside_the_whole() -> None:
    row = decided(replace(NOTHING, in_rows={5: (0.6, Learnt.ARTICLE)}, left_out=1))["clean subset"]
    assert (row.verdict, row.estimate, row.low, row.high, row.n) == (Verdict.PASS, 1.0, 0.4, 1.6, 999)
    assert row.words == (
        "Without 1 document like something the model learnt: ROUGE-2 +1.00 points (0.40 … 1.60), improved."
    )


LOST = replace(CLEAN, delta=-2.0, low=-3.0, high=-1.0)


def test_a_loss_that_shows_on_the_clean_subset_alone_fails() -> None:
    facts = replace(NOTHING, in_rows={5: (0.6, Learnt.ARTICLE)}, left_out=1, clean=LOST, whole=CLEAN)
    assert decided(facts)["clean subset"].verdict is Verdict.FAIL


@pytest.mark.parametrize("left_out", [0, 1])
def test_a_loss_on_all_documents_is_for_the_metric_gate_which_may_be_waived(left_out: int) -> None:
    facts = replace(NOTHING, left_out=left_out, clean=LOST, whole=LOST)
    assert decided(facts)["clean subset"].verdict is Verdict.PASS


def test_one_of_few_documents_that_is_left_out_changes_nothing() -> None:
    facts = replace(NOTHING, documents=35, in_rows={5: (0.6, Learnt.ARTICLE)}, left_out=1)
    assert decided(facts)["clean subset"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("left_out", "clean"), [(950, CLEAN), (995, replace(CLEAN, low=None, high=None)), (1000, None)]
)
def test_too_few_clean_documents_are_inconclusive(left_out: int, clean: MetricComparison | None) -> None:
    found = dict.fromkeys(range(left_out), (0.6, Learnt.ARTICLE))
    row = decided(replace(NOTHING, in_rows=found, left_out=left_out, clean=clean))["clean subset"]
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "too few to judge by" in row.words


def test_no_figures_at_all_are_an_error() -> None:
    assert decided(replace(NOTHING, clean=None))["clean subset"].verdict is Verdict.ERROR


PUBLIC = (
    Public("cnn_dailymail test", 16),
    Public("XSum", 0),
    Public("C4", None, True),
    Public("CC-News", 3, True),
)


def test_public_sets_are_named_and_block_nothing_unless_the_policy_says_so() -> None:
    facts = replace(NOTHING, public=PUBLIC, unknown_bases=["model 1 · starter"])
    rows = decided(facts)
    assert rows["public sets"].words == (
        "16 of 1,000 test documents occur in cnn_dailymail test, so a base model may have learnt them."
    )
    assert rows["declared training sets"].words == (
        "3 of 1,000 test documents occur in CC-News, which the base model is declared to have learnt. "
        "C4 is not known by fingerprints."
    )
    assert {rows[name].verdict for name in ("public sets", "declared training sets")} == {Verdict.PASS}
    strict = decided(facts, public_sets="none allowed", declared_sets="none allowed")
    assert {strict[name].verdict for name in ("public sets", "declared training sets")} == {Verdict.FAIL}


def test_what_is_not_known_does_not_pass_where_none_is_allowed() -> None:
    base = replace(NOTHING, unknown_bases=["model 1 · starter"])
    strict = {"public_sets": "none allowed", "declared_sets": "none allowed"}
    rows = decided(base, **strict)
    assert rows["public sets"].verdict is Verdict.INCONCLUSIVE
    assert "Nobody has declared what model 1 · starter learnt from" in rows["declared training sets"].words
    assert rows["declared training sets"].verdict is Verdict.INCONCLUSIVE
    unknown = replace(base, public=(Public("C4", None, True),))
    assert decided(unknown, **strict)["declared training sets"].verdict is Verdict.INCONCLUSIVE
    assert (
        decided(replace(base, public=(Public("XSum", 0),)), **strict)["public sets"].verdict is Verdict.PASS
    )


def test_no_policy_allows_a_waiver() -> None:
    assert not leakage.GATE.waivable


# ---------------------------------------------------------------- looking, in the database


@pytest.fixture
def the(db: None) -> Scene:
    return scenes.scene()


ARTICLE, REFERENCE = article("held out"), article("its reference", 40)


def with_texts(the: Scene, **texts: Any) -> EvaluationExample:
    """A test document with texts of its own."""
    example = the.on.examples.order_by("position")[3]
    with without_guards(EvaluationExample):
        EvaluationExample.objects.filter(pk=example.pk).update(
            **{"source": ARTICLE, "reference": REFERENCE, **texts}
        )
    example.refresh_from_db()
    return example


def learnt(the: Scene, **fields: Any) -> SnapshotExample:
    values = {
        "snapshot": the.snapshot, "position": 99, "split": "train", "document_hash": "f" * 64, "origin": "feedback:1",
        "source": "x", "target": "y",
    }  # fmt: skip
    return SnapshotExample.objects.create(**{**values, **fields})


def look(the: Scene, release: Any = None) -> LeakageCheck:
    return check(release=release or the.candidate, evaluation_set=the.on)


def finds(found: LeakageCheck) -> list[tuple[int, str, str, float]]:
    rows = LeakageFinding.objects.filter(check_run=found)
    return [(one.example_id, one.held_out, one.learnt, round(one.share, 3)) for one in rows]


def test_a_snapshot_of_its_own_has_nothing_in_common(the: Scene) -> None:
    found = look(the)
    assert finds(found) == []
    assert (found.documents, found.training_rows, found.flagged) == (40, 3, 0)
    assert AuditEvent.objects.get(action="leakage.check").data["rows"] == 3


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"source": ARTICLE.upper()}, ("article", "article", 1.0)),
        ({"source": f"{article('a')} {REFERENCE} {article('b')}"}, ("reference", "article", 1.0)),
        ({"target": REFERENCE}, ("reference", "summary", 1.0)),
        ({"rejected": REFERENCE}, ("reference", "rejected draft", 1.0)),
        ({"target": " ".join(ARTICLE.split()[50:80])}, ("article", "summary", 1.0)),
    ],
    ids=["article", "reference in an article", "summary", "rejected draft", "summary in the article"],
)
def test_each_way_to_learn_a_test_document_is_found(
    the: Scene, fields: dict[str, str], expected: tuple[str, str, float]
) -> None:
    example, row = with_texts(the), learnt(the, **fields)
    found = look(the)
    assert finds(found) == [(example.pk, *expected)]
    finding = LeakageFinding.objects.get(check_run=found)
    assert finding.row == row
    assert finding.held_out_excerpt
    assert finding.learnt_excerpt
    assert texts_of(finding)[0] in (example.source, example.reference)


def test_the_second_reference_is_compared_as_well(the: Scene) -> None:
    second = article("second reference", 40)
    both = [asdict(Reference(REFERENCE)), asdict(Reference(second, resolved="by its reviewers", people=2))]
    example = with_texts(the, all_references=both)
    learnt(the, target=second)
    finding = LeakageFinding.objects.get(check_run=look(the))
    assert (finding.example, finding.reference, finding.share) == (example, 1, 1.0)
    assert texts_of(finding) == (second, second)


def test_the_same_document_by_its_hash_is_found_whatever_its_text_is(the: Scene) -> None:
    example = the.on.examples.order_by("position")[3]
    learnt(the, document_hash=example.document_hash)
    assert finds(look(the)) == [(example.pk, "article", "same document", 1.0)]


def test_what_an_ancestor_learnt_is_found(the: Scene) -> None:
    example = with_texts(the)
    learnt(the, source=ARTICLE)
    cast = the.cast
    other = scenes.snapshot(by=cast.ml_engineer, curators=[])
    grandchild = scenes.trained_model(the.model, other, by=cast.ml_engineer)
    release = compose_release(
        model_version=grandchild, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=cast.ml_engineer,
    )  # fmt: skip
    found = look(the, release)
    assert finds(found) == [(example.pk, "article", "article", 1.0)]
    assert found.snapshots == sorted([the.snapshot.pk, other.pk])


def prompted(the: Scene, template: str) -> Any:
    first = scenes.chat_prompt()
    version: PromptVersion = create_version(
        prompt=first.prompt, system=first.system, template=template, parent=first, note="",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    return compose_release(
        model_version=the.live.model_version, prompt_version=version, decoding={}, origin="prompt",
        actor=the.cast.ml_engineer,
    )  # fmt: skip


def test_a_near_duplicate_of_a_reference_in_a_few_shot_example_is_found(the: Scene) -> None:
    example = with_texts(the)
    words = REFERENCE.split()
    words[7] = "changed"
    release = prompted(
        the, f"Example.\nArticle: {article('shot', 80)}\nSummary: {' '.join(words)}\n\n{{text}}"
    )
    finding = LeakageFinding.objects.get(check_run=look(the, release), learnt="prompt")
    assert (finding.example, finding.held_out) == (example, "reference")
    assert finding.share > 0.9
    assert finding.row is None
    assert finding.prompt_version == release.prompt_version


def test_a_cut_article_in_a_few_shot_example_is_found(the: Scene) -> None:
    example = with_texts(the)
    release = prompted(the, f"Article: {' '.join(ARTICLE.split()[:90])} Summary: Something. {{text}}")
    found = LeakageFinding.objects.filter(check_run=look(the, release))
    assert {(one.example_id, one.learnt) for one in found} == {(example.pk, "passage of the prompt")}
    assert max(one.share for one in found) == 1.0


# ---------------------------------------------------------------- kept, and looked at again


def test_the_same_texts_are_compared_once(the: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(the)
    monkeypatch.setattr(leakage_checks, "Overlaps", None)
    assert look(the) == found
    assert kept_check(release=the.candidate, evaluation_set=the.on) == found


def test_a_test_document_that_somebody_rewrote_is_compared_again(the: Scene) -> None:
    first = look(the)
    with_texts(the, source="The old pier closes.")
    second = look(the)
    assert second != first
    assert second.test_digest != first.test_digest


def test_a_row_that_somebody_slipped_in_is_compared(the: Scene) -> None:
    first, example = look(the), with_texts(the)
    learnt(the, source=ARTICLE)
    assert finds(look(the)) == [(example.pk, "article", "article", 1.0)]
    assert not finds(first)


def test_a_snapshot_without_a_row_is_an_error(the: Scene) -> None:
    with without_guards(SnapshotExample):
        SnapshotExample.objects.all().delete()
    assert look(the).training_rows == 0
    run = scenes.judged(the.candidate, the.comparison)
    row = run.results.get(gate="leakage", name="training rows")
    assert row.verdict == "error"
    assert "have no rows" in row.words
    assert run.results.get(gate="data_quality").verdict == "error"
    assert run.results.get(gate="personal_data").verdict == "error"


def test_two_jobs_that_look_at_the_same_keep_one(the: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real = leakage_checks._look

    def slower(*args: Any) -> LeakageCheck:
        real(*args)  # the other one was faster
        return real(*args)

    monkeypatch.setattr(leakage_checks, "_look", slower)
    assert look(the) == LeakageCheck.objects.get()


# ---------------------------------------------------------------- the clean subset


def test_the_clean_comparison_leaves_out_what_was_found(the: Scene) -> None:
    with_texts(the)
    learnt(the, source=" ".join(ARTICLE.split()[:180]))
    found = look(the)
    clean = clean_comparison(comparison=the.comparison, check=found)
    assert (clean.n, clean.left_out) == (39, 1)
    metrics = {row["metric"]: row for row in clean.results}
    assert metrics["rouge2"]["n"] == 39
    assert metrics["rouge2"]["delta"] == pytest.approx(6.0)
    assert clean_comparison(comparison=the.comparison, check=found) == clean
    assert CleanComparison.objects.count() == 1


def test_where_everything_was_learnt_nothing_is_left(the: Scene) -> None:
    for place, example in enumerate(the.on.examples.all()):
        learnt(the, position=100 + place, document_hash=example.document_hash)
    clean = clean_comparison(comparison=the.comparison, check=look(the))
    assert (clean.n, clean.left_out, clean.results) == (0, 40, [])


# ---------------------------------------------------------------- the gate, as the job runs it


def test_a_release_that_learnt_nothing_of_the_test_set_passes(the: Scene) -> None:
    run = scenes.judged(the.candidate, the.comparison)
    rows = run.results.filter(gate="leakage")
    assert {row.verdict for row in rows} == {"pass"}, [row.words for row in rows]
    assert [row.name for row in rows] == [
        "training rows", "prompts", "clean subset", "declared training sets", "public sets",
    ]  # fmt: skip
    assert rows[0].evidence == f"leakagecheck:{LeakageCheck.objects.get().pk}"


def test_a_release_that_learnt_a_reference_is_blocked(the: Scene) -> None:
    with_texts(the)
    learnt(the, target=REFERENCE)
    run = scenes.judged(the.candidate, the.comparison)
    row = run.results.get(gate="leakage", name="training rows")
    assert row.verdict == "fail"
    assert "1 of 40 test documents is in 4 training rows: 1 as a summary." in row.words
    assert run.verdict == "fail"


def test_what_a_check_has_found_is_refused_at_the_next_submission(the: Scene) -> None:
    with_texts(the)
    learnt(the, target=REFERENCE)
    comparison = scenes.compared(the.candidate, the.live, the.on)
    assert known_leaks(release=the.candidate, evaluation_set=the.on) == 0
    look(the)
    assert known_leaks(release=the.candidate, evaluation_set=the.on) == 1
    with pytest.raises(Refused, match="1 document of the test set is in the data"):
        submit_release(release=the.candidate, comparison=comparison, actor=the.cast.ml_engineer)


def test_random_rows_of_real_length_make_no_find(the: Scene) -> None:
    chance = random.Random(4)
    for place in range(60):
        learnt(
            the, position=100 + place, document_hash=scenes.digest("own", place),
            source=article(f"own {place}", chance.randrange(50, 600)), target=article(f"its summary {place}", 35),
        )  # fmt: skip
    with_texts(the)
    assert finds(look(the)) == []
