"""People by what they may do."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.db.models import Q, QuerySet


def holders(*capabilities: str) -> QuerySet[User]:
    """Active people with one of these capabilities, by role, by themselves, or because they have all."""
    wanted = Permission.objects.filter(content_type__app_label="models_app", codename__in=capabilities)
    held = Q(is_superuser=True) | Q(groups__permissions__in=wanted) | Q(user_permissions__in=wanted)
    return User.objects.filter(pk__in=User.objects.filter(held).values("pk"), is_active=True)
