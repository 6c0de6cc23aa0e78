from __future__ import annotations

from django.urls import path

from models_app.api import schema  # noqa: F401  (registers itself)
from models_app.api.live_release import LiveReleaseView
from models_app.api.releases import EvidenceFileView, EvidenceView, ReleasesView, ReleaseView
from models_app.api.summaries import SummariesView, SummaryFeedbackView, SummaryView

urlpatterns = [
    path("summaries/", SummariesView.as_view(), name="api_summaries"),
    path("summaries/<uuid:pk>/", SummaryView.as_view(), name="api_summary"),
    path("summaries/<uuid:pk>/feedback/", SummaryFeedbackView.as_view(), name="api_summary_feedback"),
    path("releases/live/", LiveReleaseView.as_view(), name="api_live_release"),
    path("releases/", ReleasesView.as_view(), name="api_releases"),
    path("releases/<int:pk>/", ReleaseView.as_view(), name="api_release"),
    path("releases/<int:pk>/evidence/", EvidenceView.as_view(), name="api_release_evidence"),
    path("releases/<int:pk>/evidence/file/", EvidenceFileView.as_view(), name="api_release_evidence_file"),
]
