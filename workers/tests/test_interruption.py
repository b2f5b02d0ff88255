"""The main thread of a job is interrupted where that is safe, and nowhere else."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from workers.job.interruption import Interrupted, Interruption


@pytest.fixture
def interruption():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    made = Interruption()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_ends_what_may_be_interrupted(interruption):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(Interrupted) as caught, interruption.raising():
        time.sleep(5)
    assert caught.value.reason == "drain"


def test_another_thread_can_ask_and_the_first_reason_counts(interruption):
    threading.Timer(0.1, interruption.ask, ("stop",)).start()
    with pytest.raises(Interrupted) as caught, interruption.raising():
        time.sleep(5)
    interruption.ask("fenced")
    assert caught.value.reason == interruption.reason == "stop"


def test_outside_it_waits_for_the_next_safe_place(interruption):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    with pytest.raises(Interrupted), interruption.raising():
        raise AssertionError("not reached")


def test_a_listener_is_told_instead_also_of_what_came_before_it(interruption):
    told: list[str] = []
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    interruption.listen(lambda: told.append("drain"))
    assert told == ["drain"]


def test_a_plugin_that_catches_exceptions_does_not_swallow_it(interruption):
    assert not issubclass(Interrupted, Exception)
