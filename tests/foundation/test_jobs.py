from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from models_app.foundation import jobs
from models_app.foundation.errors import Refused
from models_app.models import AuditEvent, Job
from tests import make

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "what-happened"


def job(file: Path, do: str = "", **options: Any) -> Job:
    return jobs.enqueue(kind="test_work", actor=None, payload={"file": str(file), "do": do}, **options)


def lines(file: Path) -> list[str]:
    return [line.split()[0] if line.startswith("begin") else line for line in file.read_text().splitlines()]


def test_a_job_is_carried_out_in_a_process_of_its_own(file: Path) -> None:
    done = jobs.carry_out(job(file))
    assert (done.state, done.result, done.attempts, done.phase) == ("succeeded", {"begun": 1}, 1, "working")
    assert done.finished_at is not None
    assert file.read_text().split()[1] != str(os.getpid())
    assert lines(file) == ["begin", "ended succeeded"]
    assert "working" in jobs.log_path(done).read_text()


def test_enqueueing_is_undone_with_the_transaction_around_it(file: Path) -> None:
    def enqueue_and_fail() -> None:
        with transaction.atomic():
            job(file)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enqueue_and_fail()
    assert not Job.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_second_delivery_finds_nothing_to_do(file: Path) -> None:
    queued = job(file)
    jobs.carry_out(queued)
    assert jobs.supervise(queued.pk) == "nothing to claim"
    assert lines(file) == ["begin", "ended succeeded"]


def test_asking_twice_with_one_key_gives_one_job_while_it_is_active(file: Path) -> None:
    first = job(file, unique_key="train:1")
    assert job(file, unique_key="train:1").pk == first.pk
    jobs.carry_out(first)
    assert job(file, unique_key="train:1").pk != first.pk


def test_many_claims_at_once_give_one_winner(file: Path) -> None:
    queued = job(file)
    won: list[Job | None] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        won.append(jobs.claim(queued.pk))
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claimed is not None for claimed in won) == 1


def test_a_refusal_ends_it_with_its_words_and_is_not_tried_again(file: Path) -> None:
    queued = job(file, "refuse")
    with pytest.raises(Refused, match="The snapshot is too small"):
        jobs.carry_out(queued)
    queued.refresh_from_db()
    assert (queued.state, queued.reason, queued.attempts) == ("failed", "The snapshot is too small.", 1)


def test_an_error_ends_it_with_its_name_and_the_log_has_the_rest(file: Path) -> None:
    queued = job(file, "break")
    with pytest.raises(Refused, match="ZeroDivisionError"):
        jobs.carry_out(queued)
    queued.refresh_from_db()
    assert queued.state == "failed"
    assert "Traceback" in jobs.log_path(queued).read_text()


def test_a_killed_process_is_tried_again_and_succeeds(file: Path) -> None:
    queued = job(file, "die once")
    assert jobs.supervise(queued.pk) == "queued"
    queued.refresh_from_db()
    assert "signal 9" in queued.reason
    assert OrmQ.objects.count() == 2, "it was handed to the queue again"
    done = jobs.carry_out(queued)
    assert (done.state, done.attempts) == ("succeeded", 2)
    assert lines(file) == ["begin", "begin", "ended succeeded"]


def test_a_process_that_is_killed_every_time_is_buried_after_its_attempts(file: Path) -> None:
    queued = job(file, "die always", max_attempts=2)
    assert [jobs.supervise(queued.pk), jobs.supervise(queued.pk)] == ["queued", "failed"]
    queued.refresh_from_db()
    assert "2 times" in queued.reason
    assert lines(file)[-1] == "ended failed"


def test_a_job_beyond_its_deadline_is_ended(file: Path) -> None:
    queued = job(file, "hang", deadline_seconds=4)
    assert jobs.supervise(queued.pk) == "failed"
    queued.refresh_from_db()
    assert "longer than its limit" in queued.reason


def when(running: Callable[[], bool], act: Callable[[], Any]) -> threading.Thread:
    """Does something from another thread once a condition holds."""

    def wait() -> None:
        end = time.monotonic() + 60
        while not running() and time.monotonic() < end:
            time.sleep(0.1)
        act()
        connection.close()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_running_job_is_cancelled_at_its_next_step(file: Path) -> None:
    queued = job(file, "until told")
    thread = when(file.exists, lambda: jobs.request_cancel(job=Job.objects.get(pk=queued.pk), actor=None))
    assert jobs.supervise(queued.pk) == "cancelled"
    thread.join()
    assert lines(file)[-1] == "ended cancelled"
    assert AuditEvent.objects.filter(action="job.cancel", subject=f"job:{queued.pk}").exists()


def test_a_job_that_does_not_listen_is_ended_after_a_grace(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "CANCEL_GRACE_SECONDS", 1)
    queued = job(file, "hang")
    thread = when(file.exists, lambda: jobs.request_cancel(job=Job.objects.get(pk=queued.pk), actor=None))
    assert jobs.supervise(queued.pk) == "cancelled"
    thread.join()


def test_a_queued_job_is_cancelled_at_once(file: Path) -> None:
    queued = job(file)
    jobs.request_cancel(job=queued, actor=None)
    assert queued.state == "cancelled"
    assert jobs.supervise(queued.pk) == "nothing to claim"
    with pytest.raises(Refused, match="already cancelled"):
        jobs.request_cancel(job=queued, actor=None)


def test_a_vanished_worker_s_job_is_taken_over(file: Path) -> None:
    queued = job(file)
    claimed = jobs.claim(queued.pk)
    assert claimed is not None
    assert jobs.reap() == 0, "its lease still holds"
    Job.objects.filter(pk=queued.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs.reap() == 1
    queued.refresh_from_db()
    assert queued.state == "queued"
    assert jobs.run(claimed.pk, str(claimed.lease_token)) == 0, "the first one's claim is worth nothing now"
    assert not file.exists()
    assert jobs.carry_out(queued).attempts == 2


def test_a_lost_message_is_handed_to_the_queue_again(file: Path) -> None:
    queued = job(file)
    OrmQ.objects.all().delete()
    assert jobs.reap() == 0, "not yet: its message may be on the way"
    Job.objects.filter(pk=queued.pk).update(enqueued_at=timezone.now() - timedelta(minutes=5))
    assert jobs.reap() == 1
    assert OrmQ.objects.filter(key="default").count() == 1


def test_a_job_whose_turn_has_not_come_waits_without_losing_an_attempt(file: Path) -> None:
    queued = job(file, "not yet")
    jobs.supervise(queued.pk)
    queued.refresh_from_db()
    assert (queued.state, queued.attempts, queued.reason) == ("queued", 0, "Its turn has not come.")


def test_long_jobs_leave_a_worker_to_the_others_and_take_turns(file: Path, settings: Any) -> None:
    settings.GALLEY_QUEUES = {"default": 2, "training": 1}
    payload = {"file": str(file), "do": ""}
    first, second, third = (
        jobs.enqueue(kind="test_long_work", actor=None, payload=payload) for _ in range(3)
    )
    assert jobs.claim(first.pk) is not None
    assert jobs.supervise(second.pk) == "nothing to claim"
    assert jobs.supervise(job(file).pk) == "succeeded", "a short one need not wait"
    Job.objects.filter(pk=first.pk).update(state="succeeded")
    OrmQ.objects.all().delete()
    assert jobs.supervise(second.pk) == "succeeded"
    assert OrmQ.objects.count() == 1, "the next one's turn has come"
    assert jobs.claim(third.pk) is not None
    assert jobs.claim(jobs.enqueue(kind="test_long_work", actor=None).pk, in_turn=False) is not None


def test_the_child_dies_with_its_worker(file: Path) -> None:
    """The worker is a process of its own here, and is killed."""
    import subprocess
    import sys

    queued = job(file, "hang")
    code = (
        f"import django; django.setup(); from models_app.foundation import jobs; jobs.supervise({queued.pk})"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    child = int(file.read_text().split()[1])
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    end = time.monotonic() + 10
    while alive(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(child)
    Job.objects.filter(pk=queued.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs.reap() == 1


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_job_that_lost_the_database_is_tried_again(file: Path) -> None:
    queued = job(file, "lose the database once")
    assert jobs.supervise(queued.pk) == "queued"
    queued.refresh_from_db()
    assert "attempt 2 of 3" in queued.reason
    assert jobs.carry_out(queued).attempts == 2
    assert lines(file) == ["begin", "begin", "ended succeeded"]


def test_a_worker_that_lost_the_database_leaves_no_child_behind(file: Path) -> None:
    queued = job(file, "hang")

    def lose(_: Job) -> None:
        if file.exists() and lines(file):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(OperationalError):
        jobs.supervise(queued.pk, watch=lose)
    connection.close()
    assert not alive(int(file.read_text().split()[1]))
    Job.objects.filter(pk=queued.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs.reap() == 1


def test_cancelling_is_for_who_may(file: Path) -> None:
    people = make.cast()
    queued = job(file)
    with pytest.raises(Exception, match="role"):
        jobs.cancel(job=queued, actor=people.stranger)
    jobs.cancel(job=queued, actor=people.operator)
    assert Job.objects.get(pk=queued.pk).state == "cancelled"
