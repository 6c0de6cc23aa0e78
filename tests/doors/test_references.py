"""References that people wrote: their authors do not decide on what is measured against them; nobody rewrites them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from models_app.evaluation.sets import EvaluationRow, Reference, freeze_evaluation_set
from models_app.foundation.errors import NotAllowed, Refused
from models_app.models import EvaluationExample
from models_app.releases.approving import may_decide
from models_app.releases.hands import involved
from reviews.desk import claims
from reviews.desk.reviews import Answers, submit_review
from reviews.examples.references import freeze_test_set
from reviews.models import Review
from reviews.quality.adjudication import Ruling, resolve_dispute
from tests import make
from tests.releases import scene as scenes
from tests.reviews.quality.test_adjudication import RATINGS

pytestmark = pytest.mark.django_db
WRITTEN = "The old pier of Nordhaven will close for nine months."


@pytest.fixture
def author() -> User:
    return make.user("aaron", "reviewer", "approver")


@pytest.fixture
def the(author: User) -> scenes.Scene:
    """Measured against a correction by Aaron of what the live release wrote."""
    the = scenes.scene(documents=2)
    rows = [
        EvaluationRow(
            document_hash=scenes.digest("corrected", number),
            origin=f"document:{number}",
            source=f"{make.ARTICLE} {number}",
            reference=WRITTEN,
            references=(
                Reference(WRITTEN, ("review:1",), "by its reviewers", 1, (author.pk,), the.live.pk),
                Reference(make.REFERENCE, (f"document:{number}",)),
            ),
        )
        for number in range(24)
    ]
    on = freeze_evaluation_set(rows=rows, name="corrected", selection={}, actor=None)
    return replace(the, on=on, comparison=scenes.compared(the.candidate, the.live, on))


def test_who_wrote_references_does_not_decide_on_what_is_measured_against_them(
    the: scenes.Scene, author: User
) -> None:
    release = the.submitted()
    assert involved(release)[author.pk] == ["wrote references that it is measured against"]
    assert may_decide(release, author) == (
        False,
        "You wrote references that it is measured against, so somebody else has to decide.",
    )
    with pytest.raises(NotAllowed):
        the.approved_by(author)
    assert author.groups.filter(pk__in=Group.objects.filter(name="approver")).exists(), "it is not the role"


def test_the_evidence_says_whom_the_references_favour(the: scenes.Scene) -> None:
    sentence = the.submitted().evidence["comparison"]["sentence"]
    assert (
        f"those of 24 are corrections of what release {the.live.pk} (before) wrote, which favours it"
        in sentence
    )


@pytest.mark.parametrize(
    "rewrite",
    [
        """all_references = jsonb_set(all_references, '{0,edit_of}', 'null')""",
        """all_references = jsonb_set(all_references, '{0,authors}', '[]')""",
        """all_references = jsonb_set(all_references, '{1,text}', '"Another."')""",
        """all_references = '[]'""",
    ],
)
def test_references_that_are_rewritten_below_the_triggers_are_found(the: scenes.Scene, rewrite: str) -> None:
    the.submitted()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE models_app_evaluationexample DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE models_app_evaluationexample SET {rewrite} WHERE all_references <> '[]'")
        assert cursor.rowcount == 24
        cursor.execute("ALTER TABLE models_app_evaluationexample ENABLE TRIGGER USER")
    with pytest.raises(Refused, match="not what it was"):
        the.approved_by(the.cast.approver)


def test_reviewers_whose_dispute_was_resolved_have_a_hand_in_the_reference(author: User) -> None:
    """An adjudicator's final text is mostly what a reviewer wrote: by the desk, test set, evaluation, comparison."""
    the = scenes.scene(documents=2)
    second, adjudicator = make.user("berta", "reviewer"), the.cast.ml_engineer
    queue = make.queue(reviews_per_item=2)
    document = make.document(split="test", reference="")
    item = make.queue_item(make.summary(document, "The old pier closes.", release=the.live), queue)
    for reviewer, stars, verdict in ((author, 5, "good"), (second, 1, "poor")):
        text = WRITTEN if reviewer == author else f"{WRITTEN} Nobody says why."
        claims.hold(item=item, reviewer=reviewer)
        answers = Answers(stars=stars, verdict=verdict, ratings=RATINGS, edited_text=text)
        submit_review(item=item, answers=answers, reviewer=reviewer)
    item.refresh_from_db()
    assert item.state == "disputed"
    ruling = Ruling(stars=4, verdict="fair", ratings=RATINGS, edited_text=WRITTEN, explanation="Reads best.")
    seen = {review.pk: review.revision for review in Review.objects.filter(item=item)}
    resolve_dispute(item=item, ruling=ruling, seen=seen, actor=adjudicator)
    on = freeze_test_set(actor=None, references="corrections")
    (reference,) = EvaluationExample.objects.get(evaluation_set=on).all_references
    assert reference["authors"] == sorted([author.pk, second.pk, adjudicator.pk])
    release = replace(the, on=on, comparison=scenes.compared(the.candidate, the.live, on)).submitted()
    assert involved(release)[author.pk] == ["wrote references that it is measured against"]
    allowed, why = may_decide(release, author)
    assert (allowed, "wrote references" in why) == (False, True)
