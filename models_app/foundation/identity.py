"""What identifies things: digests over their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from models_app.models import ModelVersion, PromptVersion


def canonical_digest(value: Any) -> str:
    """SHA-256 over canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def release_digest(
    model_version: ModelVersion, prompt_version: PromptVersion, decoding: Mapping[str, Any]
) -> str:
    """Identifies what would be served: weights, engine and precision, prompt, decoding."""
    return canonical_digest(
        [
            model_version.digest,
            model_version.engine,
            model_version.precision,
            prompt_version.prompt.kind,
            prompt_version.digest,
            dict(decoding),
        ]
    )
