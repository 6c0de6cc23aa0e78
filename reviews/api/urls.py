from __future__ import annotations

from django.urls import path

from reviews.api.discussion import (
    CommentsView,
    CommentView,
    ItemThreadsView,
    PromptThreadsView,
    ReopenView,
    ResolveView,
)
from reviews.api.exports import ExportFileView, ExportsView, ExportView
from reviews.api.improvement import ImprovementsView, ImprovementView
from reviews.api.ingest import DocumentsView, DocumentView
from reviews.api.queues import NextView, QueuesView, RenewView, SkipView, SubmitView

urlpatterns = [
    path("documents/", DocumentsView.as_view(), name="api_documents"),
    path("documents/<int:pk>/", DocumentView.as_view(), name="api_document"),
    path("queues/", QueuesView.as_view(), name="api_queues"),
    path("queues/<slug:slug>/next/", NextView.as_view(), name="api_queue_next"),
    path("items/<int:pk>/renew/", RenewView.as_view(), name="api_item_renew"),
    path("items/<int:pk>/submit/", SubmitView.as_view(), name="api_item_submit"),
    path("items/<int:pk>/skip/", SkipView.as_view(), name="api_item_skip"),
    path("items/<int:pk>/threads/", ItemThreadsView.as_view(), name="api_item_threads"),
    path("prompt-versions/<int:pk>/threads/", PromptThreadsView.as_view(), name="api_prompt_threads"),
    path("threads/<int:pk>/comments/", CommentsView.as_view(), name="api_thread_comments"),
    path("threads/<int:pk>/resolve/", ResolveView.as_view(), name="api_thread_resolve"),
    path("threads/<int:pk>/reopen/", ReopenView.as_view(), name="api_thread_reopen"),
    path("comments/<int:pk>/", CommentView.as_view(), name="api_comment"),
    path("improvement-requests/", ImprovementsView.as_view(), name="api_improvements"),
    path("improvement-requests/<int:pk>/", ImprovementView.as_view(), name="api_improvement"),
    path("exports/", ExportsView.as_view(), name="api_exports"),
    path("exports/<int:pk>/", ExportView.as_view(), name="api_export"),
    path("exports/<int:pk>/file/", ExportFileView.as_view(), name="api_export_file"),
]
