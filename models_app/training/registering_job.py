from __future__ import annotations

from typing import Any

from models_app.foundation.jobs import JobContext
from models_app.training.registering import register_base


def run(context: JobContext) -> dict[str, Any]:
    """Register a base model; the steps in between report no progress of their own."""
    context.phase("fetching, checking and converting")
    version = register_base(
        reference=context.payload["reference"],
        name=context.payload.get("name", ""),
        actor=context.job.requested_by,
    )
    return {"model_version": version.pk}
