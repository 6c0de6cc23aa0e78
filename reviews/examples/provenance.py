"""What is known of training rows that came from feedback examples, for the gates that judge models by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from models_app.datasets.provenance import KnownRow
from reviews.models import FeedbackExample, Review, SpanMark

PERSONAL = "personal data"
#: Of these a person read the summary beside its article; a reference or a client's correction was taken as it came.
REVIEWED = ("review", "adjudication")
_AT_ONCE = 1000


def known_of_rows(origins: Collection[str]) -> dict[str, KnownRow]:
    """By origin, such as "feedback:17", of the examples that there are; 2 queries for a thousand."""
    keys = sorted(
        {int(key) for kind, _, key in (one.partition(":") for one in origins) if _is_example(kind, key)}
    )
    known: dict[str, KnownRow] = {}
    for first in range(0, len(keys), _AT_ONCE):
        known |= _known(keys[first : first + _AT_ONCE])
    return known


def _is_example(kind: str, key: str) -> bool:
    return kind == "feedback" and key.isascii() and key.isdigit() and len(key) < 19


def _known(keys: Collection[int]) -> dict[str, KnownRow]:
    examples = list(
        FeedbackExample.objects.filter(pk__in=keys)
        .order_by()
        .values_list("pk", "origin", "document", "state", "reason")
    )
    marks: dict[tuple[int, str], dict[str, None]] = defaultdict(dict)
    rows = SpanMark.objects.filter(
        review__summary__document__in={document for _, _, document, _, _ in examples},
        review__state=Review.State.SUBMITTED,
        error_type=PERSONAL,
    )
    for document, side, quote in rows.order_by("pk").values_list(
        "review__summary__document", "side", "quote"
    ):
        marks[document, side][quote] = None
    return {
        f"feedback:{pk}": KnownRow(
            reviewed=origin in REVIEWED,
            in_summary=tuple(marks[document, "summary"]),
            in_article=tuple(marks[document, "source"]),
            refused=reason if state == "declined" and PERSONAL in reason.lower() else "",
        )
        for pk, origin, document, state, reason in examples
    }
