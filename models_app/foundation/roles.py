"""Who may do what: the roles (groups) that carry capabilities.

Every capability is a permission of the `models_app` app, so `user.has_perm("models_app.review")` and the admin's
permission pages work as in any Django project. Migrations call `create_roles` to bring groups in step.
"""

from __future__ import annotations

from typing import Any, Protocol

from models_app.foundation.errors import NotAllowed
from models_app.models.access import CAPABILITIES

ROLES: dict[str, tuple[str, ...]] = {
    "reviewer": ("review", "view_documents", "own_tokens"),
    "ml engineer": (
        "review", "view_documents", "import_documents", "decide_feedback", "freeze_snapshot", "edit_prompts",
        "view_models", "train", "evaluate", "submit_release", "view_monitoring", "own_tokens", "manage_queues",
    ),
    "approver": ("view_documents", "view_models", "approve_release", "view_monitoring", "view_audit", "own_tokens"),
    "policy editor": ("view_documents", "view_models", "edit_policy", "view_monitoring", "view_audit", "own_tokens"),
    "operator": (
        "view_documents", "view_models", "deploy", "view_monitoring", "manage_jobs", "view_audit", "own_tokens",
        "manage_tokens", "manage_webhooks",
    ),
    "administrator": tuple(CAPABILITIES),
}  # fmt: skip


class Actor(Protocol):
    """A user, as far as rules are concerned."""

    @property
    def pk(self) -> Any: ...

    @property
    def is_active(self) -> bool: ...

    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


def allowed(actor: Actor | None, capability: str) -> bool:
    """True where `actor` may; None is Galley itself (jobs, the supervisor) and may do everything."""
    if capability not in CAPABILITIES:
        raise ValueError(f"unknown capability: {capability}")
    return actor is None or (actor.is_active and actor.has_perm(f"models_app.{capability}"))


def require(actor: Actor | None, capability: str) -> None:
    if not allowed(actor, capability):
        raise NotAllowed(
            f"Your role does not allow this: {CAPABILITIES[capability].lower()}. Ask an administrator."
        )


def create_roles(apps: Any) -> None:
    """Bring permissions and groups in step with the tables above (for migrations; `apps` is the state's registry)."""
    content_types = apps.get_model("contenttypes", "ContentType")
    permissions = apps.get_model("auth", "Permission")
    groups = apps.get_model("auth", "Group")
    content_type, _ = content_types.objects.get_or_create(app_label="models_app", model="capability")
    rows = {}
    for codename, name in CAPABILITIES.items():
        rows[codename], _ = permissions.objects.update_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
    for role, capabilities in ROLES.items():
        group, _ = groups.objects.get_or_create(name=role)
        group.permissions.set(rows[codename] for codename in capabilities)
