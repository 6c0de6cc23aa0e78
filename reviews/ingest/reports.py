"""What every import counts: rows read, brought in, and refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

KEPT = 1000  # refusals and the like, the first ones


class Refusal(NamedTuple):
    row: int
    field: str
    reason: str


@dataclass
class RowsReport:
    """`refused` keeps the first refusals; the counts count all."""

    read: int = 0
    imported: int = 0
    refused_count: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, row: int, name: str, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < KEPT:
            self.refused.append(Refusal(row, name, reason))

    def counts(self) -> dict[str, Any]:
        """Without the rows: for the audit trail."""
        return {"read": self.read, "imported": self.imported, "refused_count": self.refused_count}

    def to_dict(self) -> dict[str, Any]:
        """As it is stored with the import. Refusals are by row: some are found out later than others."""
        return {**self.counts(), "refused": [list(refusal) for refusal in sorted(self.refused)]}
