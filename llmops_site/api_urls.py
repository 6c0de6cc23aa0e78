from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("models_app.api.urls")),
    path("", include("reviews.api.urls")),
]
