from __future__ import annotations

from django.urls import path

from models_app.api import schema  # noqa: F401  (registers itself)
from models_app.api.deployments import RollbackView, StartView, WithdrawView
from models_app.api.evaluations import ComparisonsView, ComparisonView, EvaluationsView, EvaluationView
from models_app.api.gates import GatesView
from models_app.api.jobs import JobView
from models_app.api.live_release import LiveReleaseView
from models_app.api.releases import (
    CardView,
    ComposeView,
    EvidenceFileView,
    EvidenceView,
    ReleasesView,
    ReleaseView,
)
from models_app.api.rollouts import AdvanceView, HoldView, ResumeView, RolloutView
from models_app.api.summaries import SummariesView, SummaryFeedbackView, SummaryView
from models_app.api.training import TrainingRunsView, TrainingRunView

urlpatterns = [
    path("summaries/", SummariesView.as_view(), name="api_summaries"),
    path("summaries/<uuid:pk>/", SummaryView.as_view(), name="api_summary"),
    path("summaries/<uuid:pk>/feedback/", SummaryFeedbackView.as_view(), name="api_summary_feedback"),
    path("releases/live/", LiveReleaseView.as_view(), name="api_live_release"),
    path("releases/", ReleasesView.as_view(), name="api_releases"),
    path("releases/compose/", ComposeView.as_view(), name="api_compose_release"),
    path("releases/<int:pk>/", ReleaseView.as_view(), name="api_release"),
    path("releases/<int:pk>/evidence/", EvidenceView.as_view(), name="api_release_evidence"),
    path("releases/<int:pk>/evidence/file/", EvidenceFileView.as_view(), name="api_release_evidence_file"),
    path("releases/<int:pk>/gates/", GatesView.as_view(), name="api_release_gates"),
    path("releases/<int:pk>/withdraw/", WithdrawView.as_view(), name="api_release_withdraw"),
    path("releases/<int:pk>/start/", StartView.as_view(), name="api_release_start"),
    path("releases/<int:pk>/rollback/", RollbackView.as_view(), name="api_release_rollback"),
    path("releases/<int:pk>/rollout/", RolloutView.as_view(), name="api_release_rollout"),
    path("releases/<int:pk>/hold/", HoldView.as_view(), name="api_release_hold"),
    path("releases/<int:pk>/resume/", ResumeView.as_view(), name="api_release_resume"),
    path("releases/<int:pk>/advance/", AdvanceView.as_view(), name="api_release_advance"),
    path("training-runs/", TrainingRunsView.as_view(), name="api_training_runs"),
    path("training-runs/<int:pk>/", TrainingRunView.as_view(), name="api_training_run"),
    path("evaluations/", EvaluationsView.as_view(), name="api_evaluations"),
    path("evaluations/<int:pk>/", EvaluationView.as_view(), name="api_evaluation"),
    path("comparisons/", ComparisonsView.as_view(), name="api_comparisons"),
    path("comparisons/<int:pk>/", ComparisonView.as_view(), name="api_comparison"),
    path("jobs/<int:pk>/", JobView.as_view(), name="api_job"),
    path("releases/<int:pk>/card/", CardView.as_view(), name="api_release_card"),
]
