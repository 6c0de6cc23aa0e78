"""Each page module carries its own `urlpatterns`."""

from __future__ import annotations

from django.urls import include, path

from models_app.api.prometheus import MetricsView

urlpatterns = [
    path("snapshots/", include("models_app.web.snapshots")),
    path("models/", include("models_app.web.models")),
    path("training/", include("models_app.web.training")),
    path("cases/", include("models_app.web.cases")),
    path("comparisons/", include("models_app.web.comparisons")),
    path("releases/", include("models_app.web.releases.urls")),
    path("leakage/", include("models_app.web.leakage")),
    path("public-sets/", include("models_app.web.public_sets")),
    path("releases/", include("models_app.web.gates")),
    path("policies/", include("models_app.web.policies")),
    path("deployments/", include("models_app.web.deployments")),
    path("deployments/rollouts/", include("models_app.web.rollouts")),
    path("jobs/", include("models_app.web.jobs")),
    path("audit/", include("models_app.web.audit")),
    path("people/", include("models_app.web.people")),
    path("accounts/", include("models_app.web.password_links")),
    path("tokens/", include("models_app.web.tokens")),
    path("webhooks/", include("models_app.web.webhooks")),
    path("metrics", MetricsView.as_view(), name="metrics"),
]
