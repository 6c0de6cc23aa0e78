"""Every evaluation checks part of its scores against rouge-score and ends without a result where one differs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from models_app.evaluation import rouge, rouge_check
from models_app.evaluation.rouge_check import ScoresDiffer, check_sample
from models_app.evaluation.running import resume_evaluation, start_evaluation
from models_app.models import EvaluationRun, ExampleScore, Job
from tests import make
from tests.database import without_guards
from tests.releases.scene import evaluation_set

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cast")]


def evaluated(documents: int) -> tuple[EvaluationRun, Job]:
    run = start_evaluation(
        release=make.release(), evaluation_set=evaluation_set(documents), actor=None, deliver=False
    )
    assert run.job is not None
    job = make.carried_out(run.job)
    run.refresh_from_db()
    return run, job


@contextmanager
def without_our_stemmer() -> Iterator[None]:
    """Ours counts "closes" and "closed" as two words; rouge-score does not."""
    with (
        mock.patch.object(rouge, "porter_stem", lambda word: word),
        mock.patch.object(rouge, "_current", rouge._Vocabulary()),
    ):
        yield


def test_an_evaluation_whose_scores_rouge_score_gives_too_succeeds() -> None:
    run, job = evaluated(25)
    assert (run.state, job.state, run.means["n"]) == ("succeeded", "succeeded", 25)


def test_a_real_difference_ends_the_evaluation_and_names_document_metric_and_both_values() -> None:
    with without_our_stemmer():
        run, job = evaluated(3)
    assert (run.state, job.state, run.means) == ("failed", "failed", {})
    said = re.match(
        r"Document (\d) of test set (\d+) \(document:\d\) has (rouge\w+) ([\d.]+) here, but ([\d.]+) by rouge-score",
        run.reason,
    )
    assert said, run.reason
    position, of, metric, ours, theirs = said.groups()
    score = ExampleScore.objects.get(
        run=run, example__position=int(position), example__evaluation_set_id=int(of)
    )
    assert getattr(score, metric) == float(ours)
    assert float(theirs) > float(ours)


def test_resuming_it_finds_the_difference_again_and_a_new_evaluation_does_not() -> None:
    with without_our_stemmer():
        run, _ = evaluated(3)
    assert run.state == "failed"
    resumed = resume_evaluation(run=run, actor=None, deliver=False)
    assert make.carried_out(resumed.job).state == "failed"  # type: ignore[arg-type]
    again = start_evaluation(
        release=run.release, evaluation_set=run.evaluation_set, actor=None, deliver=False
    )
    assert again.pk != run.pk
    assert make.carried_out(again.job).state == "succeeded"  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", rouge.METRICS)
def test_a_millionth_in_one_score_is_found(metric: str) -> None:
    run, _ = evaluated(rouge_check.SAMPLE)
    score = ExampleScore.objects.filter(run=run)[7]
    with without_guards(ExampleScore):
        ExampleScore.objects.filter(pk=score.pk).update(**{metric: getattr(score, metric) + 1e-6})
    with pytest.raises(ScoresDiffer, match=rf"Document 7 of test set .* has {metric} "):
        check_sample(run)


def test_the_sample_is_the_same_each_time_and_another_for_another_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[int] = []
    monkeypatch.setattr(
        rouge_check, "_refuse_another_value", lambda score, metric, theirs: checked.append(score.example_id)
    )
    first, _ = evaluated(60)
    once = list(checked)
    checked.clear()
    check_sample(first)
    assert checked == once
    assert len(set(once)) == rouge_check.SAMPLE
    checked.clear()
    second, _ = evaluated(60)
    places = [
        {example - min(run.scores.values_list("example", flat=True)) for example in found}
        for run, found in ((first, once), (second, checked))
    ]
    assert places[0] != places[1]
