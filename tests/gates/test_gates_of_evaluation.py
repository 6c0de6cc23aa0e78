"""Slices, forgetting and preference, from the rows in the database to results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from models_app.evaluation.people import cast_vote
from models_app.gates import forgetting, preference, slices
from models_app.gates.comparing import compare_by_policy
from models_app.gates.forgetting import BASE, ForgettingPolicy
from models_app.gates.gate import Judged
from models_app.gates.policy import Policy
from models_app.gates.preference import PreferencePolicy
from models_app.gates.results import Result, Verdict
from models_app.gates.slices import SlicesPolicy
from models_app.models import EvaluationExample, EvaluationRun, EvaluationSet, ExampleScore, Release
from models_app.releases.accounts import Circle
from models_app.releases.composing import compose_release
from tests import make
from tests.database import without_guards
from tests.doors.test_approvals import opened
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> scenes.Scene:
    return scenes.scene(documents=240)


def judged(the: scenes.Scene, **sections: Any) -> Judged:
    said: list[str] = []
    return Judged(
        release=the.candidate, comparison=the.comparison, policy=replace(Policy(), **sections), progress=said.append,
        judges=lambda: Circle(the.candidate),
    )  # fmt: skip


def by_name(rows: Any) -> Mapping[str, Result]:
    return {row.name: row for row in rows}


# ---------------------------------------------------------------- slices


def test_slices_are_judged_by_the_fields_floor_and_margin_of_the_policy(the: scenes.Scene) -> None:
    found = by_name(slices.judge(judged(the)))
    assert {"domain: news", "domain: business"} <= set(found)
    assert all(row.verdict is Verdict.PASS for row in found.values())
    assert found["domain: news"].n == 120
    assert found["domain: news"].evidence == f"comparison:{the.comparison.pk}"
    higher = SlicesPolicy(floor=121, fields=("domain",))
    (row,) = slices.judge(judged(the, slices=higher))
    assert row.verdict is Verdict.INCONCLUSIVE


def test_slices_are_cut_by_any_field_that_documents_came_with(the: scenes.Scene) -> None:
    with without_guards(EvaluationExample):
        for example in EvaluationExample.objects.filter(evaluation_set=the.on):
            example.fields = {
                "author": ["Holm", "Berg", "Lind"][example.position % 3 if example.position < 230 else 2]
            }
            example.save()
    section = SlicesPolicy(fields=("author", "editor"), floor=76)
    found = by_name(slices.judge(judged(the, slices=section)))
    assert {name for name in found if name.startswith("author: ")} == {
        "author: Berg", "author: Holm", "author: Lind",
    }  # fmt: skip
    assert found["author: Lind"].low is not None
    assert found["author: Lind"].n == 86
    assert "under the floor of 76" not in found["author: Holm"].words
    assert found["editor"].verdict is Verdict.INCONCLUSIVE
    comparison = compare_by_policy(
        candidate=the.comparison.candidate,
        baseline=the.comparison.baseline,
        lead=None,
        actor=None,
        resamples=200,
    )
    assert not comparison.results.filter(slice__startswith="author").exists()
    scenes.small_policy(slices={"fields": ["author"], "floor": 76})
    comparison = compare_by_policy(
        candidate=the.comparison.candidate,
        baseline=the.comparison.baseline,
        lead=None,
        actor=None,
        resamples=200,
    )
    assert comparison.results.filter(slice="author: Lind").exists()


def test_a_comparison_whose_scores_are_not_all_there_is_no_pass(the: scenes.Scene) -> None:
    with without_guards(ExampleScore):
        ExampleScore.objects.filter(run=the.comparison.candidate, example__position=7).delete()
    with pytest.raises(ValueError, match="are not the same"):
        slices.judge(judged(the))


# ---------------------------------------------------------------- forgetting


def general(the: scenes.Scene, **levels: float) -> EvaluationSet:
    """A general test set on which candidate and live have those levels of ROUGE-2."""
    on = scenes.evaluation_set(120)
    for name, level in levels.items():
        scenes.evaluated(getattr(the, name), on, level=level)
    return on


def test_a_release_is_set_beside_the_base_models_own(the: scenes.Scene) -> None:
    on = general(the, candidate=0.16, live=0.10)
    (row,) = forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=on.pk)))
    assert (row.name, row.verdict) == (BASE, Verdict.PASS)
    assert f"against release {the.live.pk}, the base model's own" in row.words
    assert row.n == 120


def test_what_was_forgotten_fails(the: scenes.Scene) -> None:
    on = general(the, candidate=0.10, live=0.16)
    (row,) = forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=on.pk)))
    assert row.verdict is Verdict.FAIL


def test_without_an_evaluation_on_the_general_set_it_is_inconclusive(the: scenes.Scene) -> None:
    on = general(the, live=0.16)
    (row,) = forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=on.pk)))
    assert row.verdict is Verdict.INCONCLUSIVE
    assert f"--candidate {the.candidate.pk} --baseline {the.live.pk} --test-set {on.pk}" in row.words


def test_evaluations_that_other_versions_of_the_metric_scored_are_not_set_beside_each_other(
    the: scenes.Scene,
) -> None:
    on = general(the, candidate=0.16, live=0.10)
    with without_guards(EvaluationRun, ExampleScore):
        ExampleScore.objects.filter(run__release=the.live, run__evaluation_set=on).delete()
        EvaluationRun.objects.filter(release=the.live, evaluation_set=on).update(signature="another")
    (row,) = forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=on.pk)))
    assert row.verdict is Verdict.INCONCLUSIVE


def test_a_test_set_of_another_number_is_an_error(the: scenes.Scene) -> None:
    (row,) = forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=987_654)))
    assert row.verdict is Verdict.ERROR


def test_the_release_of_so_many_approvals_ago_is_found_in_what_went_live(the: scenes.Scene) -> None:
    line = [the.live]
    for number in range(3):
        line.append(
            scenes.made_live(
                compose_release(
                    model_version=the.model, prompt_version=scenes.chat_prompt(), origin="decoding", actor=None,
                    decoding={"max_words": 40 + number},
                )
            )
        )  # fmt: skip
    assert forgetting.release_of_approvals_ago(the.candidate, 1) == (1, line[3].pk)
    assert forgetting.release_of_approvals_ago(the.candidate, 3) == (3, line[1].pk)
    assert forgetting.release_of_approvals_ago(the.candidate, 10) == (4, the.live.pk), (
        "the oldest, where there are fewer"
    )
    on = general(the, candidate=0.12, live=0.16)
    scenes.evaluated(line[2], on, level=0.12)
    found = by_name(
        forgetting.judge(judged(the, forgetting=ForgettingPolicy(test_set=on.pk, approvals_ago=2)))
    )
    assert {name: row.verdict for name, row in found.items()} == {
        BASE: Verdict.FAIL,
        "2 approvals ago": Verdict.PASS,
    }


def test_the_first_release_of_its_base_has_none_to_be_set_beside(the: scenes.Scene) -> None:
    assert forgetting.release_of_base(the.candidate) == the.live.pk
    assert forgetting.release_of_base(the.live) is None


# ---------------------------------------------------------------- preference


def vote(the: scenes.Scene, judge: Any, preferred: str, positions: range) -> None:
    hashes = EvaluationExample.objects.filter(evaluation_set=the.on, position__in=positions).values_list(
        "document_hash", flat=True
    )
    for document_hash in hashes:
        cast_vote(
            candidate=the.candidate, baseline=the.live, document_hash=document_hash, origin="queueitem:1", judge=judge,
            preferred=preferred, candidate_left=True,
        )  # fmt: skip


def asked(the: scenes.Scene, **fields: Any) -> Result:
    (row,) = preference.judge(judged(the, preference=PreferencePolicy(**{"ask": "always", **fields})))
    return row


def test_people_are_not_asked_where_the_metric_moved_far(the: scenes.Scene) -> None:
    (row,) = preference.judge(judged(the))
    assert row.verdict is Verdict.PASS
    assert row.words.startswith("Not asked: ROUGE-2 moved by +6.00")


def test_votes_are_counted_as_they_come_and_the_verdict_follows(the: scenes.Scene) -> None:
    judge, another = the.cast.another_reviewer, make.user("another judge", "reviewer")
    assert asked(the).verdict is Verdict.INCONCLUSIVE
    vote(the, judge, "candidate", range(60))
    assert "60 of 100 documents are judged and 1 of 2 people have judged" in asked(the).words
    vote(the, another, "tie", range(60, 110))
    row = asked(the)
    assert row.verdict is Verdict.PASS
    assert (row.n, row.unit) == (110, preference.UNIT)
    vote(the, another, "baseline", range(110, 240))
    assert asked(the).verdict is Verdict.FAIL


def test_votes_of_people_with_a_hand_in_it_do_not_count(the: scenes.Scene) -> None:
    vote(the, the.cast.ml_engineer, "candidate", range(120))
    row = asked(the)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.n == 0
    assert "0 of 2 people have judged" in row.words


def test_two_accounts_of_one_person_are_one_judge(the: scenes.Scene) -> None:
    """Ruben made the other account, by which he could choose again as somebody else."""
    puppet = make.user("puppet", "reviewer")
    opened(puppet, the.cast.another_reviewer, "person.create")
    for judge, positions in ((puppet, range(60)), (the.cast.another_reviewer, range(60, 120))):
        vote(the, judge, "candidate", positions)
    row = asked(the)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.n == 120, "what they chose counts by document all the same"
    assert "1 of 2 people, of whose 2 accounts some could be one person's, have judged" in row.words
    vote(the, make.user("another", "reviewer"), "candidate", range(2))
    assert asked(the).verdict is Verdict.PASS


def test_progress_is_that_of_a_release_about_which_people_are_asked(the: scenes.Scene) -> None:
    vote(the, the.cast.another_reviewer, "candidate", range(30))
    section = PreferencePolicy(ask="always")
    found = preference.progress_of(preference.facts_of(judged(the, preference=section)), section)
    assert found is not None
    assert (found.documents, found.judges, found.comparison) == (30, 1, the.comparison.pk)
    assert Release.objects.get(pk=the.candidate.pk).state == "draft"
