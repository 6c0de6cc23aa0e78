"""Each page module carries its own `urlpatterns`."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("reviews.web.home")),
    path("desk/my/keys/", include("reviews.web.desk.keys")),
    path("desk/my/recent/", include("reviews.web.desk.recent")),
    path("desk/", include("reviews.web.desk.pages")),
    path("desk/", include("reviews.web.desk.autosave")),
    path("desk/", include("reviews.web.desk.handing_in")),
    path("desk/", include("reviews.web.desk.prompt_trial")),
    path("pairwise/", include("reviews.web.pairwise.making_pairs")),
    path("pairwise/", include("reviews.web.pairwise.pages")),
    path("pairwise/", include("reviews.web.pairwise.handing_in")),
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
