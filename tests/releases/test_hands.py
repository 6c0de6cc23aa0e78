"""From a reviewer's correction to a release: those whose hands it passed through cannot let it go live."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.models import EvaluationRun, PromptVersion, WeightMatch
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release
from models_app.releases.hands import involved, training_lineage, work_began
from reviews.desk import claims
from reviews.desk.reviews import Answers, submit_review
from reviews.examples.decisions import approve_example
from reviews.examples.snapshots import freeze_snapshot
from reviews.models import FeedbackExample, ReviewQueue
from tests import make
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db


def test_who_corrected_and_who_approved_the_correction_have_a_hand_in_the_release() -> None:
    cast = make.cast()
    item = make.queue_item(make.summary(make.document(split="train")))
    lease = claims.claim_next(queue=ReviewQueue.objects.get(pk=item.queue_id), reviewer=cast.reviewer)
    assert lease is not None
    answers = Answers(
        stars=2, verdict="poor", edited_text="The old pier of Nordhaven will close. Divers found 140 rotten piles.",
        ratings={"consistency": 1, "relevance": 4, "coherence": 4, "fluency": 5},
    )  # fmt: skip
    submit_review(item=item, answers=answers, reviewer=cast.reviewer)
    example = FeedbackExample.objects.get(kind="demonstration")
    approve_example(example=example, actor=cast.ml_engineer)
    snapshot = freeze_snapshot(name="corrections", actor=cast.administrator)
    model = scenes.trained_model(scenes.base_model(), snapshot, by=cast.administrator)
    release = compose_release(
        model_version=model, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=cast.administrator,
    )  # fmt: skip
    hands = involved(release)
    assert hands[cast.reviewer.pk] == ["curated its data"]
    assert hands[cast.ml_engineer.pk] == ["curated its data"]
    assert hands[cast.administrator.pk] == [
        "composed it",
        "registered its model",
        "started its training",
        "froze its data",
    ]
    for person in (cast.reviewer, cast.ml_engineer, cast.another_reviewer):
        person.groups.add(Group.objects.get(name="approver"))
    assert not may_decide(release, cast.reviewer)[0]
    assert not may_decide(release, cast.ml_engineer)[0]
    assert may_decide(release, cast.another_reviewer)[0]


def test_a_long_lineage_asks_no_more_statements_than_a_short_one() -> None:
    """Trained five times in a row, each time on another snapshot by another person, with a prompt of six versions."""
    cast = make.cast()
    model, prompt = scenes.base_model(), scenes.chat_prompt()
    counts, trainers = [], []
    for number in range(6):
        trainers.append(make.user(f"trainer{number}", "ml engineer"))
        made = scenes.trained_model(
            model, scenes.snapshot(by=trainers[-1], curators=[cast.reviewer.pk]), by=trainers[-1]
        )
        WeightMatch.objects.create(version=made, of=scenes.base_model(by=cast.operator), closeness=0.5)
        model = made
        prompt = PromptVersion.objects.create(
            prompt=prompt.prompt, number=prompt.number + 1, system=prompt.system, template=prompt.template,
            digest=scenes.digest("prompt", number), parent=prompt, created_by=trainers[-1],
        )  # fmt: skip
        if number not in (1, 5):
            continue
        release = compose_release(
            model_version=model, prompt_version=prompt, decoding={}, origin="retraining", actor=None
        )
        EvaluationRun.objects.create(
            release=release,
            evaluation_set=scenes.evaluation_set(2),
            signature="s",
            requested_by=cast.operator,
        )
        release = type(release).objects.get(pk=release.pk)
        with CaptureQueriesContext(connection) as asked:
            hands = involved(release)
            runs = training_lineage(release)
            began = work_began(release)
        counts.append(len(asked))
        assert [run.requested_by for run in runs] == trainers[::-1]
        assert began == scenes.chat_prompt().created_at, "which was never live"
        for trainer in trainers:
            assert hands[trainer.pk] == [
                "wrote its prompt",
                "registered its model",
                "started its training",
                "froze its data",
            ]
        assert hands[cast.operator.pk] == ["registered its model", "ran its evaluation"]
    assert counts[0] == counts[1]
