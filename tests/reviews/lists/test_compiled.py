"""A question whose text is made once gives what the ORM gives."""

from __future__ import annotations

import pytest
from django.forms.models import model_to_dict
from pytest_django import DjangoAssertNumQueries

from reviews.lists.compiled import Prepared, given
from reviews.models import QueueItem, Review
from tests import make
from tests.web.desk_forms import submitted


@pytest.mark.django_db
def test_rows_come_whole_with_what_they_are_related_to(
    cast: make.Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    review = submitted(cast, make.queue())
    asked = Prepared(
        Review.objects.select_related("item__queue", "item__other", "reviewer").filter(pk=given("review"))
    )
    with django_assert_num_queries(1):
        found = asked.first(review=review.pk)
        assert found is not None
        assert (found.item.queue.slug, found.item.other, found.reviewer) == (
            "new-drafts",
            None,
            cast.reviewer,
        )
    assert model_to_dict(found) == model_to_dict(Review.objects.get(pk=review.pk)), "JSON too"
    assert found.ratings["consistency"] == 2
    found.comment = "Saved again."
    found.save()
    assert Review.objects.get().comment == "Saved again."


@pytest.mark.django_db
def test_each_asking_has_its_own_values() -> None:
    asked = Prepared(QueueItem.objects.select_related("summary").filter(pk=given("item")))
    items = [make.queue_item(make.summary(make.document(), text)) for text in ("One.", "Two.")]
    for item in items:
        found = asked.first(item=item.pk)
        assert found is not None
        assert found.summary.text == item.summary.text
    assert asked.first(item=0) is None
