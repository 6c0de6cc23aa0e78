"""The gates, in the order in which they are judged and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models_app.gates import (
    cases,
    data_quality,
    forgetting,
    integrity,
    leakage,
    metrics,
    personal_data,
    preference,
    safety,
    slices,
    speed,
)
from models_app.gates.gate import Gate

GATES: Sequence[Gate] = (
    integrity.GATE,
    leakage.GATE,
    personal_data.GATE,
    data_quality.GATE,
    metrics.PRIMARY,
    metrics.GUARDS,
    forgetting.GATE,
    slices.GATE,
    cases.GATE,
    safety.GATE,
    speed.GATE,
    preference.GATE,
)
BY_NAME: Mapping[str, Gate] = {gate.name: gate for gate in GATES}
