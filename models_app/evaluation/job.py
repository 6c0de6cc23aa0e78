from __future__ import annotations

from models_app.evaluation.running import carry_out as run
from models_app.evaluation.running import ended

__all__ = ["ended", "run"]
