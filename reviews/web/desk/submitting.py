"""The review desk's answers: what its form carries, and where it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from models_app.foundation.errors import GalleyError
from reviews.desk.claims import Lease
from reviews.desk.reviews import REVIEWS, Answers
from reviews.models import QueueItem, Review
from reviews.web.desk.answering import AnswerViews
from reviews.web.desk.answers import answers_json, answers_of, touched
from reviews.web.desk.onwards import RATE_AND_EDIT, onwards
from reviews.web.desk.pages import desk, item_of
from reviews.web.desk.requests import back_to, go_to


class ReviewViews(AnswerViews):
    kind = REVIEWS
    routes = RATE_AND_EDIT
    name = "desk"

    def item_of(self, pk: int) -> QueueItem:
        return item_of(pk)

    def read(self, values: Mapping[str, str]) -> Answers:
        return answers_of(values)

    def worth_a_draft(self, values: Mapping[str, str], item: QueueItem) -> Answers | None:
        if "edited_text" not in values:
            return None
        answers = answers_of(values)
        return answers if touched(answers, item) else None

    def saved(self, answer: Review) -> dict[str, Any]:
        return answers_json(answer)

    def page(
        self,
        request: HttpRequest,
        item: QueueItem,
        lease: Lease | None,
        *,
        typed: Answers,
        error: GalleyError,
    ) -> HttpResponse:
        return desk(request, item, lease, typed=typed, error=error)

    def submitted(self, request: HttpRequest, row: Review, answers: Answers) -> HttpResponse:
        message = "Submitted."
        if row.late:
            message = (
                "Submitted. Others had finished this item meanwhile, so yours is kept as an extra review."
            )
        if row.item.queue.calibration:
            # to the known answer, beside the one just submitted
            return go_to(request, reverse("gold_answer", args=[row.pk]), message)
        return onwards(request, row.item, message)

    def corrected(self, request: HttpRequest, answers: Answers) -> HttpResponse:
        message = "Corrected. What you had submitted before is kept as an earlier revision."
        back = back_to(request)
        to = reverse("desk_item", args=[back]) if back is not None else reverse("my_feedback")
        return go_to(request, to, message)


urlpatterns = ReviewViews().urls()
