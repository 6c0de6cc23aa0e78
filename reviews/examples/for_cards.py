"""What is known of articles and of errors in summaries, for model cards."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from models_app.evidence.human_side import HumanSide, KnownErrors
from models_app.models import SnapshotExample
from reviews.models import Review, SourceDocument, SpanMark


def licences_of(hashes: QuerySet[SnapshotExample, str]) -> dict[str, int]:
    """1 query."""
    found = SourceDocument.objects.filter(content_hash__in=hashes).order_by()
    return dict(found.values_list("licence").annotate(n=Count("pk")).order_by("-n", "licence"))


def errors_of(release: int) -> KnownErrors:
    """Reviews are counted, not marks: one summary with five wrong numbers is one. 2 queries."""
    reviews = Review.objects.filter(summary__release=release, state=Review.State.SUBMITTED)
    marks = SpanMark.objects.filter(review__in=reviews).order_by()
    by_type = marks.values_list("error_type").annotate(n=Count("review", distinct=True))
    return KnownErrors(reviews.count(), dict(by_type.order_by("-n", "error_type")))


KNOWN = HumanSide(licences_of, errors_of)
