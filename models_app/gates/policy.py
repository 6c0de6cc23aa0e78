"""A policy: what releases of an environment have to pass, as a section for each gate and one for people. Pure.

A section is a frozen dataclass in its gate's module. Each of its fields says what it needs; what holds between fields
`contradictions` says, such as two that nothing satisfies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_type_hints

from models_app.evaluation.terms import Terms
from models_app.foundation.errors import InvalidInput
from models_app.foundation.identity import canonical_digest
from models_app.gates.approvals import ApprovalsPolicy
from models_app.gates.cases import CasesPolicy
from models_app.gates.data_quality import DataQualityPolicy
from models_app.gates.forgetting import ForgettingPolicy
from models_app.gates.integrity import IntegrityPolicy
from models_app.gates.leakage import LeakagePolicy
from models_app.gates.metrics import GuardsPolicy, PrimaryPolicy
from models_app.gates.personal_data import PersonalDataPolicy
from models_app.gates.preference import PreferencePolicy
from models_app.gates.rollout import RolloutPolicy
from models_app.gates.safety import SafetyPolicy
from models_app.gates.slices import SlicesPolicy
from models_app.gates.speed import SpeedPolicy
from models_app.gates.waivers import WaiversPolicy
from models_app.texts import needs


@dataclass(frozen=True)
class Policy:
    """Sections in the order in which they are shown."""

    integrity: IntegrityPolicy = field(default_factory=IntegrityPolicy)
    leakage: LeakagePolicy = field(default_factory=LeakagePolicy)
    personal_data: PersonalDataPolicy = field(default_factory=PersonalDataPolicy)
    data_quality: DataQualityPolicy = field(default_factory=DataQualityPolicy)
    primary: PrimaryPolicy = field(default_factory=PrimaryPolicy)
    guards: GuardsPolicy = field(default_factory=GuardsPolicy)
    forgetting: ForgettingPolicy = field(default_factory=ForgettingPolicy)
    slices: SlicesPolicy = field(default_factory=SlicesPolicy)
    cases: CasesPolicy = field(default_factory=CasesPolicy)
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)
    speed: SpeedPolicy = field(default_factory=SpeedPolicy)
    preference: PreferencePolicy = field(default_factory=PreferencePolicy)
    approvals: ApprovalsPolicy = field(default_factory=ApprovalsPolicy)
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)
    waivers: WaiversPolicy = field(default_factory=WaiversPolicy)

    @property
    def digest(self) -> str:
        """Over all of it, also what stands in the code."""
        return canonical_digest(self.as_settings())

    @property
    def terms(self) -> Terms:
        """What comparisons are made by."""
        return Terms(
            self.primary.metric,
            {**self.guards.margins, self.primary.metric: self.primary.margin},
            fields=self.slices.fields,
            floor=self.slices.floor,
        )

    def as_settings(self) -> dict[str, Any]:
        """As JSON, by section and field."""
        return {name: _plain(asdict(getattr(self, name))) for name in SECTIONS}


#: The class of each section, by its name.
SECTIONS: Mapping[str, type[Any]] = {one.name: get_type_hints(Policy)[one.name] for one in fields(Policy)}


def from_settings(settings: Mapping[str, Any]) -> Policy:
    """Sections and fields that are not there are as the code has them.

    Raises InvalidInput with a message at each field, such as "guards.margins", that is unknown or not met.
    """
    wrong: dict[str, str] = {}
    sections: dict[str, Any] = {}
    if not isinstance(settings, Mapping):
        raise InvalidInput("A policy is an object with a section for each gate.")
    for name, values in settings.items():
        if name not in SECTIONS:
            wrong[str(name)[:60]] = f"There is no section of this name; there are {', '.join(SECTIONS)}."
        elif not isinstance(values, Mapping):
            wrong[name] = "A section is an object with its fields."
        else:
            sections[name] = _section(name, values, wrong)
    if wrong:
        raise InvalidInput(_listed(wrong), fields=wrong)
    policy = replace(Policy(), **sections)
    wrong = mistakes(policy)
    if wrong:
        raise InvalidInput(_listed(wrong), fields=wrong)
    return policy


def _section(name: str, values: Mapping[str, Any], wrong: dict[str, str]) -> Any:
    kind = SECTIONS[name]
    known = {one.name for one in fields(kind)}
    for unknown in [one for one in values if one not in known]:
        wrong[f"{name}.{str(unknown)[:60]}"] = "There is no setting of this name."
    kinds = needs.needs_of(kind)
    return kind(**{one: _typed(value, kinds[one]) for one, value in values.items() if one in known})


def _typed(value: Any, need: needs.Need) -> Any:
    """The value in the type that the section's defaults have, so that one policy has one digest."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Mapping):
        return {name: _number(one) for name, one in value.items()}
    return _number(value) if need.kind is float else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def mistakes(policy: Policy) -> dict[str, str]:
    """By "section.field" what is wrong with it."""
    found: dict[str, str] = {}
    for name in SECTIONS:
        section = getattr(policy, name)
        unmet = needs.mistakes(section)
        if not unmet and hasattr(section, "contradictions"):
            unmet = section.contradictions()
        found |= {f"{name}.{one}": words for one, words in unmet.items()}
    return found


def _listed(wrong: Mapping[str, str]) -> str:
    return " ".join(f"{one}: {words}" for one, words in wrong.items())[:2000]


@dataclass(frozen=True)
class Change:
    """A field that two policies have otherwise; values as JSON."""

    section: str
    field: str
    before: Any
    after: Any


def changes(before: Policy, after: Policy) -> list[Change]:
    old, new = before.as_settings(), after.as_settings()
    return [
        Change(section, name, old[section][name], value)
        for section, values in new.items()
        for name, value in values.items()
        if value != old[section][name]
    ]


def _plain(value: Any) -> Any:
    """As JSON in the database gives it back."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
