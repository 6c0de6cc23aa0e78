"""Django's admin, where `GALLEY_DJANGO_ADMIN` asks for it: a few harmless tables, to look at.

It has no sign-in of its own: people come in by the sign-in page, with their second factor, and have shown their
password or a code within the last quarter of an hour. Nothing is added, changed, deleted or carried out here. Tables
that hold secrets, texts, answers of reviewers or what the queue calls are not shown.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, reverse

from models_app.foundation.roles import allowed
from models_app.models import AuditEvent, Deployment, Environment, Job, ModelVersion, Release, TrainingRun

SHOWN: dict[type[Model], tuple[str, ...]] = {
    AuditEvent: ("id", "at", "actor_name", "action", "subject", "from_state", "to_state", "reason"),
    Deployment: ("id", "release", "live_from", "live_to", "started_by", "ended_by", "end_reason"),
    Environment: ("name", "approvals_required"),
    Job: ("id", "kind", "state", "queue", "subject", "attempts", "created_at"),
    ModelVersion: ("id", "name", "family", "engine", "parent", "training_run", "created_by", "created_at"),
    Release: ("id", "state", "model_version", "prompt_version", "origin", "created_by", "requested_by"),
    TrainingRun: ("id", "name", "state", "phase", "requested_by", "created_at", "finished_at"),
}


class ReadOnly(ModelAdmin):
    actions = None
    view_on_site = False
    list_per_page = 50
    show_full_result_count = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.get_readonly_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return tuple(str(name) for name in self.list_display)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # the site has looked already

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied


class Tables(AdminSite):
    site_header = site_title = "Galley's tables"
    index_title = "To read only"
    site_url = "/"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_authenticated) and allowed(request.user, "manage_people")

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        inner = super().admin_view(reauthentication_required(view), cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied  # and not to the sign-in page, which would send them back
            answer: HttpResponseBase = inner(request, *args, **kwargs)
            return answer

        return guarded

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Without "view on site": it needs a table of sites, and ends in an error without one."""
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]


site = Tables()
for table, columns in SHOWN.items():
    site.register(table, ReadOnly, list_display=columns)
