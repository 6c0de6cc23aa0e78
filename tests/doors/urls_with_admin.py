"""The addresses of an installation with `GALLEY_DJANGO_ADMIN=yes`."""

from __future__ import annotations

from django.urls import path

from llmops_site.admin import site
from llmops_site.urls import handler400, handler403, handler404, handler500
from llmops_site.urls import urlpatterns as of_every_installation

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [*of_every_installation, path("admin/", site.urls)]
