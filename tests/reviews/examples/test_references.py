"""Final corrections of test documents are references: which ones, where they came from, whom they favour."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from models_app.evaluation import rouge
from models_app.evaluation.comparing import compare_releases
from models_app.evaluation.running import start_evaluation
from models_app.evaluation.sets import authors_of, references_of
from models_app.evaluation.signature import SIGNATURE
from models_app.foundation.errors import InvalidInput, Refused
from models_app.models import EvaluationExample, EvaluationRun, EvaluationSet, ExampleScore, Release
from reviews.examples.proposals import propose_from_review
from reviews.examples.references import count_corrections, final_corrections, freeze_test_set
from reviews.examples.snapshots import Selection, approved_demonstrations
from reviews.models import (
    Adjudication,
    Assignment,
    QueueItem,
    RatingImport,
    Review,
    ReviewReturn,
    SourceDocument,
)
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db

DRAFT = "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
MINE = "The old pier of Nordhaven will close for nine months. 140 of its piles are rotten."
OTHER = "Nordhaven closes the old pier for nine months, since 140 piles are rotten."


def document(**fields: Any) -> SourceDocument:
    return make.document(**{"split": "test", "reference": "", **fields})


def item(of: SourceDocument, **fields: Any) -> QueueItem:
    summary = make.summary(of, DRAFT, release=fields.pop("release", None))
    return make.queue_item(summary, **{"state": "done", **fields})


def corrected(at: QueueItem, by: User, text: str = MINE, **fields: Any) -> Review:
    values: dict[str, Any] = {
        "state": "submitted",
        "stars": 3,
        "verdict": "fair",
        "edited_text": text,
        **fields,
    }
    return Review.objects.create(
        item=at, summary=at.summary, reviewer=by, rubric=at.queue.rubric, submitted_at=at.created_at, **values
    )


def adjudicated(at: QueueItem, by: User, text: str) -> Adjudication:
    reviews = [{"review": review.pk, "revision": 1} for review in Review.objects.filter(item=at)]
    return Adjudication.objects.create(
        item=at,
        adjudicator=by,
        stars=3,
        verdict="fair",
        rubric=at.queue.rubric,
        edited_text=text,
        reviews=reviews,
    )


@pytest.fixture
def live(cast: make.Cast) -> Release:
    return make.release(decoding={"max_words": 50})


# ---------------------------------------------------------------- which ones


def test_a_test_set_can_be_frozen_where_no_text_came_with_a_reference(cast: make.Cast, live: Release) -> None:
    one, another = document(), document()
    review = corrected(item(one, release=live), cast.reviewer)
    corrected(item(another), cast.reviewer, OTHER)
    document()  # nobody corrected it
    with pytest.raises(Refused, match="2 have a final correction: freeze those instead"):
        freeze_test_set(actor=cast.ml_engineer)
    frozen = freeze_test_set(actor=cast.ml_engineer, references="corrections")
    assert frozen.rows == 2
    example = EvaluationExample.objects.get(evaluation_set=frozen, document_hash=one.content_hash)
    assert example.texts == [example.reference] == [MINE]
    assert example.all_references == [
        {
            "text": MINE, "origins": [f"review:{review.pk}"], "resolved": "by its reviewers", "people": 1,
            "authors": [cast.reviewer.pk], "edit_of": live.pk,
        }
    ]  # fmt: skip
    told = references_of(frozen)
    assert (told.imported, told.corrections, told.several, told.people) == (0, 2, 0, 1)
    assert told.edits == {live.pk: 1}
    assert freeze_test_set(actor=cast.ml_engineer, references="corrections") == frozen, "the same is the same"


def test_where_nothing_can_be_frozen_it_says_what_there_is_instead_among_the_documents_asked_for(
    cast: make.Cast,
) -> None:
    with_reference, with_correction, with_neither = document(reference="It closes."), document(), document()
    corrected(item(with_correction), cast.reviewer)

    def said(references: Any, *documents: SourceDocument) -> str:
        with pytest.raises(Refused) as refused:
            freeze_test_set(
                actor=cast.ml_engineer, documents=[one.pk for one in documents], references=references
            )
        return refused.value.message

    assert said("imported", with_correction, with_neither) == (
        "None of these test documents came with a reference summary, but 1 has a final correction: freeze those "
        "instead."
    )
    assert said("corrections", with_reference, with_neither) == (
        "None of these test documents has a final correction yet, but 1 has a reference summary: freeze those "
        "instead."
    )
    assert said("imported", with_neither).endswith("has a reference summary. Import some, then evaluate.")
    assert said("corrections", with_neither).startswith(
        "None of these test documents has a final correction yet. Let reviewers correct"
    )
    assert "a reference summary or a final correction yet" in said("both", with_neither)


def test_each_reviewer_s_text_is_a_reference_and_the_same_text_is_one_by_two(cast: make.Cast) -> None:
    of = document()
    at = item(of)
    corrected(at, cast.reviewer)
    corrected(at, cast.another_reviewer, OTHER)
    corrected(at, cast.ml_engineer)
    (first, second) = final_corrections()[of.pk]
    assert (first.text, first.people, first.authors) == (MINE, 2, (cast.reviewer.pk, cast.ml_engineer.pk))
    assert len(first.origins) == 2
    assert (second.text, second.people) == (OTHER, 1)


def test_after_an_adjudication_its_text_alone_is_the_reference(cast: make.Cast) -> None:
    of = document()
    at = item(of)
    corrected(at, cast.reviewer, "Something that did not hold, in many words.")
    corrected(at, cast.another_reviewer, OTHER)
    made = adjudicated(at, cast.ml_engineer, MINE)
    (only,) = final_corrections()[of.pk]
    assert (only.text, only.resolved, only.people) == (MINE, "by adjudication", 3)
    assert only.origins == (f"adjudication:{made.pk}",)
    everybody = (cast.reviewer, cast.another_reviewer, cast.ml_engineer)
    assert only.authors == tuple(sorted(person.pk for person in everybody))


@pytest.mark.parametrize(
    "what",
    ["training", "open", "disputed", "flagged", "gold", "calibration", "unchanged", "draft", "returned", "short",
     "personal", "imported"],
)  # fmt: skip
def test_what_is_not_final_or_no_correction_is_no_reference(cast: make.Cast, what: str) -> None:
    fields: dict[str, Any] = {}
    if what in ("open", "disputed", "flagged"):
        fields["state"] = what
    if what == "gold":
        fields["reason"] = "gold item"
    if what == "calibration":
        make.queue(calibration=True)
    at = item(document(split="train" if what == "training" else "test"), **fields)
    text = {"unchanged": f" {DRAFT} ", "short": "Pier closes.", "personal": f"{MINE} Ask a.b@example.org."}
    state = {"draft": "draft", "returned": "returned"}
    review = corrected(at, cast.reviewer, text.get(what, MINE), state=state.get(what, "submitted"))
    if what == "returned":
        ReviewReturn.objects.create(review=review, returned_by=cast.ml_engineer, comment="Which piles?")
    if what == "imported":
        batch = RatingImport.objects.create(name="elsewhere")
        Review.objects.filter(pk=review.pk).update(imported_from=batch)
    assert final_corrections() == {}
    with pytest.raises(Refused, match="No test document has a final correction yet"):
        freeze_test_set(actor=cast.ml_engineer, references="corrections")


def test_imported_references_come_first_and_stay_alone_unless_corrections_are_asked_for(
    cast: make.Cast,
) -> None:
    of = document(reference=make.REFERENCE)
    corrected(item(of), cast.reviewer)
    alone = freeze_test_set(actor=cast.ml_engineer)
    example = EvaluationExample.objects.get(evaluation_set=alone)
    assert (example.texts, example.all_references, alone.most_references) == ([make.REFERENCE], [], 1)
    both = freeze_test_set(actor=cast.ml_engineer, references="both")
    example = EvaluationExample.objects.get(evaluation_set=both)
    assert (example.texts, both.most_references) == ([make.REFERENCE, MINE], 2)
    assert both.digest != alone.digest
    told = references_of(both)
    assert (told.imported, told.corrections, told.several, told.total) == (1, 1, 1, 2)
    with pytest.raises(InvalidInput):
        freeze_test_set(actor=cast.ml_engineer, references="all")  # type: ignore[arg-type]


def test_the_digest_covers_every_reference_and_where_it_came_from(cast: make.Cast, live: Release) -> None:
    of = document()
    corrected(item(of, release=live), cast.reviewer)
    first = freeze_test_set(actor=cast.ml_engineer, references="corrections")
    corrected(item(of), cast.another_reviewer, OTHER)
    second = freeze_test_set(actor=cast.ml_engineer, references="corrections")
    Review.objects.filter(reviewer=cast.another_reviewer).update(reviewer=cast.ml_engineer)
    third = freeze_test_set(actor=cast.ml_engineer, references="corrections")
    assert len({first.digest, second.digest, third.digest}) == 3
    assert authors_of([second]) == {cast.reviewer.pk, cast.another_reviewer.pk}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models_app_evaluationexample SET all_references = '[]'",
        "DELETE FROM models_app_evaluationexample",
        "UPDATE models_app_evaluationset SET most_references = 1",
    ],
)
def test_the_database_refuses_to_change_frozen_references(cast: make.Cast, statement: str) -> None:
    at = item(document())
    corrected(at, cast.reviewer)
    corrected(at, cast.another_reviewer, OTHER)
    freeze_test_set(actor=cast.ml_engineer, references="corrections")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_first_reference_cannot_be_another_text_than_the_reference(cast: make.Cast) -> None:
    on = EvaluationSet.objects.create(name="x", digest="x", rows=1)
    with pytest.raises(DatabaseError, match="evaluation_first_reference"), transaction.atomic():
        EvaluationExample.objects.create(
            evaluation_set=on, position=0, document_hash="d", origin="o", source="s", reference="One.",
            all_references=[{"text": "Another."}],
        )  # fmt: skip


def test_the_page_counts_corrections_in_the_database(
    cast: make.Cast, live: Release, django_assert_num_queries: Any
) -> None:
    one, another = document(), document()
    at = item(one, release=live)
    corrected(at, cast.reviewer)
    corrected(at, cast.another_reviewer)  # the same text
    corrected(item(another), cast.reviewer, f" {OTHER} ")
    resolved = item(another)
    corrected(resolved, cast.another_reviewer, "What did not hold, in many words.")
    adjudicated(resolved, cast.ml_engineer, MINE)
    corrected(item(document()), cast.reviewer, f" {DRAFT} ")  # nothing changed
    with django_assert_num_queries(2):
        counted = count_corrections()
    found = final_corrections()
    assert counted == (len(found), sum(map(len, found.values()))) == (2, 3)


# ---------------------------------------------------------------- measured against several


def evaluated(release: Release, on: EvaluationSet) -> EvaluationRun:
    run = start_evaluation(release=release, evaluation_set=on, actor=None, deliver=False)
    assert run.job is not None
    job = make.carried_out(run.job)
    assert job.state == "succeeded", job.reason
    run.refresh_from_db()
    return run


def test_a_summary_is_scored_against_the_best_reference_and_the_signature_says_so(
    cast: make.Cast, live: Release
) -> None:
    of = document(
        reference="Ferries leave from the northern quay instead, and shop owners fear for the season."
    )
    at = item(of, release=live)
    corrected(at, cast.reviewer)
    corrected(at, cast.another_reviewer, OTHER)
    alone, both = freeze_test_set(actor=None), freeze_test_set(actor=None, references="both")
    single, several = evaluated(live, alone), evaluated(live, both)
    assert single.signature == SIGNATURE
    assert several.signature == f"{SIGNATURE}|references:best-of-up-to-3"
    score = ExampleScore.objects.get(run=several)
    expected = rouge.score_best([of.reference, MINE, OTHER], score.output)
    assert (score.rouge1, score.rougeLsum) == (expected.rouge1.fmeasure, expected.rougeLsum.fmeasure)
    assert score.rouge1 > ExampleScore.objects.get(run=single).rouge1
    assert start_evaluation(release=live, evaluation_set=both, actor=None).pk == several.pk, "twice is once"


def test_a_comparison_says_which_release_its_references_favour(cast: make.Cast, live: Release) -> None:
    other = make.release()
    for number in range(8):
        of = document()
        corrected(item(of, release=live if number else other), cast.reviewer)
    on = freeze_test_set(actor=cast.ml_engineer, references="corrections")
    made = compare_releases(
        candidate=evaluated(other, on), baseline=evaluated(live, on), lead=None, actor=None, resamples=200
    )
    assert made.sentence.endswith(
        f"Of the references of 8 documents those of 1 are corrections of what release {other.pk} (after) wrote, which "
        f"favours it; those of 7 are corrections of what release {live.pk} (before) wrote, which favours it."
    )


# ---------------------------------------------------------------- told


def entered(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_the_pages_say_where_each_reference_came_from(cast: make.Cast, live: Release) -> None:
    mila, rita = entered(cast.ml_engineer), entered(cast.reviewer)
    page = markup(mila.get("/feedback/test-set/"))
    assert "There is nothing to measure summaries against" in page
    of = document()
    at = item(of, release=live)
    review = corrected(at, cast.reviewer)
    mine = markup(rita.get("/my-feedback/"))
    assert "your text can be a reference in a test set" in mine
    page = markup(mila.get("/feedback/test-set/"))
    assert "final corrections" in page
    answer = mila.post("/feedback/test-set/", {"references": "corrections"}, follow=True)
    on = EvaluationSet.objects.get()
    page = " ".join(markup(answer).split())
    wrote = f'<a href="/releases/{live.pk}/">release {live.pk}</a> wrote'
    assert f"Correction of what {wrote}, resolved by its reviewers, 1 person" in page
    assert f"(review:{review.pk})" in page
    assert "Corrections favour the release they began as." in page
    mine = markup(rita.get("/my-feedback/"))
    assert f"your text is a reference in test set {on.pk}" in mine
    assert mila.post("/feedback/test-set/", {"references": "everything"}).status_code == 422


def test_the_command_freezes_corrections(cast: make.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    corrected(item(document()), cast.reviewer)
    call_command("freeze_snapshot", "--test-set", "--references", "corrections")
    assert "1 documents, digest" in capsys.readouterr().out


def test_a_correction_of_a_test_document_trains_nothing(cast: make.Cast, live: Release) -> None:
    at = item(document(), release=live)
    Assignment.objects.filter(item=at).delete()
    review = corrected(at, cast.reviewer)
    made = propose_from_review(review=review)
    assert {example.state for example in made} == {"declined"}
    assert not approved_demonstrations(Selection()).exists()
