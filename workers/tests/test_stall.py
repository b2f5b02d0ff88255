"""A training that stands still is told of once, and again only after it has moved."""

from __future__ import annotations

import time

import pytest

from acc.training.protocols import Alarm
from workers.job import stall


@pytest.fixture
def clock(monkeypatch):
    """Return what time it is, in a list, to be changed."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def told() -> list[Alarm]:
    """Return where alarms go."""
    return []


def test_it_is_told_once_until_the_training_moves_again(clock, told, settings):
    settings.ACC_STALL_SECONDS, settings.ACC_STOP_SECONDS = 60, 30
    step = [0]
    watched = stall.Stall(lambda: step[0], told.append)
    for seconds in range(0, 200, 10):
        clock[0] = 1000 + seconds
        watched.look(False)
    assert [(alarm.kind, alarm.step) for alarm in told] == [("stall", 0)]
    assert told[0].message.startswith(
        "no step has ended for 60 s since step 0: one of the tasks or the model"
    )
    assert "A stop ends it within 30 s" in told[0].message
    step[0] = 7
    for seconds in range(200, 300, 10):
        clock[0] = 1000 + seconds
        watched.look(False)
    assert [alarm.step for alarm in told] == [0, 7]


def test_a_slow_training_and_a_paused_one_do_not_stand_still(clock, told, settings):
    settings.ACC_STALL_SECONDS = 60
    step = [0]
    watched = stall.Stall(lambda: step[0], told.append)
    for seconds in range(0, 500, 50):
        clock[0], step[0] = 1000 + seconds, step[0] + 1
        watched.look(False)
    for seconds in range(500, 1000, 50):
        clock[0] = 1000 + seconds
        watched.look(True)
    assert told == []
    watched.look(False)
    assert told == []
