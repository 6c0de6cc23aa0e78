"""A live server, real slots, and jobs carried out in children of their own, as the queue does it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connections
from django.utils import timezone

from models_app.foundation import jobs
from models_app.models import Job
from tests.browser.conftest import cast as cast
from tests.browser.conftest import enter as enter
from tests.serving.conftest import supervise as supervise


class Worker(threading.Thread):
    """Takes jobs as a queue's worker does: claims, starts the child, watches over it. What waits is looked at again
    at once instead of a minute later."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            queued = Job.objects.filter(state=Job.State.QUEUED)
            queued.filter(not_before__gt=timezone.now()).update(not_before=timezone.now())
            for pk in list(queued.order_by("pk").values_list("pk", flat=True)):
                jobs.supervise(pk)
        connections.close_all()

    def stop(self) -> None:
        self._ended.set()
        self.join(60)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    worker = Worker()
    worker.start()
    yield worker
    worker.stop()
