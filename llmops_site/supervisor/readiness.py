"""Asks the web process whether it answers and whether summaries can be served, and tells each once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from llmops_site.supervisor import readyz

PAUSE_SECONDS = 0.25
# A model that has to be fetched and converted first takes minutes.
LATER_PAUSE_SECONDS = 1.0
LATER_SECONDS = 30.0
TIMEOUT_SECONDS = 3.0


class ReadinessProbe:
    """Runs beside the supervisor until /readyz answers 200 for the first time.

    `on_answer` is called once, as soon as the web process answers, with whether summaries can be served and the
    detail; `on_ready` once they can, if that was not so at the first answer; `log` with each new detail between.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        on_answer: Callable[[bool, str], None],
        on_ready: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self._host = host
        self._port = port
        self._on_answer = on_answer
        self._on_ready = on_ready
        self._log = log
        self._since = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="readiness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        told = None
        while not self._stop.wait(self._pause()):
            try:
                answer = readyz.ask(self._host, self._port, seconds=TIMEOUT_SECONDS)
            except readyz.NoAnswer:  # not listening yet, or being restarted
                continue
            if told is None:
                self._on_answer(answer.ready, answer.detail)
            elif answer.ready:
                self._on_ready()
            if answer.ready:
                return
            if answer.detail != told:
                told = answer.detail
                self._log(f"pages answer; summaries are not served yet: {told}")

    def _pause(self) -> float:
        return PAUSE_SECONDS if time.monotonic() - self._since < LATER_SECONDS else LATER_PAUSE_SECONDS
