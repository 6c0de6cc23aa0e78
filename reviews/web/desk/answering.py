"""What both desks' forms and scripts ask for while somebody works on an item: the draft saved, the item kept, the
answer submitted, corrected, undone, the item skipped. What differs between the desks, they say themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from models_app.foundation.errors import GalleyError, InvalidInput, StaleState
from models_app.web.pages import View, user_of
from reviews.desk import claims
from reviews.desk.answers import AlreadySubmitted, Answering, StaleDraft
from reviews.desk.claims import Lease
from reviews.desk.undo import take_back_skip
from reviews.models import Answer, QueueItem, Skip
from reviews.web.desk.lease import assignment_of, renewed, sign_of_life
from reviews.web.desk.onwards import SKIPPED, Routes, onwards
from reviews.web.desk.requests import base_revision, desk_view, error_json, go_to, wants_json


class AnswerViews(ABC):
    """The views of one desk, by its kind of answer."""

    kind: Answering[Any, Any]
    routes: Routes
    #: Begins the names of its addresses.
    name: str
    undo_path = "undo"
    #: The form's field that says why an item is skipped.
    reason = "reason"

    # ------------------------------------------------------------ what is asked for

    def save(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Saving keeps the item as well. Without script: the 'Save draft' button."""
        item, answers = self.item_of(pk), self.read(request.POST)
        row = self.kind.save_draft(
            item=item,
            answers=answers,
            reviewer=user_of(request),
            base_revision=base_revision(request) or 0,
            overwrite=bool(request.POST.get("overwrite")),
        )
        if wants_json(request) or request.POST.get("quiet"):  # a page that goes away can set no header
            return JsonResponse({"revision": row.revision, "held": renewed(request, item)})
        messages.success(request, "Your draft is saved.")
        return redirect(self.routes.item, pk=item.pk)

    def keep(self, request: HttpRequest, pk: int) -> HttpResponse:
        return sign_of_life(request, self.item_of(pk))

    def submit(self, request: HttpRequest, pk: int) -> HttpResponse:
        item, base, answers = self.item_of(pk), base_revision(request), self.read(request.POST)
        reviewer = user_of(request)
        try:
            row = self.kind.submit(item=item, answers=answers, reviewer=reviewer, base_revision=base)
        except (InvalidInput, StaleDraft, AlreadySubmitted) as error:
            if wants_json(request):
                raise
            lease = claims.hold(item=item, reviewer=reviewer)
            return self.page(request, item, lease, typed=answers, error=error)
        return self.submitted(request, row, answers)

    def correct(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change what I submitted."""
        item, base, answers = self.item_of(pk), base_revision(request), self.read(request.POST)
        try:
            self.kind.revise(item=item, answers=answers, reviewer=user_of(request), base_revision=base)
        except (InvalidInput, StaleDraft) as error:
            if wants_json(request):
                raise
            return self.page(request, item, None, typed=answers, error=error)
        return self.corrected(request, answers)

    def skip(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Snooze, skip or flag. What was typed is kept as a draft first."""
        item, reviewer = self.item_of(pk), user_of(request)
        assignment, token = assignment_of(request.POST, item)
        typed = self.worth_a_draft(request.POST, item)
        if typed is not None:
            base = base_revision(request) or 0
            self.kind.save_draft(item=item, answers=typed, reviewer=reviewer, base_revision=base)
        meaning, reason = request.POST.get("meaning", ""), request.POST.get(self.reason, "")
        claims.skip(assignment=assignment, token=token, meaning=meaning, reason=reason, reviewer=reviewer)
        return onwards(request, item, SKIPPED[Skip.SAID[meaning]])

    def undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take back what I submitted, else what I skipped, a moment ago, and open it again."""
        item, reviewer = self.item_of(pk), user_of(request)
        mine = self.kind.rows._default_manager.filter(item=item, reviewer=reviewer)
        submitted = mine.filter(state=Answer.State.SUBMITTED).exists()
        try:
            if submitted:
                self.kind.take_back(item=item, reviewer=reviewer)
            else:
                take_back_skip(item=item, reviewer=reviewer)
        except StaleState as error:
            if wants_json(request):
                raise
            messages.error(request, error.message)
            return redirect(self.routes.item, pk=item.pk) if submitted else redirect(self.routes.index)
        said = "Taken back: it is a draft again." if submitted else "Taken back: the item is yours again."
        return go_to(request, reverse(self.routes.item, args=[item.pk]), said)

    def urls(self) -> list[URLPattern]:
        acts: list[tuple[str, View, str]] = [
            ("draft", self.save, f"{self.name}_save"),
            ("keep", self.keep, f"{self.name}_keep"),
            ("submit", self.submit, f"{self.name}_submit"),
            ("correct", self.correct, f"{self.name}_correct"),
            ("skip", self.skip, f"{self.name}_skip"),
            (self.undo_path, self.undo, self.routes.undo),
        ]
        return [path(f"item/<int:pk>/{act}/", self._guarded(view), name=name) for act, view, name in acts]

    def _guarded(self, view: View) -> View:
        """A script that comes too late is told what is saved now, to put it beside what is typed."""

        @wraps(view)
        def answering(request: HttpRequest, pk: int) -> HttpResponse:
            try:
                return view(request, pk)
            except (StaleDraft, AlreadySubmitted) as error:
                if wants_json(request):
                    return error_json(error, current=self.saved(error.answer))
                raise

        return desk_view(require_POST)(answering)

    # ------------------------------------------------------------ what each desk says

    @abstractmethod
    def item_of(self, pk: int) -> QueueItem:
        """Raises Http404."""

    @abstractmethod
    def read(self, values: Mapping[str, str]) -> Any:
        """The answers as the form sends them. Shape only; the use cases know the rules."""

    @abstractmethod
    def worth_a_draft(self, values: Mapping[str, str], item: QueueItem) -> Any | None:
        """What a form that skips an item carries, if anything was entered."""

    @abstractmethod
    def saved(self, answer: Any) -> dict[str, Any]:
        """What is saved, for the script."""

    @abstractmethod
    def page(
        self, request: HttpRequest, item: QueueItem, lease: Lease | None, *, typed: Any, error: GalleyError
    ) -> HttpResponse:
        """The desk with `typed` as the browser sent it and why it was refused, for browsers without script."""

    @abstractmethod
    def submitted(self, request: HttpRequest, row: Any, answers: Any) -> HttpResponse:
        """Where to go on, and what to say."""

    @abstractmethod
    def corrected(self, request: HttpRequest, answers: Any) -> HttpResponse:
        """The same after a correction."""
