"""From a reviewer's correction to a release: those whose hands it passed through cannot let it go live."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release
from models_app.releases.hands import involved
from reviews import queueing
from reviews.feedback import approve_example, freeze_snapshot
from reviews.models import FeedbackExample, ReviewQueue
from reviews.reviewing import Answers, submit_review
from tests import make
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db


def test_who_corrected_and_who_approved_the_correction_have_a_hand_in_the_release() -> None:
    cast = make.cast()
    item = make.queue_item(make.summary(make.document(split="train")))
    lease = queueing.claim_next(queue=ReviewQueue.objects.get(pk=item.queue_id), reviewer=cast.reviewer)
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
