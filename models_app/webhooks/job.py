"""The job that sends, and what asks for it: a clock every minute, and what is to be told soon once it is committed."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.jobs import JobContext
from models_app.models import Job, WebhookEndpoint
from models_app.webhooks import deliveries
from models_app.webhooks.catalogue import is_told_soon

KIND = "deliver_webhooks"
# Endpoints beside each other; to each one delivery at a time.
AT_ONCE = 4
RUNS_FOR_SECONDS = 30
# Then another endpoint has its turn.
SLICE_SECONDS = 5
LOOKS_EVERY_SECONDS = 0.5


def deliver_later() -> Job | None:
    """Called every minute."""
    deliveries.make_what_is_to_be_told()
    return send_soon() if deliveries.due().exists() else None


def send_soon() -> Job:
    return jobs.enqueue(kind=KIND, actor=None, unique_key=KIND, deadline_seconds=300)


def after_event(action: str) -> None:
    """Called in the transaction of each audit event. What it does after the commit may fail: the clock comes by."""
    if is_told_soon(action) and not any(_send_if_anybody_listens in one for one in connection.run_on_commit):
        transaction.on_commit(_send_if_anybody_listens, robust=True)


def _send_if_anybody_listens() -> None:
    if WebhookEndpoint.objects.filter(disabled_at=None).exists():
        deliver_later()


def run(context: JobContext) -> dict[str, Any]:
    """Send what is due, until nothing is, the time is over or other jobs wait for this one's place; some of it in any
    case, since others may wait all day."""
    context.phase("sending")
    until = time.monotonic() + RUNS_FOR_SECONDS
    begins = True
    counts = {"taken": 0, "not taken": 0}
    busy: dict[int, Future[tuple[int, int]]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            deliveries.make_what_is_to_be_told()
            if begins or (time.monotonic() < until and not others_wait(context.job)):
                begins = False
                for endpoint_id in _due_endpoints(AT_ONCE - len(busy), busy):
                    busy[endpoint_id] = pool.submit(_send_to, endpoint_id, until)
            if not busy:
                break
            done = wait(busy.values(), timeout=LOOKS_EVERY_SECONDS, return_when=FIRST_COMPLETED).done
            for endpoint_id in [pk for pk, future in busy.items() if future in done]:
                taken, not_taken = busy.pop(endpoint_id).result()
                counts["taken"] += taken
                counts["not taken"] += not_taken
            context.step(sum(counts.values()))
    return counts


def others_wait(job: Job) -> bool:
    now = timezone.now()
    waiting = Job.objects.filter(queue=job.queue, state=Job.State.QUEUED, not_before__lte=now)
    return waiting.exclude(pk=job.pk).exists()


def _due_endpoints(most: int, busy: dict[int, Any]) -> list[int]:
    """Whose oldest delivery waits longest, first."""
    if most <= 0:
        return []
    rows = deliveries.due().exclude(endpoint_id__in=list(busy)).order_by()
    oldest = rows.values("endpoint_id").annotate(oldest=Min("due_at")).order_by("oldest", "endpoint_id")
    return [row["endpoint_id"] for row in oldest[:most]]


def _send_to(endpoint_id: int, until: float) -> tuple[int, int]:
    """In a thread of its own: one after the other, until one is not taken or others have waited long enough."""
    taken = 0
    until = min(until, time.monotonic() + SLICE_SECONDS)
    try:
        while time.monotonic() < until:
            delivery = deliveries.claim_next(endpoint_id)
            if delivery is None:
                return taken, 0
            answer = deliveries.send(delivery)
            print(f"{delivery.event} to webhook {endpoint_id}: {answer.words}", flush=True)
            if not answer.taken:
                return taken, 1
            taken += 1
        return taken, 0
    finally:
        connection.close()
