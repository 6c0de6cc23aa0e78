from __future__ import annotations

import threading

from models_app.foundation.turns import Turns

LONG = 60.0


def one_at_a_time(turns: Turns) -> bool:
    """Whether there is one place, neither lost nor doubled. Waits for it at most LONG."""
    turns.patience = LONG
    came = [threading.Event(), threading.Event()]
    leave = threading.Event()

    def work(number: int) -> None:
        with turns.turn():
            came[number].set()
            leave.wait(LONG)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    threads[0].start()
    first = came[0].wait(LONG / 2)
    threads[1].start()
    second = came[1].wait(0.02)
    leave.set()
    for thread in threads:
        thread.join(LONG)
    return first and not second


def test_no_more_than_so_many_work_at_a_time() -> None:
    turns, counting = Turns(most=2, patience=LONG), threading.Lock()
    working, most = 0, 0

    def work() -> None:
        nonlocal working, most
        for _ in range(50):
            with turns.turn():
                with counting:
                    working += 1
                    most = max(most, working)
                threading.Event().wait(0.0002)
                with counting:
                    working -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert (working, most) == (0, 2)


def test_a_thread_that_waits_for_something_else_lets_others_work() -> None:
    turns = Turns(most=1, patience=LONG)
    began, answered = threading.Event(), threading.Event()

    def ask_the_model() -> None:
        with turns.turn(), turns.aside():
            began.set()
            assert answered.wait(LONG)

    thread = threading.Thread(target=ask_the_model)
    thread.start()
    assert began.wait(LONG)
    with turns.turn():  # it would be LONG if the other still had it
        answered.set()
        thread.join(0.01)  # it wants its turn back, which is here
        assert thread.is_alive()
    thread.join(LONG)
    assert not thread.is_alive()


def test_one_that_hangs_keeps_nobody_waiting_for_ever_and_takes_no_place_along() -> None:
    turns = Turns(most=1, patience=0.01)
    passed = threading.Event()

    def impatient() -> None:
        with turns.turn():
            passed.set()

    with turns.turn():
        thread = threading.Thread(target=impatient)
        thread.start()
        thread.join(LONG)
    assert passed.is_set()
    assert turns.waiting == 0
    assert one_at_a_time(turns)


def test_the_first_to_come_goes_first() -> None:
    turns, order = Turns(most=1, patience=LONG), []

    def work(number: int) -> None:
        with turns.turn():
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    with turns.turn():
        for number, thread in enumerate(threads):
            thread.start()
            while turns.waiting <= number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(LONG)
    assert order == list(range(6))


def test_stepping_aside_without_a_turn_changes_nothing() -> None:
    turns = Turns(most=1, patience=LONG)
    with turns.aside():
        pass
    assert one_at_a_time(turns)
