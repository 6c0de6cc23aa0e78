"""Long work. django-q2 carries a job's id; the `Job` row is the truth, and this module keeps it true.

Order of events: `enqueue` writes the row and the queue's message in the caller's transaction. A queue worker calls
`supervise`, which claims the row by one conditional UPDATE and starts `manage.py run_job` as a child of its own
process group that dies with the worker. The child does the work (`run`) and sets the outcome; the worker renews the
lease, passes on a cancel request, ends the child at its deadline, and speaks for a child that vanished. `reap`, called
every minute, does the same for a worker that vanished. Duplicate deliveries find nothing to claim and return.

A job whose process vanished (killed, out of memory, power cut) or lost the database is tried again up to
`max_attempts`; one that raised is not, since it would raise again. Handlers must therefore be able to begin again or
to go on from where they were.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, close_old_connections, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.tasks import async_task

from models_app import doors
from models_app.foundation import audit, locks
from models_app.foundation.errors import GalleyError, Refused
from models_app.foundation.job_kinds import JobKind
from models_app.foundation.roles import require
from models_app.foundation.unavailability import is_away
from models_app.models.jobs import Job

log = structlog.get_logger(__name__)

SUPERVISE = "models_app.foundation.jobs.supervise"
POLL_SECONDS = 0.5
CANCEL_GRACE_SECONDS = 20
PR_SET_PDEATHSIG = 1
# Any number that nothing else locks: who counts the long jobs that run, counts alone.
LONG_JOBS_LOCK = 20_27


class JobCancelled(Exception):
    """Raised inside a handler that was asked to stop."""


class NotYet(Exception):
    """Raised inside a handler whose turn has not come: the job is queued again, this attempt does not count."""

    def __init__(self, message: str, seconds: int = 15) -> None:
        super().__init__(message)
        self.seconds = seconds


class LeaseLost(Exception):
    """Another process took the job over; whatever this one still does must not be written."""


def kinds() -> dict[str, JobKind]:
    return settings.GALLEY_JOB_KINDS


# ---------------------------------------------------------------- asking for work


def enqueue(
    *,
    kind: str,
    actor: Any | None,
    subject: str = "",
    payload: dict[str, Any] | None = None,
    queue: str = "default",
    unique_key: str = "",
    max_attempts: int = 3,
    deadline_seconds: int = 3600,
    deliver: bool = True,
) -> Job:
    """Write a job and hand it to the queue, both in the caller's transaction.

    With a `unique_key`, an active job of the same key is returned instead of a second one. `deliver=False` is for a
    caller that carries it out at once with `carry_out`.
    """
    if kind not in kinds():
        raise ValueError(f"unknown kind of job: {kind}")
    with transaction.atomic():
        try:
            with transaction.atomic():
                job = Job.objects.create(
                    kind=kind,
                    queue=queue,
                    subject=subject,
                    payload=payload or {},
                    unique_key=unique_key,
                    max_attempts=max_attempts,
                    deadline_seconds=deadline_seconds,
                    requested_by=actor,
                )
        except IntegrityError:
            return Job.objects.get(unique_key=unique_key, state__in=Job.ACTIVE)
        if deliver:
            _deliver(job)
    return job


def _deliver(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now())
    async_task(SUPERVISE, job.pk, cluster=job.queue, task_name=f"job-{job.pk}-{uuid.uuid4().hex[:6]}")


def request_cancel(*, job: Job, actor: Any | None) -> None:
    """A queued job is cancelled at once; a running one is asked to stop and reports back itself."""
    with transaction.atomic():
        locked = Job.objects.select_for_update().get(pk=job.pk)
        if not locked.is_active:
            raise Refused(f"Job {job.pk} is already {locked.state}.")
        if locked.state == Job.State.QUEUED:
            _end(
                locked,
                state=Job.State.CANCELLED,
                reason="Cancelled before it began.",
                expected=Job.State.QUEUED,
            )
        else:
            Job.objects.filter(pk=job.pk, cancel_requested_at=None).update(cancel_requested_at=timezone.now())
        audit.record(actor=actor, action="job.cancel", subject=f"job:{job.pk}", from_state=locked.state)
    job.refresh_from_db()


def cancel(*, job: Job, actor: Any | None) -> None:
    """One's own job, or anybody's for those who manage jobs."""
    if actor is None or job.requested_by_id != actor.pk:
        require(actor, "manage_jobs")
    request_cancel(job=job, actor=actor)


def retry(*, job: Job, actor: Any | None) -> Job:
    """Start the work of a job that failed or was cancelled again, as a new job.

    Who asked for it still does: what comes of it, such as a model, is theirs and not of who presses the button.
    """
    require(actor, "manage_jobs")
    if job.is_active:
        raise Refused(f"Job {job.pk} is still {job.state}.")
    if job.state == Job.State.SUCCEEDED:
        raise Refused(f"Job {job.pk} has succeeded; there is nothing to try again.")
    kind = kinds().get(job.kind)
    if kind is None:
        raise Refused(f"This version of Galley knows no jobs of kind {job.kind}.")
    with transaction.atomic():
        again: Job | None
        if kind.again:
            again = import_string(kind.again)(job)
        else:
            again = enqueue(
                kind=job.kind, actor=job.requested_by, subject=job.subject, payload=job.payload, queue=job.queue,
                unique_key=job.unique_key, max_attempts=job.max_attempts, deadline_seconds=job.deadline_seconds,
            )  # fmt: skip
        if again is None:
            raise Refused(f"A later job has taken the place of job {job.pk}.")
        audit.record(actor=actor, action="job.retry", subject=f"job:{job.pk}", data={"again": again.pk})
    return again


# ---------------------------------------------------------------- the worker's side


def claim(job_id: int, *, in_turn: bool = True) -> Job | None:
    """Take a queued, due job for this process: one conditional UPDATE, or None where there is nothing to take.

    `in_turn=False` does not wait for other long jobs.
    """
    token = uuid.uuid4()
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        return None
    with transaction.atomic():
        if in_turn and not _has_its_turn(job):
            return None
        now = timezone.now()
        changed = Job.objects.filter(pk=job_id, state=Job.State.QUEUED, not_before__lte=now).update(
            state=Job.State.RUNNING,
            lease_token=token,
            lease_until=now + _lease(),
            heartbeat_at=now,
            started_at=job.started_at or now,
            attempts=job.attempts + 1,
            log_file=f"jobs/{job_id}.log",
            phase="starting",
        )
    if not changed:
        return None
    job.refresh_from_db()
    return job if job.lease_token == token else None


def _long_kinds() -> list[str]:
    return [name for name, kind in kinds().items() if kind.long]


def _has_its_turn(job: Job) -> bool:
    """Long jobs leave one worker of their queue to the others, where it has more than one. In a transaction."""
    if job.kind not in _long_kinds():
        return True
    locks.alone(LONG_JOBS_LOCK)
    running = Job.objects.filter(queue=job.queue, state=Job.State.RUNNING, kind__in=_long_kinds()).count()
    return running < max(1, settings.GALLEY_QUEUES.get(job.queue, 1) - 1)


def _give_the_next_its_turn(ended: Job) -> None:
    """A long job that had to wait has used up its message. Where this process dies before, `reap` does it."""
    if ended.kind not in _long_kinds():
        return
    waiting = Job.objects.filter(
        queue=ended.queue, state=Job.State.QUEUED, kind__in=_long_kinds(), not_before__lte=timezone.now()
    )
    following = waiting.order_by("pk").first()
    if following is not None:
        _deliver(following)


def carry_out(job: Job, *, watch: Callable[[Job], None] | None = None) -> Job:
    """Do what a queue worker does, from a command that waits for the result; `watch` sees the row twice a second.

    Raises Refused where the job did not succeed. Needs the job to be committed: its child is another process.
    """
    supervise(job.pk, watch=watch, in_turn=False)
    job.refresh_from_db()
    if job.state != Job.State.SUCCEEDED:
        raise Refused(f"{job.kind.replace('_', ' ').capitalize()} (job {job.pk}) {job.state}: {job.reason}")
    return job


def supervise(job_id: int, watch: Callable[[Job], None] | None = None, *, in_turn: bool = True) -> str:
    """The queue's task: claim, start the child, watch over it. Returns a word for the queue's own log."""
    close_old_connections()
    job = claim(job_id, in_turn=in_turn)
    if job is None:
        return "nothing to claim"
    outcome = _watch_over(job, watch)
    _give_the_next_its_turn(job)
    return outcome


def _watch_over(job: Job, watch: Callable[[Job], None] | None) -> str:
    child = _start_child(job)
    deadline = time.monotonic() + job.deadline_seconds
    cancel_seen: float | None = None
    renew_at = 0.0
    ended_by_us = ""
    try:
        while child.poll() is None:
            now = time.monotonic()
            if now >= renew_at:
                renew_at = now + _lease().total_seconds() / 4
                if not _renew(job):
                    return "lease lost"
            if now > deadline and not ended_by_us:
                ended_by_us = (
                    f"It ran longer than its limit of {job.deadline_seconds // 60} minutes and was ended."
                )
                _kill(child)
            if cancel_seen is None and _cancel_wanted(job):
                cancel_seen = now
            if cancel_seen is not None and now - cancel_seen > CANCEL_GRACE_SECONDS and not ended_by_us:
                ended_by_us = "Cancelled; its process did not stop by itself and was ended."
                _kill(child)
            if watch is not None:
                watch(Job.objects.get(pk=job.pk))
            time.sleep(POLL_SECONDS)
    finally:
        _kill(child)  # what it left in its group; all of it where the lease or the database is lost
    return _after_child(job, child.returncode, ended_by_us, cancelled=cancel_seen is not None)


def _lease() -> timedelta:
    return timedelta(seconds=settings.GALLEY_JOB_LEASE_SECONDS)


def _renew(job: Job) -> bool:
    return bool(
        Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, lease_token=job.lease_token).update(
            lease_until=timezone.now() + _lease()
        )
        or Job.objects.filter(pk=job.pk, lease_token=job.lease_token).exclude(state__in=Job.ACTIVE).exists()
    )


def _cancel_wanted(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists()


def log_path(job: Job) -> Path:
    return Path(settings.GALLEY_HOME) / "logs" / "jobs" / f"{job.pk}.log"


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this process when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start_child(job: Job) -> subprocess.Popen[bytes]:
    path = log_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "run_job", str(job.pk)]
    # Two threads of torch on busy cores are many times slower than one, so the number is said, not guessed.
    environment = {
        **os.environ,
        "GALLEY_JOB_TOKEN": str(job.lease_token),
        "OMP_NUM_THREADS": str(settings.GALLEY_TORCH_THREADS),
        "TOKENIZERS_PARALLELISM": "false",
        # Arrow's usual allocator reserves a gigabyte ahead, which would count against a limit (memory.at_most).
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    with path.open("ab") as log_file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # the group is gone: that is what was wanted
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _after_child(job: Job, returncode: int, ended_by_us: str, *, cancelled: bool) -> str:
    """Speak for a child that ended without setting an outcome."""
    with transaction.atomic():
        row = Job.objects.select_for_update().get(pk=job.pk)
        if row.state != Job.State.RUNNING or row.lease_token != job.lease_token:
            return row.state
        if cancelled:
            _end(row, state=Job.State.CANCELLED, reason=ended_by_us or "Cancelled.")
        elif ended_by_us:
            _end(row, state=Job.State.FAILED, reason=ended_by_us)
        else:
            how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
            _again_or_bury(row, f"Its process ended without a result ({how})")
    return row.state


def _again_or_bury(row: Job, what: str) -> None:
    """For a job whose process vanished. The row is locked by the caller."""
    if row.cancel_requested_at is not None:
        _end(row, state=Job.State.CANCELLED, reason="Cancelled.")
    elif row.attempts >= row.max_attempts:
        _end(row, state=Job.State.FAILED, reason=f"{what}, {row.attempts} times. The job's log says more.")
    else:
        Job.objects.filter(pk=row.pk).update(
            state=Job.State.QUEUED,
            lease_token=None,
            lease_until=None,
            not_before=timezone.now(),
            reason=f"{what}; it is tried again (attempt {row.attempts + 1} of {row.max_attempts}).",
        )
        row.refresh_from_db()
        log.warning("job_tried_again", job=row.pk, kind=row.kind, reason=row.reason)
        _deliver(row)


def _end(
    row: Job,
    *,
    state: str,
    reason: str = "",
    result: dict[str, Any] | None = None,
    expected: str = Job.State.RUNNING,
) -> bool:
    """Set the outcome once, and bring the subject in step in the same transaction."""
    with transaction.atomic():
        changed = Job.objects.filter(pk=row.pk, state=expected, lease_token=row.lease_token).update(
            state=state, reason=reason, result=result or {}, finished_at=timezone.now()
        )
        if not changed:
            return False
        row.refresh_from_db()
        ended = kinds()[row.kind].ended
        if ended:
            import_string(ended)(row)
    log.info("job_ended", job=row.pk, kind=row.kind, state=state, reason=reason)
    return True


def reap() -> int:
    """Close or requeue jobs whose lease ran out, and hand lost messages to the queue again. Returns how many."""
    now = timezone.now()
    count = 0
    expired = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=now).values_list("pk", flat=True)
    for pk in expired:
        with transaction.atomic():
            row = (
                Job.objects.select_for_update(skip_locked=True)
                .filter(pk=pk, state=Job.State.RUNNING, lease_until__lt=now)
                .first()
            )
            if row is not None:
                _again_or_bury(row, "The worker that ran it vanished")
                count += 1
    return count + _redeliver_lost(now)


def _redeliver_lost(now: datetime) -> int:
    """A message can vanish with the worker that had just fetched it, before it claimed the job."""
    count = 0
    for queue in {"default", *settings.GALLEY_QUEUES}:
        waiting = Job.objects.filter(
            queue=queue,
            state=Job.State.QUEUED,
            not_before__lte=now,
            enqueued_at__lt=now - timedelta(seconds=60),
        )
        busy = (
            Job.objects.filter(queue=queue, state=Job.State.RUNNING).count() >= settings.GALLEY_QUEUES[queue]
        )
        if busy or OrmQ.objects.filter(key=queue, lock__lte=now).exists():
            continue
        for job in waiting.order_by("pk")[:100]:
            _deliver(job)
            count += 1
    return count


# ---------------------------------------------------------------- the child's side


def _put_back(job: Job, wait: NotYet) -> None:
    """Queue the job again for later; `reap` hands it to the queue when it is due."""
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, lease_token=job.lease_token).update(
        state=Job.State.QUEUED,
        lease_token=None,
        lease_until=None,
        attempts=job.attempts - 1,
        not_before=timezone.now() + timedelta(seconds=wait.seconds),
        phase="waiting",
        reason=str(wait),
    )


@dataclass
class JobContext:
    """What a handler sees: its payload, and the means to say where it is and to hear that it should stop."""

    job: Job
    _last: float = field(default=0.0)
    _stop: bool = field(default=False)

    @property
    def payload(self) -> dict[str, Any]:
        return self.job.payload

    def phase(self, name: str, total: int = 0) -> None:
        """Name the phase that begins."""
        self.job.phase = name
        self._write(phase=name, step=0, total=total)
        print(f"{timezone.now():%Y-%m-%d %H:%M:%S} {name}", flush=True)

    def step(self, step: int, total: int | None = None) -> None:
        """Say how far it is; written at most once a second. Raises JobCancelled where a stop was asked for."""
        if time.monotonic() - self._last >= 1:
            self._write(step=step, **({} if total is None else {"total": total}))
        if self._stop:
            raise JobCancelled

    def should_stop(self) -> bool:
        """True once a stop was asked for; looks at most once a second."""
        if not self._stop and time.monotonic() - self._last >= 1:
            self._write()
        return self._stop

    def _write(self, **values: Any) -> None:
        self._last = time.monotonic()
        rows = Job.objects.filter(pk=self.job.pk, lease_token=self.job.lease_token, state=Job.State.RUNNING)
        if not rows.update(heartbeat_at=timezone.now(), **values):
            raise LeaseLost(f"job {self.job.pk} belongs to another process now")
        self._stop = rows.filter(cancel_requested_at__isnull=False).exists()


def run(job_id: int, token: str) -> int:
    """Carry out a claimed job in this process and set its outcome. Returns an exit code."""
    job = Job.objects.filter(pk=job_id, state=Job.State.RUNNING, lease_token=token).first()
    if job is None:
        print(f"job {job_id} is not claimed with this token; nothing to do", flush=True)
        return 0
    with doors.through(doors.Kind.JOB, f"{job.kind} {job.pk}"):
        return _work_on(job)


def _work_on(job: Job) -> int:
    context = JobContext(job)
    handler: Callable[[JobContext], dict[str, Any] | None] = import_string(kinds()[job.kind].run)
    try:
        result = handler(context)
    except LeaseLost as lost:
        print(lost, flush=True)
        return 1
    except JobCancelled:
        _end(job, state=Job.State.CANCELLED, reason="Cancelled.")
        return 0
    except NotYet as wait:
        _put_back(job, wait)
        return 0
    except GalleyError as error:
        traceback.print_exc()
        _end(job, state=Job.State.FAILED, reason=error.message)
        return 1
    except Exception as error:
        traceback.print_exc()
        if is_away(error):  # no outcome: the worker, or `reap`, has it tried again
            return 1
        _end(job, state=Job.State.FAILED, reason=f"{type(error).__name__}: {error}"[:2000])
        return 1
    _end(job, state=Job.State.SUCCEEDED, result=result)
    return 0
