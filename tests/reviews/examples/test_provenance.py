"""What is known of training rows by where they came from."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from models_app.datasets.provenance import KnownRow, known_of_rows
from reviews.models import FeedbackExample, Review, SourceDocument, SpanMark
from tests import make

pytestmark = pytest.mark.django_db

DRAFT = "Nora Vik fears for her shop by the pier."


def example(of: SourceDocument, **fields: Any) -> FeedbackExample:
    values = {"kind": "demonstration", "origin": "review", "target": "Ok.", "state": "approved"}
    return FeedbackExample.objects.create(document=of, **{**values, **fields})


def known(one: FeedbackExample) -> KnownRow:
    return known_of_rows([f"feedback:{one.pk}"])[f"feedback:{one.pk}"]


def marked(
    of: SourceDocument, *, side: str = "summary", kind: str = "personal data", state: str = "submitted"
) -> None:
    item = make.queue_item(make.summary(of, DRAFT), state="done")
    review = Review.objects.create(
        item=item, summary=item.summary, reviewer=make.user(f"reviewer of {item.pk}", "reviewer"),
        rubric=item.queue.rubric, state=state, stars=2, verdict="poor", edited_text="A shop owner fears.",
        submitted_at=timezone.now() if state == "submitted" else None,
    )  # fmt: skip
    SpanMark.objects.create(review=review, side=side, start=0, end=8, quote="Nora Vik", error_type=kind)


@pytest.mark.parametrize(
    ("origin", "reviewed"),
    [("review", True), ("adjudication", True), ("reference", False), ("client", False)],
)
def test_a_row_is_reviewed_where_a_person_read_the_summary_beside_its_article(
    origin: str, reviewed: bool
) -> None:
    assert known(example(make.document(), origin=origin)) == KnownRow(reviewed=reviewed)


def test_passages_that_reviewers_marked_are_known_by_side() -> None:
    document = make.document()
    marked(document)
    marked(document, side="source")
    one = known(example(document, origin="reference"))
    assert (one.in_summary, one.in_article) == (("Nora Vik",), ("Nora Vik",))


def test_other_marks_drafts_and_other_documents_do_not_count() -> None:
    document = make.document()
    marked(document, kind="tone")
    marked(document, state="draft")
    marked(make.document())
    one = known(example(document))
    assert (one.in_summary, one.in_article) == ((), ())


def test_an_example_that_was_declined_since_because_of_personal_data_is_told() -> None:
    document = make.document()
    taken_back = example(document, state="declined", reason="Contains personal data")
    other = example(make.document(), state="declined", reason="Too long")
    assert known(taken_back).refused == "Contains personal data"
    assert known(other).refused == ""


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "feedback",
        "feedback:",
        "feedback:x",
        "feedback:²",
        "document:1",
        f"feedback:{'9' * 30}",
        "feedback:-1",
    ],
)
def test_an_origin_that_names_no_example_is_not_known(origin: str) -> None:
    assert known_of_rows([origin]) == {}


def test_a_thousand_rows_are_two_queries(django_assert_num_queries: Any) -> None:
    rows = [example(make.document(), origin="reference") for _ in range(3)]
    with django_assert_num_queries(2):
        assert len(known_of_rows([f"feedback:{one.pk}" for one in rows])) == 3
