"""What a release learnt that is nearly a test document, where that is what blocks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models_app.gates.results import Verdict
from models_app.gates.running import Finding
from models_app.models import LeakageFinding
from models_app.texts.normalise import row_number
from models_app.texts.overlaps import BLOCKS

SHOWN = 3


@dataclass(frozen=True)
class NearDuplicates:
    """The strongest of a check; `documents` is how many test documents have one."""

    check: int
    shown: Sequence[LeakageFinding]
    documents: int


def near_duplicates(findings: Sequence[Finding]) -> NearDuplicates | None:
    """None where leakage is not what blocks. 2 queries at most."""
    for one in findings:
        kind, _, key = one.row.evidence.partition(":")
        check = row_number(key) if kind == "leakagecheck" else None
        if one.row.gate != "leakage" or one.row.verdict != Verdict.FAIL or check is None:
            continue
        found = LeakageFinding.objects.filter(check_run=check, share__gte=BLOCKS).order_by("position")
        shown = list(found.select_related("example", "row", "prompt_version__prompt")[:SHOWN])
        if shown:
            return NearDuplicates(check, shown, found.order_by().values("example").distinct().count())
    return None
