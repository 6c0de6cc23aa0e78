"""The job that judges a release, and its end. Gates do not know who had a hand in a release: they are told here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from models_app.foundation.jobs import JobContext
from models_app.gates import running
from models_app.gates.running import ended
from models_app.models import Release
from models_app.releases.accounts import no_judges
from models_app.releases.hands import involved

__all__ = ["ended", "run"]


def run(context: JobContext) -> dict[str, Any]:
    return running.carry_out(context, no_judges=_no_judges)


def _no_judges(release: Release) -> Collection[int]:
    return no_judges(release, involved(release))
