"""The serving supervisor: keeps a slot process up for each release that is wanted, and lets warm releases go live.

Wanted are the live release of each environment, the one before it (so that rolling back needs no loading), and those
that are warming up. It reconciles what runs with what is wanted when PostgreSQL notifies it of a change, when a slot
says something or ends, and once a second anyway. One thread, one selector; slots are children that die with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from models_app.engines import prompt_spec
from models_app.foundation.errors import GalleyError, Refused
from models_app.foundation.jobs import die_with_parent
from models_app.models import Release, Route, Slot
from models_app.releases.deploying import CHANNEL, give_up
from models_app.rollouts import stepping as rollouts
from models_app.serving import wire
from models_app.serving.slot import DRAIN_SECONDS, SlotSpec
from models_app.training.registering import artefact_path

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 2.0
ROLLOUT_SECONDS = 2.0
SILENT_SECONDS = 30.0  # a slot whose health cannot be read for so long is replaced
LOADING_SECONDS = 900.0
WARMING_FAILURES = 3  # tries before a warming release has failed; a live one is tried for ever
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SOUND_SECONDS = 60.0  # up for so long, a slot's earlier failures are forgotten
GROWN = (
    1.1  # over the ceiling, a slot starts again where that helps: it takes so many times what it began with
)
# A release that is not wanted any more is served on for a moment: web processes hear of a switch within half a second.
LINGER_SECONDS = 2.0
STOP_SECONDS = DRAIN_SECONDS + 1.0


@dataclass
class Process:
    """A slot's process as this supervisor sees it. Times are of time.monotonic()."""

    release: Release
    address: str
    child: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    ready: bool = False
    reason: str = ""
    final: bool = False
    failures: int = 0
    start_at: float = 0.0
    heard_at: float = 0.0
    began_with: int = 0  # bytes of memory
    unwanted_since: float | None = None
    kill_at: float | None = None
    said: bytes = field(default=b"", repr=False)

    @property
    def loading(self) -> bool:
        return self.child is not None and not self.ready


def wanted_releases() -> list[Release]:
    """In the order in which they are loaded: live, warming up, the ones before."""
    routes = list(Route.objects.select_related("release", "previous"))
    live = [route.release_id for route in routes if route.release_id]
    canaries = [route.canary_id for route in routes if route.canary_id]
    warming = list(
        Release.objects.filter(state=Release.State.WARMING).order_by("pk").values_list("pk", flat=True)
    )
    before = [
        route.previous_id
        for route in routes
        if route.previous is not None and route.previous.state == Release.State.SUPERSEDED
    ]
    order = list(dict.fromkeys([*live, *canaries, *warming, *before]))
    rows = Release.objects.select_related("model_version", "prompt_version__prompt").in_bulk(order)
    return [rows[pk] for pk in order if pk is not None]


def slot_spec(release: Release, *, address: str) -> SlotSpec:
    """Raises Refused where the artefact is missing."""
    model = release.model_version
    lead = model.family == "lead"
    return SlotSpec(
        release=release.pk,
        engine=model.engine,
        artefact="" if lead else str(artefact_path(model)),
        digest=model.digest,
        stamp="" if lead else str(Path(settings.GALLEY_HOME) / "run" / f"hashed-{model.digest[:16]}.json"),
        address=address,
        prompt=prompt_spec(release.prompt_version).to_dict(),
        decoding=release.decoding,
        threads=settings.GALLEY_SLOT_THREADS,
        device="cpu" if lead else settings.GALLEY_DEVICE,
        most_waiting=settings.GALLEY_SLOT_QUEUE,
        keep_bytes=settings.GALLEY_SLOT_ANSWERS_MB << 20,
        parent=os.getpid(),
        quotes=settings.GALLEY_KEEP_REQUEST_TEXT,
    )


def outgrown(taken: int, began_with: int) -> bool:
    """Whether a slot takes more memory than it may, and less after a new start: a model that needs more than the
    ceiling from the beginning is served all the same, since no start would make it smaller."""
    ceiling = settings.GALLEY_SLOT_MEMORY_MB << 20
    return bool(ceiling) and taken > max(ceiling, began_with * GROWN)


class SlotSupervisor:
    def __init__(self) -> None:
        home = Path(settings.GALLEY_HOME)
        self.directory = wire.socket_directory(home)
        for directory in {home / "run", self.directory}:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.processes: dict[int, Process] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._look_at = 0.0
        self._heartbeat_at = 0.0
        self._rollouts_at = 0.0
        self._unsaved: dict[int, dict[str, Any]] = {}
        self._listening: Any = None
        self._database_fd: int | None = None

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        """Until TERM or Ctrl-C. Raises Refused where another one runs on this data directory."""
        with self._only_one(), self._woken_by_signals():
            self._forget_earlier_slots()
            while not self._stopping:
                try:
                    self._listen()
                    self._turn()
                except (DatabaseError, psycopg.Error) as error:
                    # slots go on serving without the database; we come back when it does
                    log.warning("database_away", error=str(error).strip())
                    self._hang_up()
                    self._collect()
                    self._wait(LOOK_SECONDS)
                    continue
                self._wait(self._until_next())
            self.stop_all()

    def _turn(self) -> None:
        self._collect()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._reconcile(wanted_releases(), now)
        self._start_next(now)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_SECONDS
            self._heartbeat(now)
        self._end_overdue(now)
        # the router must find a ready slot's address before the route names its release
        self._save_rows()
        self._settle_warming()
        if now >= self._rollouts_at:
            self._rollouts_at = now + ROLLOUT_SECONDS
            self._look_at_rollouts()

    def _until_next(self) -> float:
        now = time.monotonic()
        processes = self.processes.values()
        times = [self._look_at, self._heartbeat_at]
        if not self._is_loading():
            times += [process.start_at for process in processes if process.child is None]
        times += [process.kill_at for process in processes if process.kill_at is not None]
        return min(LOOK_SECONDS, max(0.01, min(times) - now))

    def _is_loading(self) -> bool:
        return any(process.loading and process.kill_at is None for process in self.processes.values())

    def _wait(self, seconds: float) -> None:
        """Sleep until a notification, a slot's word, a signal, or the time is up."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Process):
                self._read(key.data)
            elif key.data == "database":
                self._look_at = 0.0
            else:
                os.read(key.fd, 4096)
                self._look_at = 0.0

    # ---------------------------------------------------------------- what is wanted against what runs

    def _reconcile(self, wanted: list[Release], now: float) -> None:
        ids = {release.pk for release in wanted}
        for release in wanted:
            process = self.processes.get(release.pk)
            if process is None:
                address = str(self.directory / f"slot-{release.pk}.sock")
                self.processes[release.pk] = Process(release, address)
                self._record(self.processes[release.pk], Slot.State.STARTING, reason="", pid=None, failures=0)
            else:
                process.release = release
                process.unwanted_since = None
        order = {release.pk: place for place, release in enumerate(wanted)}
        self.processes = dict(sorted(self.processes.items(), key=lambda item: order.get(item[0], len(order))))
        for pk, process in list(self.processes.items()):
            if pk in ids:
                continue
            process.unwanted_since = process.unwanted_since or now
            if not process.ready or now - process.unwanted_since >= LINGER_SECONDS:
                self._ask_to_stop(process, now)

    def _start_next(self, now: float) -> None:
        """One slot loads at a time, the live release's first."""
        if self._is_loading():
            return
        for process in self.processes.values():
            if process.child is None and process.unwanted_since is None and now >= process.start_at:
                self._start(process, now)
                return

    def _start(self, process: Process, now: float) -> None:
        process.said, process.ready, process.reason, process.final = b"", False, "", False
        try:
            spec = slot_spec(process.release, address=process.address)
        except Refused as error:
            process.final = True
            self._failed(process, error.message)
            return
        child = subprocess.Popen(
            [sys.executable, "-m", "models_app.serving.slot"],
            cwd=settings.BASE_DIR,
            # huge pages for the weights: writing reads all of them for every token (3 to 8 % faster)
            env={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,  # this process has one thread
        )
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018  # nosec B101
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it may have died already; that is seen next
            child.stdin.write(spec.to_json().encode())
        os.set_blocking(child.stdout.fileno(), False)
        self._selector.register(child.stdout, selectors.EVENT_READ, process)
        process.child, process.started_at, process.kill_at = child, now, None
        self._record(
            process, Slot.State.STARTING, pid=child.pid, address=process.address, started_at=timezone.now()
        )
        log.info("slot_starting", release=process.release.pk, pid=child.pid)

    def _read(self, process: Process) -> None:
        """A slot's word on its standard output: ready, or why not."""
        assert process.child is not None and process.child.stdout is not None  # noqa: PT018  # nosec B101
        piece: bytes | None = process.child.stdout.read()
        if piece is None:
            return
        if piece == b"":
            self._selector.unregister(process.child.stdout)
            return
        process.said += piece
        while b"\n" in process.said:
            line, _, process.said = process.said.partition(b"\n")
            status = json.loads(line)
            if status.get("ready"):
                self._became_ready(process, status)
            else:
                process.reason, process.final = status["failed"], status["final"]

    def _became_ready(self, process: Process, health: dict[str, Any]) -> None:
        process.ready, process.heard_at = True, time.monotonic()
        process.began_with = health["rss_bytes"]
        now = timezone.now()
        self._record(
            process,
            Slot.State.READY,
            reason="",
            ready_at=now,
            heartbeat_at=now,
            rss_bytes=health["rss_bytes"],
        )
        seconds = round(process.heard_at - process.started_at, 2)
        log.info("slot_ready", release=process.release.pk, seconds=seconds, rss_mb=health["rss_bytes"] >> 20)

    def _settle_warming(self) -> None:
        """Warming releases whose slot answers go live; those that cannot be loaded have failed."""
        for process in self.processes.values():
            if process.release.state != Release.State.WARMING:
                continue
            hopeless = process.child is None and (process.final or process.failures >= WARMING_FAILURES)
            if not process.ready and not hopeless:
                continue
            try:
                if process.ready:
                    rollouts.begin(release=process.release)
                else:
                    give_up(
                        release=process.release, reason=f"Its model could not be loaded. {process.reason}"
                    )
            except GalleyError as error:
                # somebody stopped it or was faster: the next look shows what is wanted now
                log.warning("release_not_moved", release=process.release.pk, reason=error.message)
                process.release.refresh_from_db(fields=["state"])
            self._look_at = 0.0

    def _look_at_rollouts(self) -> None:
        """Canaries go on, wait, or are stopped by what was counted."""
        for rollout in rollouts.open_rollouts():
            try:
                rollouts.turn(rollout=rollout)
            except GalleyError as error:
                log.warning("rollout_not_moved", rollout=rollout.pk, reason=error.message)

    # ---------------------------------------------------------------- ends, planned and not

    def _collect(self) -> None:
        """Slots whose process has ended."""
        for pk, process in list(self.processes.items()):
            if process.child is None or process.child.poll() is None:
                continue
            self._read_last_words(process)
            code, process.child = process.child.returncode, None
            was_ready, process.ready = process.ready, False
            asked, process.kill_at = process.kill_at is not None, None
            if process.unwanted_since is not None:
                del self.processes[pk]
                self._record(process, Slot.State.STOPPED, pid=None, address="", rss_bytes=None, reason="")
                log.info("slot_stopped", release=pk)
            elif asked:  # wanted again meanwhile
                process.start_at = 0.0
            else:
                sound = was_ready and time.monotonic() - process.started_at > SOUND_SECONDS
                # of a canary each death counts: one that dies every few minutes is stopped, too
                if sound and process.release.state not in Release.ROLLING_OUT:
                    process.failures = 0
                how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
                self._failed(process, process.reason or f"Its process ended unexpectedly ({how}).")

    def _read_last_words(self, process: Process) -> None:
        assert process.child is not None and process.child.stdout is not None  # noqa: PT018  # nosec B101
        stream = process.child.stdout
        if stream.fileno() in self._selector.get_map():
            self._read(process)
        if stream.fileno() in self._selector.get_map():
            self._selector.unregister(stream)
        stream.close()

    def _failed(self, process: Process, reason: str) -> None:
        """Plan the next try. A slot that was sound until now starts again at once."""
        process.failures += 1
        pause = 0.0 if process.failures == 1 else FIRST_PAUSE_SECONDS * 2 ** min(process.failures - 2, 10)
        process.start_at = time.monotonic() + min(LONGEST_PAUSE_SECONDS, pause)
        process.reason = reason
        log.warning("slot_failed", release=process.release.pk, failures=process.failures, reason=reason)
        self._record(
            process, Slot.State.FAILED, pid=None, rss_bytes=None, reason=reason, failures=process.failures
        )

    def _ask_to_stop(self, process: Process, now: float) -> None:
        if process.child is None:
            self.processes.pop(process.release.pk, None)
            self._record(process, Slot.State.STOPPED, pid=None, address="", rss_bytes=None)
        elif process.kill_at is None:
            process.kill_at = now + STOP_SECONDS
            process.child.terminate()

    def _end_overdue(self, now: float) -> None:
        for process in self.processes.values():
            if process.child is None:
                continue
            overdue = process.kill_at is not None and now >= process.kill_at
            if process.kill_at is None and process.loading and now - process.started_at > LOADING_SECONDS:
                process.reason = f"Its model was not loaded after {LOADING_SECONDS / 60:.0f} minutes."
                overdue = True
            if process.kill_at is None and process.ready and now - process.heard_at > SILENT_SECONDS:
                process.reason = f"It did not answer for {SILENT_SECONDS:.0f} seconds."
                overdue = True
            if overdue:
                process.child.kill()
                process.child.wait()
                self._look_at = 0.0

    def stop_all(self) -> None:
        """TERM to every slot, KILL to those that have not answered what they were asked in time."""
        running = [process for process in self.processes.values() if process.child is not None]
        for process in running:
            assert process.child is not None  # nosec B101
            process.child.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in running:
            assert process.child is not None  # nosec B101
            try:
                process.child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.child.kill()
                process.child.wait()
        # without the database nobody can be told; the next start corrects the rows
        with contextlib.suppress(DatabaseError, psycopg.Error):
            Slot.objects.filter(release__in=self.processes).update(
                state=Slot.State.STOPPED, pid=None, address="", rss_bytes=None
            )

    # ---------------------------------------------------------------- rows

    def _record(self, process: Process, state: str, **values: Any) -> None:
        """Remember what the slot's row should say; `_save_rows` writes it, also after the database was away."""
        self._unsaved.setdefault(process.release.pk, {}).update(values, state=state)

    def _save_rows(self) -> None:
        for pk in list(self._unsaved):
            Slot.objects.update_or_create(release_id=pk, defaults=self._unsaved[pk])
            del self._unsaved[pk]

    def _forget_earlier_slots(self) -> None:
        """An earlier supervisor may have been killed with its slots; their rows still say that they run."""
        with contextlib.suppress(DatabaseError, psycopg.Error):  # the loop waits for the database
            Slot.objects.exclude(state=Slot.State.STOPPED).update(
                state=Slot.State.STOPPED, pid=None, address="", rss_bytes=None
            )

    def _heartbeat(self, now: float) -> None:
        for process in self.processes.values():
            if process.ready and (health := wire.health(process.address)) is not None:
                process.heard_at = now
                Slot.objects.filter(release_id=process.release.pk).update(
                    heartbeat_at=timezone.now(), rss_bytes=health["rss_bytes"]
                )
                if process.kill_at is None and outgrown(health["rss_bytes"], process.began_with):
                    self._start_again(process, health["rss_bytes"], now)

    def _start_again(self, process: Process, taken: int, now: float) -> None:
        """It answers what it was asked, and is loaded again in the memory that it leaves."""
        assert process.child is not None  # nosec B101
        log.warning("slot_outgrown", release=process.release.pk, rss_mb=taken >> 20)
        process.ready, process.kill_at = False, now + STOP_SECONDS
        process.child.terminate()
        reason = f"It took {taken >> 20:,} MB, more than GALLEY_SLOT_MEMORY_MB allows, and is started again."
        self._record(process, Slot.State.STARTING, reason=reason)

    # ---------------------------------------------------------------- being woken

    def _listen(self) -> None:
        """LISTEN on the connection that Django uses; again after it was lost."""
        connection.ensure_connection()
        if connection.connection is self._listening:
            return
        self._hang_up_selector()
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self._listening = connection.connection
        self._listening.add_notify_handler(self._notified)
        self._database_fd = self._listening.fileno()
        self._selector.register(self._database_fd, selectors.EVENT_READ, "database")
        self._look_at = 0.0

    def _notified(self, _: Any) -> None:
        """Also called where a notification comes along with the answer to a query."""
        self._look_at = 0.0

    def _hang_up(self) -> None:
        self._hang_up_selector()
        connection.close()

    def _hang_up_selector(self) -> None:
        if self._database_fd is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._database_fd)
        self._listening = self._database_fd = None

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """TERM, INT and the end of a child write to a pipe that the selector watches."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = {
            number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        }
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGINT, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, "signal")
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.unregister(reader)
            os.close(reader)
            os.close(writer)

    def _asked_to_stop(self, *_: Any) -> None:
        self._stopping = True

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        with _open_lock(self.directory / "serving.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused("Another serve_slots runs on this data directory. Stop it first.") from None
            yield


def _open_lock(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
