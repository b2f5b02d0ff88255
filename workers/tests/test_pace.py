"""A watcher looks at once when a file is saved now and then, and only so often when saves do not end."""

from __future__ import annotations

import time

import pytest

from workers.plugins.hints import Pace


def test_a_few_looks_are_free_and_then_they_keep_a_distance() -> None:
    pace = Pace(burst=3, per_second=4)
    for _ in range(3):
        assert pace.next() <= time.monotonic()
        pace.spend(1)
    assert pace.next() - time.monotonic() == pytest.approx(0.25, abs=0.02)


def test_rest_makes_up_for_a_storm_and_no_more() -> None:
    pace = Pace(burst=2, per_second=50)
    for _ in range(4):
        pace.spend(1)
    time.sleep(0.12)
    for _ in range(2):
        assert pace.next() <= time.monotonic()
        pace.spend(1)
    assert pace.next() > time.monotonic()


def test_hundreds_of_files_saved_at_once_do_not_put_the_next_look_far_off() -> None:
    pace = Pace()
    pace.spend(500)
    assert pace.next() - time.monotonic() < 1.7
