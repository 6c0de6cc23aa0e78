"""What a run is made of where who asks for it does not say: prompt and recipe that suit the base model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from models_app.foundation.errors import InvalidInput
from models_app.ml.recipe import PRESETS, Recipe, default_recipe
from models_app.models import ModelVersion, PromptVersion
from models_app.texts.normalise import row_number


def family_of(base: str) -> str:
    """Of "model:ID", a registered one; of others what they most probably are: the run itself finds out."""
    if not base.startswith("model:"):
        return "llama" if base == "starter" else "t5"
    number = base.removeprefix("model:")
    version = ModelVersion.objects.filter(pk=row_number(number) or 0).first()
    if version is None:
        raise InvalidInput(f"There is no model {number}.", fields={"base": f"There is no model {number}."})
    return version.family


def prompt_for(family: str, number: int | None = None) -> PromptVersion:
    """The named one, else the newest that the family reads."""
    versions = PromptVersion.objects.select_related("prompt")
    if number is not None:
        version = versions.filter(pk=number).first()
    else:
        kind = "chat" if family == "llama" else "prefix"
        version = versions.filter(prompt__kind=kind).order_by("-pk").first()
    if version is None:
        message = "There is no such prompt version; see the Prompts page for their numbers."
        raise InvalidInput(message, fields={"prompt_version": message})
    return version


def recipe_for(base: str, family: str, *, preset: str | None, changes: Mapping[str, Any]) -> Recipe:
    """A preset, the one that suits unless it is named, with some fields changed."""
    device = "cuda" if settings.GALLEY_DEVICE == "cuda" else "cpu"
    if preset and preset not in PRESETS:
        message = f"There is no preset {preset[:40]!r}; there are {', '.join(sorted(PRESETS))}."
        raise InvalidInput(message, fields={"preset": message})
    recipe = PRESETS[preset] if preset else default_recipe(family, device)
    if {"base", "preset"} & set(changes):
        message = "The base model and the preset are named beside the recipe, not in it."
        raise InvalidInput(message, fields={"recipe": message})
    try:
        return recipe.but(base=base, **changes)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"Recipe: {error}", fields={"recipe": str(error)}) from error
