"""Prompts and their immutable versions."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import require
from models_app.foundation.seeds import prompt_digest
from models_app.ml.prompting import PromptSpec, check_prompt
from models_app.models import Prompt, PromptVersion

LONGEST_CHARACTERS = 8000


def check_template(*, kind: str, system: str, template: str) -> None:
    """Raises InvalidInput that says which variable is unknown or missing, at its field."""
    if len(template) > LONGEST_CHARACTERS or len(system) > LONGEST_CHARACTERS:
        message = f"A prompt has at most {LONGEST_CHARACTERS:,} characters."
        raise InvalidInput(message, fields={"template": message})
    try:
        check_prompt(PromptSpec(kind, system, template))  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidInput(str(error), fields={"template": str(error)}) from error


def create_prompt(*, name: str, kind: str, template: str, system: str = "", note: str = "", actor: Any | None) -> Prompt:
    """A new prompt with its first version."""
    require(actor, "edit_prompts")
    name = name.strip()
    if not name or len(name) > 80:
        raise InvalidInput("Name the prompt.", fields={"name": "1 to 80 characters."})
    check_template(kind=kind, system=system, template=template)
    try:
        with transaction.atomic():
            prompt = Prompt.objects.create(name=name, kind=kind)
            create_version(prompt=prompt, template=template, system=system, note=note, parent=None, actor=actor)
    except IntegrityError as error:
        raise InvalidInput("There is a prompt of this name.", fields={"name": "Choose another name."}) from error
    return prompt


def create_version(
    *,
    prompt: Prompt,
    template: str,
    system: str = "",
    note: str = "",
    parent: PromptVersion | None,
    actor: Any | None,
) -> PromptVersion:
    """The next version; where the same text is a version of this prompt already, that one."""
    require(actor, "edit_prompts")
    check_template(kind=prompt.kind, system=system, template=template)
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
            note=note[:300],
            digest=digest,
            created_by=actor,
        )
        audit.record(
            actor=actor, action="prompt.version", subject=version, reason=note, data={"number": version.number}
        )
    return version
