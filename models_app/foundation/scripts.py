"""The pages' scripts are ES modules: each names what it imports, and a page names only where it begins."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders

# What Django rewrites as well, when it gives files the names that browsers keep: a relative address and a semicolon.
IMPORT = re.compile(r"""^(?:import|export)\b[^'";]*['"](\.{1,2}/[^'"]+)['"];""", re.MULTILINE)


@cache
def imports_of(name: str) -> tuple[str, ...]:
    """All scripts that this one imports, itself or by others. Raises LookupError for one that is not there."""
    found: dict[str, None] = {}
    _collect(name, found)
    del found[name]
    return tuple(found)


def _collect(name: str, found: dict[str, None]) -> None:
    if name in found:
        return
    path = finders.find(name)
    if not isinstance(path, str):
        raise LookupError(f"There is no script {name}.")
    found[name] = None
    for address in IMPORT.findall(Path(path).read_text()):
        _collect(posixpath.normpath(posixpath.join(posixpath.dirname(name), address)), found)
