"""Prompts that reviewers change, try on an article, and keep for the ML engineer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotFound, StaleState
from models_app.foundation.roles import require
from models_app.models import Prompt, PromptVersion
from models_app.prompts.versions import LONGEST_NOTE, check_template, create_prompt, create_version, plain
from models_app.texts.normalise import one_line
from reviews.models import Notification, PromptSuggestion, Review, SourceDocument
from reviews.notifications.notices import notify
from reviews.prompts.trying import refuse_judges, refuse_quotes
from reviews.queues.blindness import readable_suggestions


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
    """Keep a changed prompt, with what the live model wrote with it. Refuses one that changes nothing; keeping the same
    for the same article again gives the suggestion there is, with the newer output and note."""
    require(actor, "review")
    refuse_judges(document)
    template, system, note = plain(template), plain(system), one_line(note)
    check_template(kind=based_on.prompt.kind, system=system, template=template)
    if (template, system) == (based_on.template, based_on.system):
        raise InvalidInput(
            "Nothing was changed.", fields={"template": "Change the prompt before you suggest it."}
        )
    if len(note) > LONGEST_NOTE:
        raise InvalidInput(
            "The note is too long.", fields={"note": f"Write at most {LONGEST_NOTE} characters."}
        )
    refuse_quotes(template=template, system=system)
    same = {
        "suggested_by": actor,
        "document": document,
        "based_on": based_on,
        "template": template,
        "system": system,
    }
    with transaction.atomic():
        SourceDocument.objects.select_for_update(no_key=True).get(pk=document.pk)  # a button pressed twice
        suggestion = PromptSuggestion.objects.filter(**same, state="open").first()
        if suggestion is not None:
            suggestion.output, suggestion.note = output or suggestion.output, note or suggestion.note
            suggestion.save(update_fields=["output", "note"])
            return suggestion
        suggestion = PromptSuggestion.objects.create(**same, review=review, output=output, note=note)
        # in `answer`, since it tells what the reviewer thinks of a summary that others may still judge
        audit.record(
            actor=actor, action="prompt.suggest", subject=suggestion, data={"answer": {"note": note}}
        )
    return suggestion


def save_version(
    *,
    prompt: Prompt,
    template: str,
    system: str = "",
    note: str = "",
    parent: PromptVersion | None,
    actor: Any | None,
    authors: Sequence[int] = (),
) -> PromptVersion:
    """`create_version`, for words that people write: they quote no test document."""
    require(actor, "edit_prompts")
    refuse_quotes(template=plain(template), system=plain(system))
    return create_version(
        prompt=prompt,
        template=template,
        system=system,
        note=note,
        parent=parent,
        actor=actor,
        authors=authors,
    )


def save_prompt(
    *, name: str, kind: str, template: str, system: str = "", note: str = "", actor: Any | None
) -> Prompt:
    """`create_prompt`, likewise."""
    require(actor, "edit_prompts")
    refuse_quotes(template=plain(template), system=plain(system))
    return create_prompt(name=name, kind=kind, template=template, system=system, note=note, actor=actor)


def require_readable(suggestion: PromptSuggestion, actor: Any | None) -> None:
    """Raises NotFound for a suggestion on an article that the actor may still be asked to judge blind."""
    its_row = PromptSuggestion.objects.filter(pk=suggestion.pk)
    if actor is not None and not readable_suggestions(its_row, actor).exists():
        raise NotFound("There is no such suggestion.")


def adopt_suggestion(
    *,
    suggestion: PromptSuggestion,
    template: str | None = None,
    system: str | None = None,
    note: str = "",
    actor: Any | None,
) -> PromptVersion:
    """Make a prompt version of it, as it is or with the words given here. The reviewer keeps the credit, and counts as
    an author when the release with it is decided on."""
    require(actor, "edit_prompts")
    require_readable(suggestion, actor)
    note = one_line(note)
    with transaction.atomic():
        version = save_version(
            prompt=suggestion.based_on.prompt,
            template=suggestion.template if template is None else template,
            system=suggestion.system if system is None else system,
            note=note or _credit(suggestion),
            parent=suggestion.based_on,
            actor=actor,
            authors=[suggestion.suggested_by_id],
        )
        _decide(suggestion, "adopted", actor, note, adopted_as=version)
    return version


def _credit(suggestion: PromptSuggestion) -> str:
    words = f"Suggested by {suggestion.suggested_by.get_username()}. {suggestion.note}"
    return textwrap.shorten(words, LONGEST_NOTE, placeholder=" …")


def decline_suggestion(*, suggestion: PromptSuggestion, reason: str, actor: Any | None) -> None:
    """The reviewer is shown the reason."""
    require(actor, "edit_prompts")
    require_readable(suggestion, actor)
    reason = one_line(reason)
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "The reviewer is shown it."})
    if len(reason) > LONGEST_NOTE:
        raise InvalidInput(
            "The reason is too long.", fields={"reason": f"Write at most {LONGEST_NOTE} characters."}
        )
    with transaction.atomic():
        _decide(suggestion, "declined", actor, reason)


def _decide(suggestion: PromptSuggestion, state: str, actor: Any | None, reason: str, **changes: Any) -> None:
    changed = PromptSuggestion.objects.filter(pk=suggestion.pk, state="open").update(
        state=state, reason=reason, decided_by=actor, decided_at=timezone.now(), **changes
    )
    if not changed:
        raise StaleState("This suggestion has been decided already.")
    audit.record(
        actor=actor,
        action=f"suggestion.{state}",
        subject=suggestion,
        from_state="open",
        to_state=state,
        reason=reason,
    )
    suggestion.refresh_from_db()
    if actor is None or suggestion.suggested_by_id != actor.pk:
        said = f"as {suggestion.adopted_as}" if state == "adopted" else f": {reason}"
        notify(
            user=suggestion.suggested_by, kind=Notification.Kind.SUGGESTION, subject=suggestion,
            url=f"{reverse('my_feedback')}?list=suggestions",
            text=f"Your prompt suggestion was {state}{' ' if state == 'adopted' else ''}{said}",
        )  # fmt: skip
