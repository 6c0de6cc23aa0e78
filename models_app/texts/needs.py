"""What a field of settings needs, declared beside it, and said in words where it is not met.

    @dataclass(frozen=True)
    class Share:
        of: Annotated[str, OneOf(SOURCES)] = "requests"
        percent: Annotated[float, Between(0, 100, above=True)] = 2.0

The annotation tells the kind: int, float (a whole number does, infinity does not), bool, str, a Literal, or one of
these and None; of other kinds the rule tells all (`SomeOf`, `NumberFor`). What holds between fields, or needs the
database, the settings say themselves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Rule(Protocol):
    def holds(self, value: Any) -> bool: ...

    def noun(self, kind: str) -> str:
        """As in "has to be a number above 0 and up to 1"."""

    def words(self, kind: str) -> str:
        """A sentence for the field."""


@dataclass(frozen=True)
class Between:
    """A number with both ends, without the least where `above`, without the most where `below`; or a text's length in
    characters. `said` is what people read instead of the range."""

    least: float
    most: float
    above: bool = False
    below: bool = False
    said: str = ""

    def holds(self, value: Any) -> bool:
        size = len(value) if isinstance(value, str) else value
        over = self.least < size if self.above else self.least <= size
        return over and (size < self.most if self.below else size <= self.most)

    def range(self) -> str:
        least, most = _written(self.least), _written(self.most)
        if not self.above and not self.below:
            return f"from {least} to {most}"
        return f"{'above' if self.above else 'from'} {least} and {'below' if self.below else 'up to'} {most}"

    def noun(self, kind: str) -> str:
        return f"{kind} {self.range()}"

    def words(self, kind: str) -> str:
        if self.said:
            return self.said
        if kind != _NOUNS[str]:
            return f"{self.range().capitalize()}."
        if self.least:
            return f"{_written(self.least)} to {_written(self.most)} characters."
        return f"At most {_written(self.most)} characters."


@dataclass(frozen=True)
class AtLeast:
    """A number with no most."""

    least: float

    def holds(self, value: Any) -> bool:
        return bool(value >= self.least)

    def noun(self, kind: str) -> str:
        return f"{kind} of at least {_written(self.least)}"

    def words(self, kind: str) -> str:
        return f"At least {_written(self.least)}."


@dataclass(frozen=True)
class OneOf:
    choices: Collection[str]
    said: str = ""

    def holds(self, value: Any) -> bool:
        return value in self.choices

    def noun(self, kind: str) -> str:
        return f"one of {', '.join(self.choices)}"

    def words(self, kind: str) -> str:
        return self.said or f"One of {', '.join(self.choices)}."


@dataclass(frozen=True)
class SomeOf:
    """A list of some of the choices, none twice; it may be empty. `others`: how long other names may be that it has as
    well, where it may have any; of these `most`."""

    choices: Collection[str]
    others: Between | None = None
    most: int = 10

    def holds(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            return False
        others = set(value).difference(self.choices)
        return len(set(value)) == len(value) and (
            not others
            or (
                self.others is not None
                and len(others) <= self.most
                and all(self.others.holds(one) for one in others)
            )
        )

    def noun(self, kind: str) -> str:
        return f"a list of some of {', '.join(self.choices)}"

    def words(self, kind: str) -> str:
        if not self.choices:
            return "None: there is nothing to choose."
        others = f" and of at most {self.most} others" if self.others is not None else ""
        return f"Some of {', '.join(self.choices)}{others}, each once."


@dataclass(frozen=True)
class NumberFor:
    """A number within a range for some of the choices, by their names; for none it may be, too."""

    choices: Collection[str]
    range: Between

    def holds(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            name in self.choices and _is_number(number) and math.isfinite(number) and self.range.holds(number)
            for name, number in value.items()
        )

    def noun(self, kind: str) -> str:
        return f"a number {self.range.range()} for some of {', '.join(self.choices)}"

    def words(self, kind: str) -> str:
        return f"A number {self.range.range()} each, for any of {', '.join(self.choices)}."


_NOUNS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Need:
    """Of one field. Fields of other kinds than those above have no `kind`, and hold what their rule allows."""

    kind: type[Any] | None
    rule: Rule | None = None
    optional: bool = False

    def is_met(self, value: Any) -> bool:
        if value is None and self.optional:
            return True
        return self._is_of_kind(value) and (self.rule is None or self.rule.holds(value))

    def _is_of_kind(self, value: Any) -> bool:
        if self.kind is None:
            return True
        if self.kind is float:
            return _is_number(value) and (isinstance(value, int) or math.isfinite(value))
        if self.kind is int:
            return _is_number(value) and isinstance(value, int)
        return isinstance(value, self.kind)

    @property
    def noun(self) -> str:
        kind = _NOUNS[self.kind] if self.kind else "something else"
        return self.rule.noun(kind) if self.rule else kind

    @property
    def words(self) -> str:
        kind = _NOUNS[self.kind] if self.kind else "something else"
        return self.rule.words(kind) if self.rule else f"{kind.capitalize()}."


def unmet(settings: DataclassInstance) -> dict[str, Need]:
    """By field, what its value does not meet."""
    needs = needs_of(type(settings))
    return {name: need for name, need in needs.items() if not need.is_met(getattr(settings, name))}


def mistakes(settings: DataclassInstance) -> dict[str, str]:
    """`unmet`, in words."""
    return {name: need.words for name, need in unmet(settings).items()}


def needs_of(settings: Any) -> Mapping[str, Need]:
    """Of a dataclass, by field."""
    return _needs(settings)


@lru_cache(maxsize=64)
def _needs(settings: Any) -> Mapping[str, Need]:
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: _need(hints[field.name]) for field in fields(settings)}


def _need(hint: Any) -> Need:
    rule = None
    if get_origin(hint) is Annotated:
        hint, rule = get_args(hint)[0], next(iter(hint.__metadata__), None)
    optional = False
    if get_origin(hint) in (Union, UnionType):
        optional = NoneType in get_args(hint)
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        hint = kinds[0] if len(kinds) == 1 else object
    if get_origin(hint) is Literal:
        hint, rule = str, rule or OneOf(get_args(hint))
    return Need(hint if hint in _NOUNS else None, rule, optional)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
