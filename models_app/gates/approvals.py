"""The part of a policy that is about people: how many approve. What follows from it, `releases` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from models_app.texts.needs import Between


@dataclass(frozen=True)
class ApprovalsPolicy:
    LABELS: ClassVar = {
        "approvers": "Different people who approve",
        "expire_after_days": "Days after which a release that waits expires",
    }

    approvers: Annotated[int, Between(1, 5)] = 1
    expire_after_days: Annotated[int, Between(1, 90)] = 14
