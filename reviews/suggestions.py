"""Prompts that reviewers change, try on an article, and keep for the ML engineer."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, StaleState
from models_app.foundation.roles import require
from models_app.models import PromptVersion
from models_app.prompts.versions import check_template, create_version
from reviews.models import PromptSuggestion, Review, SourceDocument


def suggest_prompt(
    *,
    document: SourceDocument,
    based_on: PromptVersion,
    template: str,
    system: str = "",
    output: str = "",
    note: str = "",
    review: Review | None = None,
    actor: User,
) -> PromptSuggestion:
    """Keep a changed prompt, with what the live model wrote with it. Refuses one that changes nothing."""
    require(actor, "review")
    check_template(kind=based_on.prompt.kind, system=system, template=template)
    if (template, system) == (based_on.template, based_on.system):
        raise InvalidInput("Nothing was changed.", fields={"template": "Change the prompt before you suggest it."})
    with transaction.atomic():
        suggestion = PromptSuggestion.objects.create(
            suggested_by=actor,
            review=review,
            document=document,
            based_on=based_on,
            template=template,
            system=system,
            output=output,
            note=note[:300],
        )
        audit.record(actor=actor, action="prompt.suggest", subject=suggestion, reason=note)
    return suggestion


def adopt_suggestion(*, suggestion: PromptSuggestion, note: str = "", actor: Any | None) -> PromptVersion:
    """Make a prompt version of it. The suggestion keeps the credit."""
    require(actor, "edit_prompts")
    with transaction.atomic():
        version = create_version(
            prompt=suggestion.based_on.prompt,
            template=suggestion.template,
            system=suggestion.system,
            note=note or f"Suggested by {suggestion.suggested_by.get_username()}. {suggestion.note}".strip(),
            parent=suggestion.based_on,
            actor=actor,
        )
        _decide(suggestion, "adopted", actor, note, adopted_as=version)
    return version


def decline_suggestion(*, suggestion: PromptSuggestion, reason: str, actor: Any | None) -> None:
    require(actor, "edit_prompts")
    if not reason.strip():
        raise InvalidInput("Give a reason.", fields={"reason": "The reviewer is shown it."})
    with transaction.atomic():
        _decide(suggestion, "declined", actor, reason.strip())


def _decide(suggestion: PromptSuggestion, state: str, actor: Any | None, reason: str, **changes: Any) -> None:
    changed = PromptSuggestion.objects.filter(pk=suggestion.pk, state="open").update(
        state=state, reason=reason[:300], decided_by=actor, decided_at=timezone.now(), **changes
    )
    if not changed:
        raise StaleState("This suggestion has been decided already.")
    audit.record(
        actor=actor, action=f"suggestion.{state}", subject=suggestion, from_state="open", to_state=state, reason=reason
    )
    suggestion.refresh_from_db()
