"""A recipe that loops for ever by itself, or takes too long, is ended with the line at which it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from acc.plugins import load_source
from acc.plugins.source import filename_of
from accsite.apps.recipes.models import RecipeRun
from workers.kinds.recipe import IDLE_SECONDS, Limits
from workers.recipes.record import Record

SOURCE = """from acc.api import Recipe

class Spin(Recipe):
    def run(self, ctx):
        while not ctx.is_set():
            pass
"""


@pytest.fixture
def spinning() -> Iterator[tuple[Record, threading.Thread]]:
    """A recipe that computes on a thread and calls no verb, and its record."""
    plugin = load_source(SOURCE, "recipes/spin.py")[0]
    end = threading.Event()
    thread = threading.Thread(target=plugin.cls().run, args=(end,), daemon=True)
    record = Record(
        RecipeRun(), 1, 1, filename_of("recipes/spin.py", plugin.sha256), "recipes/spin.py", max_verbs=10
    )
    thread.start()
    yield record, thread
    end.set()
    thread.join()


def test_a_recipe_that_calls_no_verb_for_long_is_named_with_its_line(spinning):
    record, thread = spinning
    limits = Limits(record, thread, time.time() + 100, 168)
    assert limits.broken() is None
    record.spoke_at -= IDLE_SECONDS + 1
    told = str(limits.broken())
    assert told.startswith("recipes/spin.py, line ")
    assert "called no verb for 120 s and was ended; does it loop for ever?" in told


def test_a_recipe_that_waits_for_a_job_may_be_silent(spinning):
    record, thread = spinning
    record.spoke_at -= IDLE_SECONDS + 1
    record.waiting = 1
    assert Limits(record, thread, time.time() + 100, 168).broken() is None


def test_a_recipe_that_takes_longer_than_its_hours_is_ended(spinning):
    record, thread = spinning
    assert "longer than its 168 hours" in str(Limits(record, thread, time.time() - 1, 168).broken())
