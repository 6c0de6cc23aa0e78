"""Figures for Prometheus: what this installation's web processes counted, and what its tables say at the moment.

Several web processes share their counts through files in a directory of their common parent; one keeps them in memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil
from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone

from models_app.models import InferenceRequest, Job, Slot
from models_app.models.releases import live_releases


def _share_between_processes() -> None:
    """Before prometheus_client is imported: it looks at the variable once."""
    root = Path(settings.GALLEY_HOME) / "run" / "metrics"
    mine = root / str(os.getppid())
    mine.mkdir(parents=True, exist_ok=True)
    for other in root.iterdir():
        if other.name.isdigit() and not psutil.pid_exists(int(other.name)):
            with contextlib.suppress(FileNotFoundError):  # another process removes it at the same time
                shutil.rmtree(other)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(mine)


if settings.ENV.web_workers > 1:
    _share_between_processes()

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Histogram,
    exposition,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: E402

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WORDS = (50, 100, 200, 400, 800, 1600, 5000, 20000, 50000)

_counted = CollectorRegistry()
API_REQUESTS = Counter("galley_api_requests", "API requests", ["method", "view", "status"], registry=_counted)
API_SECONDS = Histogram(
    "galley_api_request_seconds", "Time of an API request in the web process", ["method", "view"],
    buckets=SECONDS, registry=_counted,
)  # fmt: skip
SUMMARIES = Counter("galley_summaries", "Summaries asked for, by outcome", ["outcome"], registry=_counted)
SUMMARY_SECONDS = Histogram(
    "galley_summary_seconds", "Time until the model had written a summary", buckets=SECONDS, registry=_counted
)
QUEUE_SECONDS = Histogram(
    "galley_summary_queue_seconds",
    "Time that a request waited in its slot",
    buckets=SECONDS,
    registry=_counted,
)
INPUT_WORDS = Histogram("galley_summary_input_words", "Words of the texts", buckets=WORDS, registry=_counted)
FEEDBACK = Counter("galley_client_feedback", "Feedback of clients, by stars", ["stars"], registry=_counted)


def api_request(*, method: str, view: str, status: int, seconds: float) -> None:
    API_REQUESTS.labels(method, view, status).inc()
    API_SECONDS.labels(method, view).observe(seconds)


def summary_served(row: InferenceRequest) -> None:
    SUMMARIES.labels(row.outcome).inc()
    SUMMARY_SECONDS.observe((row.latency_ms or 0) / 1000)
    QUEUE_SECONDS.observe((row.queue_ms or 0) / 1000)
    INPUT_WORDS.observe(row.input_words)


def summary_failed(row: InferenceRequest) -> None:
    SUMMARIES.labels(row.outcome).inc()


def client_feedback(stars: int) -> None:
    FEEDBACK.labels(stars).inc()


class _Tables:
    """Gauges that are read from the database when somebody asks."""

    def collect(self) -> Iterable[Metric]:
        yield from _slots()
        yield from _jobs()
        live = GaugeMetricFamily("galley_live_release", "Number of the live release", labels=["environment"])
        for environment, release in live_releases().values_list("environment__name", "pk"):
            live.add_metric([environment], release)
        yield live


def _slots() -> Iterable[Metric]:
    ready = GaugeMetricFamily("galley_slot_ready", "1 where the slot answers, 0 else", labels=["release"])
    memory = GaugeMetricFamily("galley_slot_memory_bytes", "Resident memory", labels=["release"])
    failures = GaugeMetricFamily("galley_slot_failures", "Starts that failed in a row", labels=["release"])
    for slot in Slot.objects.exclude(state=Slot.State.STOPPED).order_by("release_id"):
        label = [str(slot.release_id)]
        ready.add_metric(label, float(slot.state == Slot.State.READY))
        failures.add_metric(label, slot.failures)
        if slot.rss_bytes is not None:
            memory.add_metric(label, slot.rss_bytes)
    return ready, memory, failures


def _jobs() -> Iterable[Metric]:
    jobs = GaugeMetricFamily("galley_jobs", "Jobs that wait or run", labels=["queue", "state"])
    oldest = GaugeMetricFamily("galley_job_oldest_seconds", "Age of the oldest waiting job", labels=["queue"])
    now = timezone.now()
    found = {
        (row["queue"], row["state"]): row
        for row in Job.objects.filter(state__in=Job.ACTIVE)
        .values("queue", "state")
        .annotate(n=Count("pk"), oldest=Min("created_at"))
        .order_by()
    }
    for queue in settings.GALLEY_QUEUES:
        for state in Job.ACTIVE:
            row = found.get((queue, state))
            jobs.add_metric([queue, state], row["n"] if row else 0)
        waiting = found.get((queue, Job.State.QUEUED))
        oldest.add_metric([queue], (now - waiting["oldest"]).total_seconds() if waiting else 0)
    return jobs, oldest


def text() -> tuple[bytes, str]:
    """(body, content type) of the exposition format."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.MultiProcessCollector(registry)
    else:
        registry.register(_counted)
    registry.register(_Tables())
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST
