"""Which modules a request walks through until its rows are written, followed while it really runs.

A *step* is a call from one module of Galley into another that hands the request on: one of its arguments is the request
or its form, what was read of it, the item or the answer. The walk is the modules that such steps enter, from the first
line behind the middleware to the statement that writes the row, and on to the audit event, the last that a use case
writes. It *turns back* where a step enters a module whose layer lies above the one entered before, by the layers of
`pyproject.toml`.
"""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connection
from django.http import HttpRequest, QueryDict
from rest_framework.request import Request

from models_app.models import AuditEvent

ROOT = Path(__file__).resolve().parent.parent
APPS = ("llmops_site", "reviews", "models_app")
MIDDLEWARE = "models_app.web.middleware"
VIEW = "_get_response"  # of Django's handler


def heights() -> dict[str, int]:
    """By package how high its layer lies; the apps stand on each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {
        contract["containers"][0]: contract["layers"]
        for contract in contracts
        if contract["type"] == "layers" and "containers" in contract
    }
    found: dict[str, int] = {}
    for app, ground in (("models_app", 0), ("reviews", 100)):
        for height, layer in enumerate(reversed(layers[app])):
            found |= {f"{app}.{name.strip(' ()')}": ground + height for name in re.split(" [:|] ", layer)}
    return {**found, "llmops_site": 200}


@dataclass
class Walk:
    """`steps` are the modules in the order in which they were entered, up to the row; `onwards` from there to the audit
    event. `path` are those that wait while the row is written, `all` every module of which a function ran before it,
    whether it was handed the request or a number."""

    steps: list[str] = field(default_factory=list)
    onwards: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    all: list[str] = field(default_factory=list)

    @property
    def modules(self) -> list[str]:
        return list(dict.fromkeys(self.steps))

    @property
    def turns(self) -> list[str]:
        return turns(self.steps)

    def __str__(self) -> str:
        whole = [*self.steps, *self.onwards]
        return (
            f"{len(self.modules)} modules, {len(self.turns)} turns back: {' → '.join(self.steps)}"
            f"\n    turns back: {'; '.join(self.turns)}"
            f"\n    waiting while the row is written: {' → '.join(self.path)}"
            f"\n    all {len(self.all)} modules that ran: {', '.join(self.all)}"
            f"\n    to the audit event {len(set(whole))} modules, {len(turns(whole))} turns back: … → "
            f"{' → '.join(self.onwards)}"
        )


def turns(steps: list[str]) -> list[str]:
    height = heights()
    return [
        f"{one} → {other}"
        for one, other in itertools.pairwise(steps)
        if height_of(other, height) > height_of(one, height)
    ]


def height_of(module: str, height: dict[str, int]) -> int:
    package = ".".join(module.split(".")[:2])
    return height.get(package, height.get(module.split(".")[0], 0))


@contextmanager
def followed(table: str, *carries: type) -> Iterator[Walk]:
    """The walk of the one request made within, up to the first INSERT into or UPDATE of `table`. What is handed on, as
    well as the request, are instances of `carries`."""
    walk, begun, written, ended = Walk(), False, False, False
    handed_on = (HttpRequest, Request, QueryDict, *carries)

    def entered(frame: FrameType, event: str, _: Any) -> None:
        nonlocal begun
        if event != "call" or ended or (module := _module_of(frame)) is None:
            return
        caller = _caller(frame)
        begun = begun or (caller is VIEW and module != MIDDLEWARE)
        if not begun:
            return
        if not written and module not in walk.all:
            walk.all.append(module)
        steps = walk.onwards if written else walk.steps
        if caller != module and steps[-1:] != [module] and _is_handed(frame, handed_on):
            steps.append(module)

    def write(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal written, ended
        if not written and sql.startswith((f'INSERT INTO "{table}"', f'UPDATE "{table}"')):
            written = True
            walk.path = _waiting(sys._getframe())
        ended |= f"INSERT INTO {AuditEvent._meta.db_table}" in sql
        return execute(sql, params, many, context)

    with connection.execute_wrapper(write):
        sys.setprofile(entered)
        try:
            yield walk
        finally:
            sys.setprofile(None)
    assert written, f"nothing was written to {table}"
    assert ended, "no audit event was written"


def _module_of(frame: FrameType) -> str | None:
    name: str = frame.f_globals.get("__name__", "")
    return name if name.split(".")[0] in APPS else None


def _caller(frame: FrameType) -> str | None:
    """The module of Galley that called, also through Django; VIEW where Django's handler calls what answers."""
    above = frame.f_back
    while above is not None:
        if above.f_code.co_name == VIEW:
            return VIEW
        if module := _module_of(above):
            return module
        above = above.f_back
    return None


def _waiting(frame: FrameType | None) -> list[str]:
    found: list[str] = []
    while frame is not None and frame.f_code.co_name != VIEW:
        module = _module_of(frame)
        if module and found[-1:] != [module]:
            found.append(module)
        frame = frame.f_back
    return found[::-1]


def _is_handed(frame: FrameType, carried: tuple[type, ...]) -> bool:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        several = (
            value if isinstance(value, list | tuple) else value.values() if type(value) is dict else [value]
        )
        if any(isinstance(one, carried) for one in several):
            return True
    return False
