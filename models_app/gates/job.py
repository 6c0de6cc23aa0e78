"""The job that judges a release, and its end."""

from __future__ import annotations

from models_app.gates.running import carry_out as run
from models_app.gates.running import ended

__all__ = ["ended", "run"]
