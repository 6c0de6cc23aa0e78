"""The web processes' worker: threads get whole requests only and never wait for a client.

gunicorn's own worker gives a connection a thread before its request has come, so that a few dozen half-sent requests
stop everything. Here one loop reads all connections, each request until it is whole, bodies onto the disk; then a
thread answers it; what the client does not take at once is sent by the loop again (`answer.py`). Connections have
deadlines (`limits.py`), and where there are too many the one goes that has kept us waiting longest (`crowd.py`).
"""

from __future__ import annotations

import errno
import gc
import os
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import PollableMethodQueue

from llmops_site.env import read_environment
from llmops_site.web_server import limits
from llmops_site.web_server.connection import Connection, Refused, State
from llmops_site.web_server.crowd import Crowd, counted_as

LOOK_SECONDS = 0.5
#: Asked by monitors, which must not wait behind requests that wait for a model or the database; how many threads each
#: has. The second asks the database, and more than one monitor may ask it.
PROBES = {"/healthz": 1, "/readyz": 4}


class WholeRequestWorker(Worker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        env = read_environment(os.environ)
        self.directory: Path = env.home / "run"
        self.most_kept: int = (env.max_upload_mb + 1) << 20
        self.trusted: tuple[Any, ...] = tuple(env.trusted_proxies)
        self.done = PollableMethodQueue()
        self.looked = 0.0

    # ---------------------------------------------------------------- what gunicorn calls

    def init_process(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.crowd = Crowd(limits.most_connections(self.cfg.worker_connections))
        self.threads = ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="request")
        self.probes = {
            path: ThreadPoolExecutor(threads, thread_name_prefix=f"probe{path}")
            for path, threads in PROBES.items()
        }
        self.selector = selectors.DefaultSelector()
        self.done.init()
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # Looking for garbage stops every thread. A request makes some ten thousand objects, few of them in circles.
        gc.set_threshold(20_000, 20, 50)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: the loop goes on until the requests it has are answered."""
        self.alive = False

    def run(self) -> None:
        # gunicorn writes to this pipe at each signal, which wakes the loop.
        self.selector.register(self.PIPE[0], selectors.EVENT_READ, self._woken)
        self.selector.register(self.done.fileno(), selectors.EVENT_READ, self._collect)
        for listener in self.sockets:
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
        while self.alive and self.ppid == os.getppid():
            self._turn()
        self._stop()

    # ---------------------------------------------------------------- the loop

    def _turn(self) -> None:
        self.notify()
        for key, _ in self.selector.select(LOOK_SECONDS):
            if isinstance(key.data, Connection):
                self._on_event(key.data)
            else:
                key.data()
        now = time.monotonic()
        if now - self.looked >= LOOK_SECONDS:
            self.looked = now
            for connection in self.crowd.overdue(now):
                self._too_late(connection, now)

    def _stop(self) -> None:
        now = time.monotonic()
        for listener in self.sockets:
            self.selector.unregister(listener)
            listener.close()
        end = now + self.cfg.graceful_timeout
        while self.crowd and time.monotonic() < end:
            for connection in self.crowd:
                patience = (
                    limits.STOP_SECONDS if connection.state is State.IDLE else self.cfg.graceful_timeout
                )
                connection.deadline = min(connection.deadline, now + patience)
            self._turn()
        for connection in list(self.crowd):
            self._close(connection)
        for pool in (self.threads, *self.probes.values()):
            pool.shutdown(wait=False, cancel_futures=True)

    def _woken(self) -> None:
        os.read(self.PIPE[0], 4096)

    def _collect(self) -> None:
        self.done.run_callbacks(None)

    def _accept(self, listener: Any) -> None:
        for _ in range(64):  # then the others are looked after
            try:
                sock, peer = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._make_room(self.crowd):
                    continue
                if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EINTR):
                    return
                raise
            self._welcome(sock, peer)

    def _welcome(self, sock: socket.socket, peer: Any) -> None:
        now = time.monotonic()
        connection = Connection(self.cfg, sock, peer, now, directory=self.directory, most_kept=self.most_kept)
        connection.address = counted_as(connection.address, self.trusted)
        others = self.crowd.of(connection.address)
        if connection.address and len(others) >= limits.MOST_OF_ONE_ADDRESS:
            room = self._make_room(others)
        else:
            room = not self.crowd.is_full or self._make_room(self.crowd)
        if not room:  # all of them are being worked for
            connection.close()
            return
        self.crowd.add(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def _make_room(self, among: Any) -> bool:
        goes = Crowd.who_goes(among)
        if goes is not None:
            self._close(goes)
        return goes is not None

    # ---------------------------------------------------------------- one connection

    def _on_event(self, connection: Connection) -> None:
        if connection not in self.crowd:  # it had to go in this very round
            return
        now = time.monotonic()
        try:
            if connection.state is State.SENDING:
                self._send(connection, now)
            elif connection.state is State.LINGERING:
                if not connection.take_away():
                    self._close(connection)
            else:
                self._receive(connection, now, connection.receive)
        except (OSError, EOFError):
            self._close(connection)

    def _receive(self, connection: Connection, now: float, read: Any) -> None:
        """Raises OSError and EOFError."""
        before = connection.state
        try:
            whole = read(now)
            if connection.state is State.BODY and before is not State.BODY:
                self._admit(connection)
        except Refused as refusal:
            self._refuse(connection, refusal, now)
        except (OSError, EOFError):
            raise
        except Exception as error:  # of parsing; gunicorn knows what to say to each
            self._tell(connection, error, now)
        else:
            if whole:
                self._work(connection)

    def _admit(self, connection: Connection) -> None:
        """Raises Refused: large bodies take room on the disk until they are whole."""
        if connection.length <= limits.LARGE_BODY:
            return
        large = [each for each in self.crowd if each.length > limits.LARGE_BODY and each is not connection]
        own = [each for each in large if connection.address and each.address == connection.address]
        if len(large) >= limits.MOST_LARGE_BODIES or len(own) >= limits.MOST_LARGE_BODIES_OF_ONE_ADDRESS:
            raise Refused(
                "503 Service Unavailable",
                "Other large files are just being received. Try again in a moment.",
                retry_after=10,
            )

    def _work(self, connection: Connection) -> None:
        request = connection.work()
        self.selector.unregister(connection.socket)
        pool = self.probes.get(request.path, self.threads)
        pool.submit(self._answer, connection, request).add_done_callback(
            lambda future: self.done.defer(self._worked, connection, future)
        )

    def _worked(self, connection: Connection, future: Future[bool]) -> None:
        """The thread gives the connection back."""
        now = time.monotonic()
        try:
            connection.keep = future.result()
            assert connection.answer is not None
            if connection.answer.flush():
                self.selector.register(connection.socket, selectors.EVENT_READ, connection)
                self._sent(connection, now)
            else:
                self.selector.register(connection.socket, selectors.EVENT_WRITE, connection)
                connection.send(now)
        except (OSError, EOFError):
            self._close(connection)

    def _send(self, connection: Connection, now: float) -> None:
        """Raises OSError and EOFError."""
        assert connection.answer is not None
        if connection.answer.flush():
            self.selector.modify(connection.socket, selectors.EVENT_READ, connection)
            self._sent(connection, now)
        else:
            connection.send(now)

    def _sent(self, connection: Connection, now: float) -> None:
        """The answer is out. Raises OSError and EOFError."""
        connection.done_with()
        if connection.keep and self.alive:
            connection.wait_for_request(now)
            self._receive(connection, now, connection.advance)
        else:
            self._close(connection)

    def _refuse(self, connection: Connection, refusal: Refused, now: float) -> None:
        connection.socket.send(refusal.answer(connection.request))
        connection.linger(now)

    def _tell(self, connection: Connection, error: Exception, now: float) -> None:
        connection.socket.setblocking(False)
        self.handle_error(connection.request, connection.socket, connection.peer, error)
        connection.linger(now)

    def _too_late(self, connection: Connection, now: float) -> None:
        """The deadline of its state has passed."""
        if connection.state not in (State.HEAD, State.BODY):
            self._close(connection)
            return
        try:
            self._refuse(connection, Refused("408 Request Timeout", "The request came too slowly."), now)
        except OSError:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection not in self.crowd:
            return
        self.crowd.remove(connection)
        if connection.socket.fileno() in self.selector.get_map():  # else a thread has it
            self.selector.unregister(connection.socket)
        connection.close()

    # ---------------------------------------------------------------- in a thread

    def _answer(self, connection: Connection, request: Request) -> bool:
        """Whether the connection may be used again. Raises ConnectionError when it is of no use any more."""
        out = connection.answer
        assert out is not None
        response = None
        try:
            response, environ = wsgi.create(request, out, connection.peer, connection.server, self.cfg)
            environ["wsgi.multithread"] = True
            environ["galley.client_is_gone"] = out.client_is_gone
            if not self.alive:
                response.force_close()
            result = self.wsgi(environ, response.start_response)
            try:
                if isinstance(result, environ["wsgi.file_wrapper"]):
                    response.write_file(result)
                else:
                    for item in result:
                        response.write(item)
                response.close()
            finally:
                if hasattr(result, "close"):
                    result.close()
        except ConnectionError:
            raise
        except Exception as error:
            if response is not None and response.headers_sent:
                self.log.exception("Error in the middle of an answer to %s", request.path)
                raise ConnectionAbortedError from error
            self.handle_error(request, out, connection.peer, error)
            return False
        out.flush()
        return not response.should_close()
