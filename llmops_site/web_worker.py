"""The web processes' worker: a connection gets a thread when something comes over it, not before.

Browsers open connections ahead of need. gunicorn's own worker waits up to five seconds with a thread for the first
byte of each, so that a few dozen such connections would make everybody else wait.
"""

from __future__ import annotations

import gc
import selectors
import time
from functools import partial

from gunicorn.workers.gthread import TConn, ThreadWorker


class PatientWorker(ThreadWorker):
    def load_wsgi(self) -> None:
        super().load_wsgi()
        # Looking for garbage stops every thread. A request makes some ten thousand objects, few of them in circles.
        gc.set_threshold(20_000, 20, 50)

    def enqueue_req(self, conn: TConn) -> None:
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        # as the base class does after its five seconds; there it goes on in on_pending_socket_readable
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _cap_keepalive(self, deadline: float) -> None:
        """Also connections over which nothing has come must not hold up an orderly end."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
