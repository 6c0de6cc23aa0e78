"""The pairwise desk's answers: what its form carries, and where it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from models_app.foundation.errors import GalleyError
from reviews.desk.choices import CHOICES, Judgement
from reviews.desk.claims import Lease
from reviews.models import Preference, QueueItem
from reviews.web.desk.answering import AnswerViews
from reviews.web.desk.onwards import PAIRWISE, onwards
from reviews.web.desk.requests import go_to
from reviews.web.pairwise.judgements import in_words, judgement_json, judgement_of
from reviews.web.pairwise.pages import page, pair_of


class ChoiceViews(AnswerViews):
    kind = CHOICES
    routes = PAIRWISE
    name = "pairwise"
    undo_path = "take-back"
    reason = "why"  # the choice's own is `reason`

    def item_of(self, pk: int) -> QueueItem:
        return pair_of(pk)

    def read(self, values: Mapping[str, str]) -> Judgement:
        return judgement_of(values)

    def worth_a_draft(self, values: Mapping[str, str], item: QueueItem) -> Judgement | None:
        entered = values.get("choice") or values.get("reason", "").strip()
        return judgement_of(values) if entered else None

    def saved(self, answer: Preference) -> dict[str, Any]:
        return judgement_json(answer)

    def page(
        self,
        request: HttpRequest,
        item: QueueItem,
        lease: Lease | None,
        *,
        typed: Judgement,
        error: GalleyError,
    ) -> HttpResponse:
        return page(request, item, lease, typed=typed, error=error)

    def submitted(self, request: HttpRequest, row: Preference, answers: Judgement) -> HttpResponse:
        message = f"Submitted: {in_words(answers)}."
        if row.late:
            message += " Others had finished this pair meanwhile, so yours is kept as an extra choice."
        return onwards(request, row.item, message)

    def corrected(self, request: HttpRequest, answers: Judgement) -> HttpResponse:
        return go_to(request, reverse("pairwise"), f"Corrected: {in_words(answers)}.")


urlpatterns = ChoiceViews().urls()
