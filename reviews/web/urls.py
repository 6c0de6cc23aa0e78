"""Each page module carries its own `urlpatterns`."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("reviews.web.home")),
    path("desk/my/keys/", include("reviews.web.desk_keys")),
    path("desk/my/recent/", include("reviews.web.recent")),
    path("desk/", include("reviews.web.desk")),
    path("pairwise/", include("reviews.web.pairwise")),
    path("queues/", include("reviews.web.queues")),
    path("my-feedback/", include("reviews.web.my_feedback")),
    path("talk/", include("reviews.web.talk")),
    path("notifications/", include("reviews.web.notifications")),
    path("how-i-rate/", include("reviews.web.how_i_rate")),
    path("agreement/", include("reviews.web.agreement")),
    path("prompts/", include("reviews.web.playground")),
    path("prompts/", include("reviews.web.prompts")),
    path("documents/", include("reviews.web.documents")),
    path("progress/", include("reviews.web.progress")),
    path("ratings/", include("reviews.web.rating_imports")),
    path("exports/", include("reviews.web.exports")),
    path("feedback/", include("reviews.web.feedback")),
    path("monitoring/", include("reviews.web.monitoring")),
]
