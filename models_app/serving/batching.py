"""Requests that wait for a slot's engine: a bounded queue, and workers that take what waits, together.

Nothing is held back to fill a batch: an idle worker takes what is there. While all workers are busy requests gather, so
batches grow by themselves with the load, up to what the engine computes at once. Texts of a batch are about equally
long, so that a short one neither waits for a long one nor is padded to its length. Equal requests are computed once,
as long as the first of them waits or is computed, and afterwards where the slot keeps what it wrote.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from cachetools import LRUCache

from models_app.ml.errors import MLError
from models_app.ml.prompting import PromptSpec

if TYPE_CHECKING:
    from models_app.ml.engines import Generation, GenerationRequest

CHARACTERS_PER_TOKEN = 4
# Of a batch the longest text has at most so many times the tokens of the shortest, or so many more.
LENGTH_RATIO, LENGTH_DIFFERENCE = 2, 64
ENTRY_BYTES = 1000  # what keeping one answer takes besides its text


def _bytes_of(generation: Generation) -> int:
    return ENTRY_BYTES + len(generation.text.encode("utf-8", "surrogatepass"))


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
class Work:
    """What is computed once, for all who ask the same meanwhile. Times are of time.monotonic()."""

    request: GenerationRequest
    prompt: PromptSpec
    tickets: list[Ticket] = field(default_factory=list)
    began: float = 0.0

    def __post_init__(self) -> None:
        #: equal for equal requests; a digest, so that what is kept has no text of an article
        self.key = blake2b(
            repr((self.request, self.prompt)).encode("utf-8", "surrogatepass"), digest_size=20
        ).digest()


@dataclass(eq=False)
class Ticket:
    """One caller's wait for an answer. Times are of time.monotonic()."""

    deadline: float
    arrived: float
    began: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    generation: Generation | None = None
    error: Exception | None = None
    kept: bool = False  #: answered with what had been written before

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
    shared: int = 0  #: of those, with the answer to an equal request that was being computed
    kept: int = 0  #: of those, with the answer to an earlier equal request
    abandoned: int = 0  #: nobody waited for the answer any more, so it was not computed
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
        keep_bytes: int = 0,
    ) -> None:
        """`most_tokens`: padded input tokens of a batch; `longest_tokens`: at which every text is cut; `keep_bytes`: of
        answers that are kept for equal requests later."""
        self._generate = generate
        self._workers = workers
        self._most_waiting = most_waiting
        self._most_requests = most_requests
        self._most_tokens = most_tokens
        self._longest_tokens = longest_tokens
        self._waiting: deque[Work] = deque()
        self._unfinished: dict[bytes, Work] = {}
        self._answers: LRUCache[bytes, Generation] = LRUCache(keep_bytes, getsizeof=_bytes_of)
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
        ticket = Ticket(deadline, arrived=time.monotonic())
        work = Work(request, prompt)
        with self._changed:
            if (answer := self._answers.get(work.key)) is not None:
                self.counters.served += 1
                self.counters.kept += 1
                ticket.kept, ticket.began = True, ticket.arrived
                ticket.finish(answer)
                return ticket
            if (equal := self._unfinished.get(work.key)) is not None:
                ticket.began = equal.began
                equal.tickets.append(ticket)
                return ticket
            if len(self._waiting) >= self._most_waiting:
                self.counters.refused += 1
                raise Overloaded(self._retry_after())
            work.tickets.append(ticket)
            self._unfinished[work.key] = work
            self._waiting.append(work)
            self._changed.notify()
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """Nobody waits for this answer any more. What is being computed is finished; what only waits is not begun."""
        with self._changed:
            for work in self._waiting:
                if ticket in work.tickets:
                    work.tickets.remove(ticket)
                    self.counters.abandoned += 1
                    if not work.tickets:
                        self._waiting.remove(work)
                        del self._unfinished[work.key]
                    return

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

    def _take(self) -> list[Work] | None:
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

    def _pick(self, idle: int) -> list[Work]:
        """What has waited longest and, shared out among idle workers, what is most like it in length, of its prompt."""
        share = min(self._most_requests, math.ceil(len(self._waiting) / idle))
        first = self._waiting.popleft()
        if share == 1:
            return [first]
        wanted = self._tokens(first)
        alike = sorted(
            ((abs(self._tokens(work) - wanted), age, work) for age, work in enumerate(self._waiting)
             if work.prompt == first.prompt),
            key=lambda found: found[:2],
        )  # fmt: skip
        chosen, shortest, longest = {-1: first}, wanted, wanted
        for _, age, work in alike:
            if len(chosen) == share:
                break
            tokens = self._tokens(work)
            low, high = min(shortest, tokens), max(longest, tokens)
            if high > max(LENGTH_RATIO * low, low + LENGTH_DIFFERENCE):
                continue
            if high * (len(chosen) + 1) > self._most_tokens:
                continue
            chosen[age], shortest, longest = work, low, high
            self._waiting.remove(work)
        return [work for _, work in sorted(chosen.items(), key=lambda item: item[0])]

    def _tokens(self, work: Work) -> int:
        """About so many: the engine counts them when it is the request's turn."""
        return min(self._longest_tokens, len(work.request.text) // CHARACTERS_PER_TOKEN + 1)

    def _compute(self, batch: list[Work], now: float) -> None:
        live = []
        with self._changed:
            for work in batch:
                work.began = now
                for ticket in work.tickets:
                    ticket.began = now
                if max(ticket.deadline for ticket in work.tickets) > now:
                    live.append(work)
                else:
                    self.counters.expired += len(work.tickets)
                    self._finish(work, None, DeadlinePassed())
        if live:
            self._generate_all(live)

    def _generate_all(self, batch: list[Work]) -> None:
        try:
            generations = self._generate([work.request for work in batch], batch[0].prompt)
        except Exception as error:
            # one request may have spoilt it for the others: each is tried alone, once
            if len(batch) > 1:
                for work in batch:
                    self._generate_all([work])
                return
            with self._changed:
                self.counters.failed += not isinstance(error, MLError | ValueError)
                self._finish(batch[0], None, error)
            return
        with self._changed:
            for work, generation in zip(batch, generations, strict=True):
                self.counters.served += len(work.tickets)
                self.counters.shared += len(work.tickets) - 1
                self._keep(work, generation)
                self._finish(work, generation)

    def _keep(self, work: Work, generation: Generation) -> None:
        if _bytes_of(generation) <= self._answers.maxsize:
            self._answers[work.key] = generation

    def _finish(self, work: Work, generation: Generation | None, error: Exception | None = None) -> None:
        del self._unfinished[work.key]
        for ticket in work.tickets:
            ticket.finish(generation, error)
