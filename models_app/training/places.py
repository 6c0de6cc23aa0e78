"""Below which directories base models may lie.

A person who registers a model names one; what lies elsewhere on the server is none of their business. So a directory
that may not be used gets one answer, whether it is there or not, and a name without a leading `/`, `~` or `.` is a
name on the hub, whatever lies in the directory that Galley runs in.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from models_app.foundation.errors import InvalidInput


def places() -> list[Path]:
    return [Path(settings.GALLEY_HOME) / "bases", *settings.GALLEY_MODEL_DIRECTORIES]


def checked_reference(reference: str, *, field: str) -> str:
    """'starter', a hub name, or the directory without `..`, `~` and links. Raises InvalidInput."""
    reference = reference.strip()
    if not reference.startswith(("/", "~", ".")):
        return reference
    try:
        named = Path(os.path.normpath(Path(reference).expanduser().absolute()))
        if any(named.is_relative_to(place) for place in places()):
            real = named.resolve()
            if any(real.is_relative_to(place.resolve()) for place in places()):
                return str(real)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ):  # no such home, a link to itself, a NUL: not below any of them
        pass
    listed = ", ".join(str(place) for place in places())
    message = (
        f"A model's directory has to lie below {listed}. Copy it there, or let the operator name its place in "
        "GALLEY_MODEL_DIRECTORIES."
    )
    raise InvalidInput(message, fields={field: message})
