from __future__ import annotations

from django.urls import path

from reviews.api.documents import DocumentsView, DocumentView

urlpatterns = [
    path("documents/", DocumentsView.as_view(), name="api_documents"),
    path("documents/<int:pk>/", DocumentView.as_view(), name="api_document"),
]
