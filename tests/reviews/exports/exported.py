"""Reviews to be exported, and exports that have been written."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from models_app.models import PromptVersion
from reviews.exports import requests
from reviews.exports.request import Request
from reviews.models import (
    Export,
    QueueItem,
    Review,
    ReviewRating,
    SentenceSupport,
    SpanMark,
)
from tests import make

WROTE = "The old pier 👷🏽 of Nordhaven will close. 410 piles are rotten."
BETTER = "The old pier of Nordhaven will close. 140 piles are rotten."


def review(by: Any, *, item: QueueItem | None = None, split: str = "train", **fields: Any) -> Review:
    if item is None:
        summary = make.summary(
            make.document(split=split, external_id="a-1"), WROTE,
            release=make.release(), model_version=make.lead_model(), prompt_version=PromptVersion.objects.first(),
        )  # fmt: skip
        item = make.queue_item(summary, state=QueueItem.State.DONE)  # one review is wanted, and here it is
    values = {
        "state": "submitted", "stars": 2, "verdict": "poor", "edited_text": BETTER, "comment": "=1+1 is wrong",
        "active_seconds": 90, "revision": 3, "submitted_at": timezone.now(), "rubric": item.queue.rubric,
    }  # fmt: skip
    made = Review.objects.create(item=item, summary=item.summary, reviewer=by, **{**values, **fields})
    for criterion in item.queue.rubric.criteria.all():
        ReviewRating.objects.create(review=made, criterion=criterion, value=4)
    start = item.summary.text.index("410")
    SpanMark.objects.create(
        review=made,
        start=start,
        end=start + 3,
        quote="410",
        error_type="wrong entity or number",
        severity="major",
    )
    SentenceSupport.objects.create(review=made, start=0, end=41, supported=True)
    return made


def exported(actor: Any, **fields: Any) -> Export:
    export = requests.request_export(request=Request(**fields), actor=actor)
    assert export.job is not None
    job = make.carried_out(export.job)
    assert job.state == "succeeded", job.reason
    export.refresh_from_db()
    return export


def read(export: Export) -> bytes:
    with requests.open_file(export=export, actor=export.requested_by) as file:
        return file.read()


def rows_of(export: Export) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(export).decode().splitlines()]
