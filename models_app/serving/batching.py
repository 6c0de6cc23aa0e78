"""Requests that wait for a slot's engine: a bounded queue, and workers that take what waits, together.

Nothing is held back to fill a batch: an idle worker takes what is there. While all workers are busy requests gather, so
batches grow by themselves with the load, up to what the engine computes at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models_app.ml.errors import MLError
from models_app.ml.prompting import PromptSpec

if TYPE_CHECKING:
    from models_app.ml.engines import Generation, GenerationRequest

CHARACTERS_PER_TOKEN = 4

# What the engine does with requests of one prompt.
Generate = Callable[[Sequence["GenerationRequest"], PromptSpec], "list[Generation]"]


class Overloaded(Exception):
    """As many requests wait as may wait. `retry_after`: seconds until the queue has moved on, by its recent pace."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class DeadlinePassed(Exception):
    """The request waited, or was computed, longer than its caller would."""


@dataclass(eq=False)
class Ticket:
    """One request on its way. Times are of time.monotonic()."""

    request: GenerationRequest
    prompt: PromptSpec
    deadline: float
    arrived: float
    began: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    generation: Generation | None = None
    error: Exception | None = None

    @property
    def queue_ms(self) -> float:
        return max(0.0, self.began - self.arrived) * 1000

    def result(self) -> Generation:
        """Waits, at most until the deadline. Raises DeadlinePassed, or what the engine raised."""
        if not self.done.wait(max(0.0, self.deadline - time.monotonic())):
            raise DeadlinePassed
        if self.error is not None:
            raise self.error
        assert self.generation is not None  # nosec B101
        return self.generation

    def finish(self, generation: Generation | None, error: Exception | None = None) -> None:
        self.generation, self.error = generation, error
        self.done.set()


@dataclass
class Counters:
    """Since the slot started."""

    served: int = 0
    refused: int = 0
    expired: int = 0
    failed: int = 0
    batches: int = 0
    busy_seconds: float = 0.0


class Batcher:
    def __init__(
        self,
        generate: Generate,
        *,
        workers: int,
        most_waiting: int,
        most_requests: int,
        most_tokens: int,
        longest_tokens: int,
    ) -> None:
        """`most_tokens`: padded input tokens of a batch; `longest_tokens`: at which every text is cut."""
        self._generate = generate
        self._workers = workers
        self._most_waiting = most_waiting
        self._most_requests = most_requests
        self._most_tokens = most_tokens
        self._longest_tokens = longest_tokens
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._active = 0
        self._closed = False
        self._pace = 1.0  # seconds a request takes of one worker, smoothed
        self.counters = Counters()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return self._active

    def submit(self, request: GenerationRequest, *, prompt: PromptSpec, deadline: float) -> Ticket:
        """Raises Overloaded."""
        ticket = Ticket(request, prompt, deadline, arrived=time.monotonic())
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                self.counters.refused += 1
                raise Overloaded(self._retry_after())
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def _retry_after(self) -> int:
        return min(60, max(1, math.ceil(len(self._waiting) * self._pace / self._workers)))

    def drain(self, seconds: float) -> bool:
        """Wait until nothing waits and nothing is computed; true if that was so in time."""
        until = time.monotonic() + seconds
        while self._waiting or self._active:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # ---------------------------------------------------------------- the workers' side

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            began = time.monotonic()
            try:
                self._compute(batch, began)
            finally:
                seconds = time.monotonic() - began
                with self._changed:
                    self._active -= len(batch)
                    self.counters.batches += 1
                    self.counters.busy_seconds += seconds
                    self._pace += 0.2 * (seconds / len(batch) - self._pace)

    def _take(self) -> list[Ticket] | None:
        with self._changed:
            self._idle += 1
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch = self._pick(self._idle) if self._waiting else None
            self._idle -= 1
            self._active += len(batch or ())
            if self._waiting:
                self._changed.notify()
            return batch

    def _pick(self, idle: int) -> list[Ticket]:
        """The longest waiting request and those behind it with the same prompt, shared out among idle workers."""
        share = min(self._most_requests, math.ceil(len(self._waiting) / idle))
        first = self._waiting.popleft()
        batch, longest = [first], self._tokens(first)
        if share > 1:
            for ticket in list(self._waiting):
                longest = max(longest, self._tokens(ticket))
                if len(batch) == share or longest * (len(batch) + 1) > self._most_tokens:
                    break
                if ticket.prompt == first.prompt:
                    self._waiting.remove(ticket)
                    batch.append(ticket)
        return batch

    def _tokens(self, ticket: Ticket) -> int:
        """About so many: the engine counts them when it is the request's turn."""
        return min(self._longest_tokens, len(ticket.request.text) // CHARACTERS_PER_TOKEN + 1)

    def _compute(self, batch: list[Ticket], now: float) -> None:
        live = []
        for ticket in batch:
            ticket.began = now
            if ticket.deadline <= now:
                self.counters.expired += 1
                ticket.finish(None, DeadlinePassed())
            else:
                live.append(ticket)
        if live:
            self._generate_all(live)

    def _generate_all(self, batch: list[Ticket]) -> None:
        try:
            generations = self._generate([ticket.request for ticket in batch], batch[0].prompt)
        except Exception as error:
            # one request may have spoilt it for the others: each is tried alone, once
            if len(batch) > 1:
                for ticket in batch:
                    self._generate_all([ticket])
                return
            self.counters.failed += not isinstance(error, MLError | ValueError)
            batch[0].finish(None, error)
            return
        for ticket, generation in zip(batch, generations, strict=True):
            self.counters.served += 1
            ticket.finish(generation)
