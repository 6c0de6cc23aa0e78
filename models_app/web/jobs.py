"""Jobs: what runs, waits and failed; a job as it happens, with the end of its log."""

from __future__ import annotations

import os
import re
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation import jobs as job_machinery
from models_app.foundation.roles import allowed
from models_app.models import Job
from models_app.web.pages import capability, page_or_fragment, paginate
from models_app.web.trail import subject_words

LOG_BYTES = 64 * 1024
KINDS = {
    "anchor_audit": "Anchoring the audit trail",
    "compare": "Comparison",
    "compare_documents": "Looking for near duplicates",
    "deliver_webhooks": "Sending webhooks",
    "evaluate": "Evaluation",
    "generate_summaries": "Drafting summaries",
    "ground_summaries": "Linking summaries to sources",
    "import_documents": "Import of documents",
    "judge_release": "Gates of a release",
    "prepare_workspace": "Preparing the workspace",
    "register_model": "Registering a model",
    "review_requests": "Bringing weak outputs back",
    "run_cases": "Running behavioural cases",
    "train": "Training",
    "try_prompt": "Trying a prompt",
    "verify_audit": "Verifying the audit trail",
}
STATES = [("active", "queued or running"), *[(state.value, state.value) for state in Job.State]]
# Escape sequences of terminals, and controls other than line feed and tab.
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def kind_words(kind: str) -> str:
    return KINDS.get(kind, kind.replace("_", " ").capitalize())


def _filtered(request: HttpRequest) -> Any:
    rows = Job.objects.select_related("requested_by").order_by("-pk")
    state, kind, queue = (request.GET.get(name, "") for name in ("state", "kind", "queue"))
    if state == "active":
        rows = rows.filter(state__in=Job.ACTIVE)
    elif state in Job.State.values:
        rows = rows.filter(state=state)
    if kind in settings.GALLEY_JOB_KINDS:
        rows = rows.filter(kind=kind)
    if queue in settings.GALLEY_QUEUES:
        rows = rows.filter(queue=queue)
    return rows


@require_safe
@capability("view_monitoring")
def jobs(request: HttpRequest) -> HttpResponse:
    page = paginate(request, _filtered(request), 30)
    context = {
        "page": page,
        "rows": [(job, kind_words(job.kind), subject_words(job.subject), _seconds(job)) for job in page],
        "active": any(job.is_active for job in page),
        "states": STATES,
        "kinds": sorted(
            ((kind, kind_words(kind)) for kind in settings.GALLEY_JOB_KINDS), key=lambda pair: pair[1]
        ),
        "queues": list(settings.GALLEY_QUEUES),
        "filtered": any(request.GET.get(name) for name in ("state", "kind", "queue")),
    }
    return page_or_fragment(request, "models_app/jobs/index.html", "models_app/jobs/_list.html", context)


def log_tail(row: Job) -> tuple[str, bool]:
    """(the log's last 64 KB as text, whether there is more before it); empty where nothing was written yet."""
    try:
        with job_machinery.log_path(row).open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(max(0, size - LOG_BYTES))
            raw = log.read(LOG_BYTES)
    except FileNotFoundError:
        return "", False
    cut = size > LOG_BYTES
    if cut:
        raw = raw[raw.find(b"\n") + 1 :]
    text = raw.decode("utf-8", errors="replace").replace("\r\n", "\n")
    # a progress bar redraws its line: only its last state is worth reading
    lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]
    return _UNPRINTABLE.sub("", "\n".join(lines)).rstrip(), cut


@require_safe
@capability("view_monitoring")
def job_page(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Job.objects.select_related("requested_by"), pk=pk)
    log, cut = log_tail(row)
    mine = row.requested_by_id == request.user.pk
    manages = allowed(request.user, "manage_jobs")
    context = {
        "job": row,
        "kind": kind_words(row.kind),
        "about": subject_words(row.subject),
        "log": log,
        "log_cut": cut,
        "waits_until": row.not_before
        if row.state == Job.State.QUEUED and row.not_before > timezone.now()
        else None,
        "seconds": _seconds(row),
        "may_cancel": row.is_active and row.cancel_requested_at is None and (mine or manages),
        "may_retry": row.state in (Job.State.FAILED, Job.State.CANCELLED) and manages,
        "later": Job.objects.filter(kind=row.kind, subject=row.subject, pk__gt=row.pk)
        .exclude(subject="")
        .first(),
    }
    return page_or_fragment(request, "models_app/jobs/job.html", "models_app/jobs/_job.html", context)


def _seconds(row: Job) -> float | None:
    if row.started_at is None:
        return None
    return ((row.finished_at or timezone.now()) - row.started_at).total_seconds()


@require_POST
@capability("view_monitoring")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Job, pk=pk)
    job_machinery.cancel(job=row, actor=request.user)
    messages.info(request, f"Job {pk} will stop." if row.is_active else f"Job {pk} is cancelled.")
    return redirect("job", pk)


@require_POST
@capability("manage_jobs")
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    again = job_machinery.retry(job=get_object_or_404(Job, pk=pk), actor=request.user)
    messages.success(request, f"Job {pk} is tried again as job {again.pk}.")
    return redirect("job", again.pk)


urlpatterns = [
    path("", jobs, name="jobs"),
    path("<int:pk>/", job_page, name="job"),
    path("<int:pk>/cancel/", cancel, name="job_cancel"),
    path("<int:pk>/retry/", retry, name="job_retry"),
]
