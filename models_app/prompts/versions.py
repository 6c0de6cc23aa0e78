"""Prompts and their immutable versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import require
from models_app.foundation.seeds import prompt_digest
from models_app.ml.prompting import PromptSpec, check_prompt
from models_app.models import Prompt, PromptVersion
from models_app.texts.normalise import one_line

LONGEST_CHARACTERS = PromptVersion.LONGEST_CHARACTERS
LONGEST_NOTE = PromptVersion.LONGEST_NOTE


def plain(text: str) -> str:
    """A template as browsers and programs send it, with plain line breaks and without what no text contains."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def check_template(*, kind: str, system: str, template: str) -> None:
    """Raises InvalidInput that says which variable is unknown or missing, at its field."""
    for field, text in (("template", template), ("system", system)):
        if len(text) > LONGEST_CHARACTERS:
            message = f"A prompt has at most {LONGEST_CHARACTERS:,} characters."
            raise InvalidInput(message, fields={field: message})
    try:
        check_prompt(PromptSpec(kind, "", template))  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidInput(str(error), fields={"template": str(error)}) from error
    try:
        check_prompt(PromptSpec(kind, system, template))  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidInput(str(error), fields={"system": str(error)}) from error


def create_prompt(
    *, name: str, kind: str, template: str, system: str = "", note: str = "", actor: Any | None
) -> Prompt:
    """A new prompt with its first version."""
    require(actor, "edit_prompts")
    name = one_line(name)
    if not name or len(name) > 80:
        raise InvalidInput("Name the prompt.", fields={"name": "A name has 1 to 80 characters."})
    check_template(kind=kind, system=plain(system), template=plain(template))
    with transaction.atomic():
        prompt = _named(name, kind)
        create_version(prompt=prompt, template=template, system=system, note=note, parent=None, actor=actor)
    return prompt


def _named(name: str, kind: str) -> Prompt:
    try:
        with transaction.atomic():
            return Prompt.objects.create(name=name, kind=kind)
    except IntegrityError as error:
        raise InvalidInput(
            "There is a prompt of this name.",
            fields={
                "name": "Another prompt has this name. Make a new version of it, or choose another name."
            },
        ) from error


def create_version(
    *,
    prompt: Prompt,
    template: str,
    system: str = "",
    note: str = "",
    parent: PromptVersion | None,
    actor: Any | None,
    authors: Sequence[int] = (),
) -> PromptVersion:
    """The next version; where the same text is a version of this prompt already, that one.

    `authors` are the users whose words it is where the actor took them over: they can't approve it either.
    """
    require(actor, "edit_prompts")
    system, template, note = plain(system), plain(template), one_line(note)
    check_template(kind=prompt.kind, system=system, template=template)
    if len(note) > LONGEST_NOTE:
        raise InvalidInput(
            "The note is too long.", fields={"note": f"Write at most {LONGEST_NOTE} characters."}
        )
    if parent is not None and parent.prompt_id != prompt.pk:
        raise InvalidInput(
            f"{parent} is a version of another prompt.", fields={"parent": "Of another prompt."}
        )
    digest = prompt_digest(system, template)
    with transaction.atomic():
        Prompt.objects.select_for_update().get(pk=prompt.pk)
        existing = PromptVersion.objects.filter(prompt=prompt, digest=digest).first()
        if existing is not None:
            return existing
        last = PromptVersion.objects.filter(prompt=prompt).order_by("-number").first()
        version = PromptVersion.objects.create(
            prompt=prompt,
            number=last.number + 1 if last else 1,
            parent=parent or last,
            system=system,
            template=template,
            note=note,
            digest=digest,
            authors=sorted(set(authors)),
            created_by=actor,
        )
        audit.record(
            actor=actor, action="prompt.version", subject=version, reason=note,
            data={"prompt": prompt.name, "number": version.number, "digest": digest},
        )  # fmt: skip
    return version
