"""A live server, real slots, and jobs carried out in children of their own, as the queue does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django.utils import timezone

from models_app.foundation import jobs
from models_app.models import Job
from tests.browser.conftest import cast as cast
from tests.browser.conftest import enter as enter
from tests.browser.conftest import idle_pages as idle_pages
from tests.browser.conftest import kept_static_files as kept_static_files
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


Watch = Callable[[Job], None] | None


def _done_here(job: Job, watch: Watch) -> str:
    jobs.run(job.pk, str(job.lease_token))
    ended = Job.objects.get(pk=job.pk)
    if watch is not None:
        watch(ended)
    return ended.state


@pytest.fixture
def without_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes a job does its work itself: the same work without a process of its own, whose start takes longer
    than most of what tests ask for. That jobs work in one is for `test_the_loop` and tests/foundation to show."""
    monkeypatch.setattr(jobs, "_watch_over", _done_here)


@pytest.fixture
def one_child_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job of each kind has a process of its own, as all have with a queue; the others do without."""
    in_a_child, seen = jobs._watch_over, set[str]()

    def work(job: Job, watch: Watch) -> str:
        first = job.kind not in seen
        seen.add(job.kind)
        return (in_a_child if first else _done_here)(job, watch)

    monkeypatch.setattr(jobs, "_watch_over", work)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    worker = Worker()
    worker.start()
    yield worker
    worker.stop()
