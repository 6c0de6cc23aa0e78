"""Which rows an export has: one query for each kind, of the values in the order of its columns.

One query sees one moment of the database, however long the reading takes. Everybody gets what they may see: nobody what
peers said of an item that they may still be asked to judge blind, nor which model wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    Expression,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Concat, JSONArray, Trim
from django.db.models.lookups import Exact
from django.utils import timezone

from models_app.models import SnapshotExample
from reviews.exports.columns import ANSWERS, MARK, PAIR, SHARED, SUPPORT
from reviews.exports.files import Column
from reviews.exports.request import Request
from reviews.models import (
    FeedbackExample,
    Preference,
    QueueItem,
    Review,
    ReviewRating,
    SentenceSupport,
    SpanMark,
    Split,
)
from reviews.queues import blindness
from reviews.queues.blindness import Reader

Values = QuerySet[Any, tuple[Any, ...]]
Said = str | Expression | Subquery
LEARNT = (Split.TRAIN, Split.VALIDATION)


def rows_of(request: Request, actor: Any | None) -> Values:
    """For training data split, domain, title, source, target and what was rejected; for others the values of
    `SHARED` and `ANSWERS`, or of `PAIR`, and before them whether models are hidden from the asker."""
    reader = actor if actor is not None else AnonymousUser()  # nobody in particular is never asked to judge
    if request.snapshot is not None:
        return _snapshot(request, request.snapshot)
    if request.kind == "dpo":
        return _examples(request, reader).union(_votes(request, reader), all=True)
    if request.is_training:
        return _examples(request, reader)
    return _pairs(request, reader) if request.kind == "preferences" else _reviews(request, reader)


def _chosen(request: Request, *, queue: str, at: str, reviewer: str, reader: Reader) -> Q:
    """By the request's queue, days and person, which these columns say."""
    zone = timezone.get_current_timezone()
    chosen = Q()
    if request.queue:
        chosen &= Q(**{f"{queue}__slug": request.queue})
    if request.since:
        chosen &= Q(**{f"{at}__gte": datetime.combine(request.since, time(), zone)})
    if request.until:
        chosen &= Q(**{f"{at}__lt": datetime.combine(request.until + timedelta(days=1), time(), zone)})
    if request.mine and not request.is_training:
        chosen &= Q(**{reviewer: reader.pk})
    return chosen


# ---------------------------------------------------------------- reviews and choices


def _reviews(request: Request, reader: Reader) -> Values:
    rows = blindness.readable_reviews(Review.objects.order_by("pk"), reader).filter(
        _chosen(request, queue="item__queue", at="submitted_at", reviewer="reviewer", reader=reader),
        state__in=(Review.State.SUBMITTED, Review.State.RETURNED),
    )
    if request.kind == "edits":
        rows = rows.filter(_EDITED)
    elif request.kind == "spans":
        rows = rows.filter(Exists(SpanMark.objects.filter(review=OuterRef("pk"))))
    hidden = _names_a_hidden_model("summary", reader)
    return rows.values_list(hidden, *_values((*SHARED, *ANSWERS), _OF_A_REVIEW, request))


def _pairs(request: Request, reader: Reader) -> Values:
    # Which side of a pair is the newer one tells which model wrote it, whatever the models are called.
    nameless = blindness.nameless(reader).filter(pk=OuterRef("item"))
    rows = blindness.readable_choices(Preference.objects.order_by("pk"), reader).filter(
        _chosen(request, queue="item__queue", at="submitted_at", reviewer="reviewer", reader=reader),
        ~Exists(nameless),
        state=Preference.State.SUBMITTED,
        item__other__isnull=False,
    )
    hidden = [_names_a_hidden_model(f"item__{side}", reader) for side in ("summary", "other")]
    return rows.values_list(*hidden, *_values(PAIR, _OF_A_CHOICE, request))


def _names_a_hidden_model(summary: str, reader: Reader) -> Exists:
    either = Q(summary=OuterRef(summary)) | Q(other=OuterRef(summary))
    return Exists(blindness.nameless(reader).filter(either))


def _values(columns: Iterable[Column], expressions: dict[str, Said], request: Request) -> list[Said]:
    return [
        expressions[column.name]
        if request.texts or column.name != "article"
        else Value(None, output_field=TextField())
        for column in columns
    ]


def _is(condition: Q) -> ExpressionWrapper:
    return ExpressionWrapper(condition, BooleanField())


def _instant(column: str) -> Func:
    """ISO 8601 in UTC, the session's time zone, written by the server: reading instants and writing them again is half
    the work of a row."""
    form = Value('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    return Func(F(column), form, function="to_char", output_field=CharField())


def _all_of(rows: QuerySet[Any], order: Iterable[str], *columns: str) -> Subquery:
    """What belongs to a review, as a list of lists."""
    found = rows.filter(review=OuterRef("pk")).order_by().values("review")
    return Subquery(found.annotate(all=JSONBAgg(JSONArray(*columns), order_by=list(order))).values("all"))


_EDITED = ~ExpressionWrapper(Exact(Trim("edited_text"), Trim("summary__text")), BooleanField())
_ITEM: dict[str, Said] = {
    "item": "item",
    "queue": "item__queue__slug",
    "reason": "item__reason",
}
_WORK: dict[str, Said] = {
    "reviewer": "reviewer",
    "active_seconds": "active_seconds",
    "late": "late",
    "revision": "revision",
    "created_at": _instant("created_at"),
    "submitted_at": _instant("submitted_at"),
    "imported": _is(Q(imported_from__isnull=False)),
}


def _article(summary: str) -> dict[str, Said]:
    named = ("external_id", "title", "domain", "split")
    document = f"{summary}__document"
    return {
        "document": document,
        **{name: f"{document}__{name}" for name in named},
        "article": f"{document}__text",
    }


_OF_A_REVIEW: dict[str, Said] = {
    "review": "pk",
    **_ITEM,
    "state": "state",
    **_article("summary"),
    "summary": "summary",
    "summary_text": "summary__text",
    "summary_source": "summary__source",
    "release": "summary__release",
    "model_version": "summary__model_version__name",
    "prompt_version": Case(
        When(
            summary__prompt_version__isnull=False,
            then=Concat(
                "summary__prompt_version__prompt__name",
                Value(" "),
                "summary__prompt_version__number",
                output_field=TextField(),
            ),
        )
    ),
    "system": "summary__system",
    "rubric": "rubric__number",
    "ratings": _all_of(ReviewRating.objects.all(), ["criterion__position"], "criterion__key", "value"),
    **{
        name: name
        for name in (
            "stars", "verdict", "overall_from_ratings", "edited_text", "comment", "wants_retrain", "wants_refine"
        )
    },
    "edited": _EDITED,
    "marks": _all_of(SpanMark.objects.all(), ["-side", "start", "id"], *MARK),
    "sentence_support": _all_of(SentenceSupport.objects.all(), ["start"], *SUPPORT),
    **_WORK,
    "updated_at": _instant("updated_at"),
    "adjudicated": _is(Q(item__adjudication__isnull=False)),
}  # fmt: skip


def _side(name: str, summary: str) -> dict[str, Said]:
    return {
        name: summary,
        f"{name}_text": f"{summary}__text",
        f"{name}_model_version": Coalesce(f"{summary}__model_version__name", f"{summary}__system"),
    }


_OF_A_CHOICE: dict[str, Said] = {
    "preference": "pk",
    **_ITEM,
    **_article("item__summary"),
    **_side("before", "item__summary"),
    **_side("after", "item__other"),
    "choice": "choice",
    "strength": "strength",
    "comment": "reason",
    "after_was_left": "after_was_left",
    **_WORK,
}


# ---------------------------------------------------------------- training data


def _splits(request: Request) -> list[str]:
    return list(LEARNT) if request.format == "datasets" else [request.split]


def _snapshot(request: Request, snapshot: int) -> Values:
    rows = SnapshotExample.objects.filter(snapshot=snapshot, split__in=_splits(request)).order_by("position")
    if request.kind == "dpo":
        rows = rows.exclude(rejected="")
    return rows.values_list("split", "domain", "title", "source", "target", "rejected")


def _examples(request: Request, reader: Reader) -> Values:
    """What is approved now."""
    kind = FeedbackExample.Kind.PREFERENCE if request.kind == "dpo" else FeedbackExample.Kind.DEMONSTRATION
    asked = _chosen(
        request, queue="review__item__queue", at="decided_at", reviewer="review__reviewer", reader=reader
    )
    rows = blindness.readable_examples(FeedbackExample.objects.order_by("pk"), reader).filter(
        asked, state=FeedbackExample.State.APPROVED, kind=kind, document__split__in=_splits(request)
    )
    return rows.values_list(*_document("document"), "target", "rejected")


def _votes(request: Request, reader: Reader) -> Values:
    """Several people's choices between the same two summaries are one row: what most of them preferred, none where
    they are split."""
    asked = _chosen(
        request,
        queue="queue",
        at="preferences__submitted_at",
        reviewer="preferences__reviewer",
        reader=reader,
    )
    readable = Q(preferences__reviewer=reader.pk) | ~Exists(
        blindness.judged(reader).filter(pk=OuterRef("pk"))
    )
    after, before = (
        Count("preferences", filter=Q(preferences__choice=choice)) for choice in ("after", "before")
    )
    rows = (
        QueueItem.objects.filter(
            asked,
            readable,
            preferences__state=Preference.State.SUBMITTED,
            queue__calibration=False,
            summary__document__split__in=_splits(request),
        )
        .exclude(summary__text=F("other__text"))
        .alias(lead=after - before)
        .exclude(lead=0)
        .order_by("pk")
    )
    after_won, texts = Q(lead__gt=0), ("other__text", "summary__text")
    return rows.values_list(
        *_document("summary__document"),
        Case(When(after_won, then=texts[0]), default=texts[1]),
        Case(When(after_won, then=texts[1]), default=texts[0]),
    )


def _document(document: str) -> list[str]:
    return [f"{document}__{name}" for name in ("split", "domain", "title", "text")]
