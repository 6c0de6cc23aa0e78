from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from models_app.ml.prompting import PromptSpec
from models_app.serving.batching import ENTRY_BYTES, Batcher, DeadlinePassed, Overloaded, Ticket

PROMPT = PromptSpec("prefix", "", "summarize: {text}")
OTHER = PromptSpec("prefix", "", "tl;dr: {text}")


@dataclass(frozen=True)
class Asked:
    """As much of an engine's request as a batcher looks at."""

    text: str


@dataclass(frozen=True)
class Written:
    text: str


class HeldEngine:
    """Computes when told to, and remembers what it was given together."""

    def __init__(self) -> None:
        self.batches: list[tuple[PromptSpec, list[str]]] = []
        self.go = threading.Semaphore(0)
        self.began = threading.Semaphore(0)

    def __call__(self, requests: Sequence[Asked], prompt: PromptSpec) -> list[Written]:
        self.batches.append((prompt, [request.text for request in requests]))
        self.began.release()
        assert self.go.acquire(timeout=5)
        if any(request.text == "poison" for request in requests):
            raise RuntimeError("cannot read this")
        return [Written(request.text.upper()) for request in requests]


@pytest.fixture
def engine() -> HeldEngine:
    return HeldEngine()


def batcher(engine: HeldEngine, **options: int) -> Batcher:
    sizes = {
        "workers": 1,
        "most_waiting": 100,
        "most_requests": 4,
        "most_tokens": 400,
        "longest_tokens": 300,
        **options,
    }
    return Batcher(engine, **sizes)  # type: ignore[arg-type]  # it only ever passes requests through


def submit(to: Batcher, text: str, *, prompt: PromptSpec = PROMPT, seconds: float = 5) -> Ticket:
    return to.submit(Asked(text), prompt=prompt, deadline=time.monotonic() + seconds)  # type: ignore[arg-type]


def text_of(ticket: Ticket) -> str:
    return ticket.result().text


def let_go(engine: HeldEngine, times: int = 50) -> None:
    for _ in range(times):
        engine.go.release()


def test_an_idle_worker_takes_a_request_at_once_and_alone(engine: HeldEngine) -> None:
    ticket = submit(batcher(engine), "one")
    assert engine.began.acquire(timeout=1)
    let_go(engine)
    assert text_of(ticket) == "ONE"
    assert engine.batches == [(PROMPT, ["one"])]


def test_requests_that_gathered_meanwhile_are_computed_together_in_their_order(engine: HeldEngine) -> None:
    queue = batcher(engine)
    first = submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    others = [submit(queue, f"n{number}") for number in range(6)]
    let_go(engine)
    assert [text_of(ticket) for ticket in [first, *others]] == ["FIRST", *(f"N{n}" for n in range(6))]
    assert [texts for _, texts in engine.batches] == [["first"], ["n0", "n1", "n2", "n3"], ["n4", "n5"]]


def test_a_batch_has_one_prompt_and_nobody_is_passed_over_for_good(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    tickets = [submit(queue, f"n{number}", prompt=OTHER if number % 2 else PROMPT) for number in range(4)]
    let_go(engine)
    for ticket in tickets:
        ticket.result()
    assert engine.batches[1:] == [(PROMPT, ["n0", "n2"]), (OTHER, ["n1", "n3"])]


def test_long_texts_share_a_batch_only_up_to_the_budget(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    tickets = [
        submit(queue, letter * size) for letter, size in zip("vwxyz", (900, 900, 700, 9000, 40), strict=True)
    ]
    let_go(engine)
    for ticket in tickets:
        ticket.result()
    # 225 tokens twice are more than 400; a text of 9,000 characters is cut to 300 tokens
    assert [[len(text) for text in texts] for _, texts in engine.batches[1:]] == [
        [900],
        [900],
        [700],
        [9000],
        [40],
    ]


def test_what_waits_is_shared_out_among_idle_workers(engine: HeldEngine) -> None:
    queue = batcher(engine, workers=2)
    held = [submit(queue, "a"), submit(queue, "b")]
    for _ in held:
        assert engine.began.acquire(timeout=1)
    tickets = [submit(queue, f"n{number}") for number in range(4)]
    let_go(engine)
    for ticket in tickets:
        ticket.result()
    assert sorted(len(texts) for _, texts in engine.batches[2:]) in ([2, 2], [1, 3], [4])
    assert sorted(text for _, texts in engine.batches[2:] for text in texts) == ["n0", "n1", "n2", "n3"]


def test_a_full_queue_refuses_and_says_when_to_come_back(engine: HeldEngine) -> None:
    queue = batcher(engine, most_waiting=3)
    submit(queue, "computed")
    assert engine.began.acquire(timeout=1)
    for number in range(3):
        submit(queue, f"n{number}")
    with pytest.raises(Overloaded) as refused:
        submit(queue, "one too many")
    assert 1 <= refused.value.retry_after <= 60
    assert queue.counters.refused == 1
    let_go(engine)


def test_a_request_whose_time_is_over_is_not_computed(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    late = submit(queue, "late", seconds=0.05)
    with pytest.raises(DeadlinePassed):
        late.result()
    let_go(engine)
    assert queue.drain(2)
    assert [texts for _, texts in engine.batches] == [["first"]]
    assert queue.counters.expired == 1


def test_a_request_that_the_model_cannot_read_does_not_fail_its_neighbours(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    good, bad, also_good = (submit(queue, text) for text in ("good", "poison", "also good"))
    let_go(engine)
    assert (text_of(good), text_of(also_good)) == ("GOOD", "ALSO GOOD")
    with pytest.raises(RuntimeError, match="cannot read this"):
        bad.result()
    assert queue.counters.failed == 1
    assert queue.counters.served == 3


def test_draining_waits_for_what_is_computed(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    assert not queue.drain(0.05)
    let_go(engine)
    assert queue.drain(2)


# ---------------------------------------------------------------- equal requests, and those that nobody waits for


def test_equal_requests_are_computed_once_whether_they_wait_or_are_computed(engine: HeldEngine) -> None:
    queue = batcher(engine)
    computed = submit(queue, "same")
    assert engine.began.acquire(timeout=1)
    joined = submit(queue, "same")
    waits, also_waits = submit(queue, "other"), submit(queue, "other")
    assert queue.waiting == 1
    let_go(engine)
    assert {text_of(ticket) for ticket in (computed, joined)} == {"SAME"}
    assert {text_of(ticket) for ticket in (waits, also_waits)} == {"OTHER"}
    assert [texts for _, texts in engine.batches] == [["same"], ["other"]]
    assert (queue.counters.served, queue.counters.shared) == (4, 2)
    assert joined.queue_ms == 0.0, "it did not wait for its turn"


def test_the_same_text_with_another_prompt_is_another_request(engine: HeldEngine) -> None:
    queue = batcher(engine)
    submit(queue, "same")
    assert engine.began.acquire(timeout=1)
    other = submit(queue, "same", prompt=OTHER)
    let_go(engine)
    other.result()
    assert engine.batches == [(PROMPT, ["same"]), (OTHER, ["same"])]


def test_an_equal_request_that_waits_longer_is_answered_though_the_first_ones_time_is_over(
    engine: HeldEngine,
) -> None:
    queue = batcher(engine)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    impatient, patient = submit(queue, "same", seconds=0.05), submit(queue, "same")
    with pytest.raises(DeadlinePassed):
        impatient.result()
    let_go(engine)
    assert text_of(patient) == "SAME"


def test_what_fails_fails_for_all_who_asked_it_and_is_tried_when_asked_again(engine: HeldEngine) -> None:
    queue = batcher(engine, keep_bytes=100_000)
    let_go(engine)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot read this"):
            submit(queue, "poison").result()
    assert len(engine.batches) == 2


def test_what_nobody_waits_for_any_more_is_not_computed(engine: HeldEngine) -> None:
    queue = batcher(engine)
    computed = submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    alone, one, another = submit(queue, "alone"), submit(queue, "shared"), submit(queue, "shared")
    for ticket in (computed, alone, one):
        queue.abandon(ticket)
    assert queue.waiting == 1
    let_go(engine)
    assert text_of(another) == "SHARED"
    assert queue.drain(2)
    assert [texts for _, texts in engine.batches] == [["first"], ["shared"]]
    assert queue.counters.abandoned == 2, "the first was being computed and was finished"
    let_go(engine)
    assert text_of(submit(queue, "alone")) == "ALONE"


def test_answers_are_kept_for_equal_requests_up_to_so_many_bytes_the_oldest_going_first(
    engine: HeldEngine,
) -> None:
    queue = batcher(engine, keep_bytes=2 * (ENTRY_BYTES + 10))
    let_go(engine)
    for text in ("a", "b", "a", "c"):
        assert text_of(submit(queue, text)) == text.upper()
    assert [texts for _, texts in engine.batches] == [["a"], ["b"], ["c"]]
    again = submit(queue, "a")
    assert (again.kept, again.queue_ms, text_of(again)) == (True, 0.0, "A")
    assert not submit(queue, "b").kept, "it had been asked least lately"
    assert queue.counters.kept == 2


def test_without_the_setting_nothing_is_kept(engine: HeldEngine) -> None:
    queue = batcher(engine)
    let_go(engine)
    for _ in range(2):
        assert not submit(queue, "a").kept
        assert queue.drain(2)
    assert len(engine.batches) == 2


def test_a_short_text_is_not_computed_with_one_of_more_than_twice_its_length(engine: HeldEngine) -> None:
    queue = batcher(engine, most_requests=8, most_tokens=10_000, longest_tokens=2_000)
    submit(queue, "first")
    assert engine.began.acquire(timeout=1)
    sizes = (2000, 400, 3900, 380, 4100, 1000, 120)
    tickets = [submit(queue, "x" * size) for size in sizes]
    let_go(engine)
    for ticket in tickets:
        ticket.result()
    computed = [[len(text) for text in texts] for _, texts in engine.batches[1:]]
    # the oldest and what is most like it in length, then the oldest of what is left
    assert computed == [[2000, 1000], [400, 380], [3900, 4100], [120]]
