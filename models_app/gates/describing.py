"""A policy in words: its sections and settings as pages show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from models_app.evaluation.metrics import METRICS
from models_app.gates import rollout
from models_app.gates.approvals import freeze
from models_app.gates.catalogue import BY_NAME
from models_app.gates.policy import SECTIONS, Change, Policy
from models_app.texts import needs
from models_app.texts.figures import number
from models_app.texts.needs import Need, NumberFor

TITLES = {"approvals": "Approval", "waivers": "Waivers"}


@dataclass(frozen=True)
class Setting:
    """A field of a section. `value` is as JSON, `words` as people read it."""

    section: str
    field: str
    label: str
    help: str
    value: Any
    words: str
    need: Need

    @property
    def name(self) -> str:
        return f"{self.section}.{self.field}"


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    settings: Sequence[Setting]


def sections(policy: Policy) -> list[Section]:
    values = policy.as_settings()
    return [
        Section(name, title(name), [_setting(name, one.name, values[name][one.name]) for one in fields(kind)])
        for name, kind in SECTIONS.items()
    ]


def _setting(section: str, field: str, value: Any) -> Setting:
    kind = SECTIONS[section]
    need = needs.needs_of(kind)[field]
    return Setting(
        section,
        field,
        label(section, field),
        getattr(kind, "HELP", {}).get(field, ""),
        value,
        in_words(value),
        need,
    )


def title(section: str) -> str:
    gate = BY_NAME.get(section)
    return gate.label if gate is not None else TITLES.get(section, _spoken(section))


def label(section: str, field: str) -> str:
    known: str | None = getattr(SECTIONS[section], "LABELS", {}).get(field)
    return known or _spoken(field)


def choices(need: Need) -> list[tuple[str, str]]:
    """Of a rule that has choices, with their names."""
    return [(key, choice_label(key)) for key in getattr(need.rule, "choices", ())]


def choice_label(key: str) -> str:
    if key in METRICS:
        return METRICS[key].label
    return title(key) if key in SECTIONS or key in BY_NAME else _spoken(key)


def unit(need: Need, key: str) -> str:
    """Of one number among several by name."""
    metric = METRICS.get(key) if isinstance(need.rule, NumberFor) else None
    if metric is None:
        return ""
    return "percentage points" if metric.unit == "%" else metric.unit


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, int | float):
        return number(value, None)
    window = freeze(value)
    if window is not None:
        return window.whole
    if rollout.is_step(value):
        return rollout.in_words(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{choice_label(key)} {in_words(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        several = "; " if any(isinstance(one, Mapping) for one in value) else ", "
        return several.join(in_words(one) for one in value) or "none"
    return choice_label(value) if value in METRICS or value in BY_NAME else str(value)


@dataclass(frozen=True)
class Changed:
    """A change as people read it."""

    title: str
    label: str
    before: str
    after: str


def changed(found: Sequence[Change]) -> list[Changed]:
    return [
        Changed(title(one.section), label(one.section, one.field), in_words(one.before), in_words(one.after))
        for one in found
    ]


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()
