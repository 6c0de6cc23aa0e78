"""Handlers of this side's jobs: each parses its payload and calls a use case."""

from __future__ import annotations

from typing import Any

from models_app.foundation.errors import NotFound
from models_app.foundation.jobs import JobContext
from models_app.models import ClientFeedback, Release
from reviews import drafting, weak_outputs
from reviews.models import SourceDocument


def review_requests(context: JobContext) -> dict[str, Any]:
    """{"feedback": id}: a client's feedback that asks for a look."""
    feedback = ClientFeedback.objects.select_related("request").filter(pk=context.payload["feedback"]).first()
    if feedback is None:
        raise NotFound(f"There is no client feedback {context.payload['feedback']}.")
    return weak_outputs.bring_back(feedback=feedback).to_dict()


def generate_summaries(context: JobContext) -> dict[str, Any]:
    """{"documents": [ids], "release": id, "queue": slug or ""}: drafts in batches; goes on where it was cut off."""
    payload = context.payload
    release = (
        Release.objects.select_related("model_version", "prompt_version__prompt")
        .filter(pk=payload["release"])
        .first()
    )
    if release is None:
        raise NotFound(f"There is no release {payload['release']}.")
    documents = list(SourceDocument.objects.filter(pk__in=payload["documents"]).order_by("pk"))
    context.phase("drafting summaries", total=len(documents))
    drafted = drafting.draft_summaries(
        documents=documents,
        release=release,
        queue_slug=payload.get("queue", ""),
        progress=context.step,
        should_stop=context.should_stop,
    )
    return {"drafted": drafted, "asked": len(payload["documents"])}
