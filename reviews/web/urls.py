"""Each page module carries its own `urlpatterns`."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("reviews.web.reports.home")),
    path("desk/my/keys/", include("reviews.web.desk.keys")),
    path("desk/my/recent/", include("reviews.web.desk.recent")),
    path("desk/", include("reviews.web.desk.pages")),
    path("desk/", include("reviews.web.desk.labels")),
    path("desk/", include("reviews.web.desk.submitting")),
    path("desk/", include("reviews.web.desk.prompt_trial")),
    path("pairwise/", include("reviews.web.filling")),
    path("pairwise/", include("reviews.web.pairwise.pages")),
    path("pairwise/", include("reviews.web.pairwise.submitting")),
    path("queues/", include("reviews.web.queues.urls")),
    path("my-feedback/", include("reviews.web.desk.my_feedback")),
    path("talk/", include("reviews.web.discussion")),
    path("notifications/", include("reviews.web.notifications")),
    path("how-i-rate/", include("reviews.web.quality.how_i_rate")),
    path("agreement/", include("reviews.web.quality.agreement")),
    path("prompts/", include("reviews.web.prompts.playground")),
    path("prompts/", include("reviews.web.prompts.versions")),
    path("documents/", include("reviews.web.ingest.documents")),
    path("documents/", include("reviews.web.cases")),
    path("progress/", include("reviews.web.reports.progress")),
    path("ratings/", include("reviews.web.external_ratings")),
    path("exports/", include("reviews.web.exports")),
    path("feedback/", include("reviews.web.examples")),
    path("requests/", include("reviews.web.improvement")),
    path("monitoring/", include("reviews.web.reports.monitoring")),
]
