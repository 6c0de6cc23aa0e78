"""Rows that every installation has: environment, route, policy, prompts, the lead baseline. Safe to call again."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

PREFIX_TEMPLATE = "summarize: {text}"
CHAT_SYSTEM = ""
CHAT_TEMPLATE = "Summarize this news article in three short sentences.\n\n{text}"


def prompt_digest(system: str, template: str) -> str:
    """Identifies a prompt's content: SHA-256 over system and template."""
    return hashlib.sha256(json.dumps([system, template], ensure_ascii=False).encode()).hexdigest()


def seed(apps: Any) -> None:
    """`apps` is a migration's registry, or django.apps.apps."""
    environment, _ = apps.get_model("models_app", "Environment").objects.get_or_create(name="production")
    apps.get_model("models_app", "Route").objects.get_or_create(
        environment=environment, defaults={"salt": secrets.token_hex(16)}
    )
    # as the code has it: a version without settings of its own
    apps.get_model("models_app", "GatePolicy").objects.get_or_create(
        environment=environment,
        number=1,
        defaults={"digest": hashlib.sha256(b"{}").hexdigest(), "reason": "It comes with Galley."},
    )
    prompts = apps.get_model("models_app", "Prompt").objects
    versions = apps.get_model("models_app", "PromptVersion").objects
    for name, kind, system, template in (
        ("summarize", "prefix", "", PREFIX_TEMPLATE),
        ("news summary", "chat", CHAT_SYSTEM, CHAT_TEMPLATE),
    ):
        prompt, _ = prompts.get_or_create(name=name, defaults={"kind": kind})
        if not versions.filter(prompt=prompt).exists():
            digest = prompt_digest(system, template)
            versions.create(
                prompt=prompt,
                number=1,
                system=system,
                template=template,
                digest=digest,
                note="comes with Galley",
            )
    apps.get_model("models_app", "ModelVersion").objects.get_or_create(
        family="lead",
        defaults={
            "name": "lead-3",
            "architecture": "first three sentences",
            "base": "none",
            "engine": "lead",
            "digest": hashlib.sha256(b"lead-3").hexdigest(),
            "note": "The article's first three sentences: the baseline that every summarizer of news must beat.",
        },
    )
