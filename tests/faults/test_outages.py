"""What a job needs goes away in mid-training: the site, Redis, the database. It goes on, and nothing is lost.

One platform for all: what was away in one test is what the next one works with.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.faults.plugins import PACE, paced
from tests.faults.watching import Watcher
from tests.stack import Stack, Template, assert_undisturbed, reload

AWAY = [4.0, pytest.param(30.0, marks=pytest.mark.slow)]
LOCKED = [4.0, pytest.param(10.0, marks=pytest.mark.slow)]
"""Seconds, longer than the lease: nobody else can write either, so nobody can take the job away."""


@pytest.fixture(scope="module")
def stack(template: Template, tmp_path_factory, django_db_blocker) -> Iterator[Stack]:
    """Return a platform with a site, a sweeper and a worker whose paced jobs make ten steps a second."""
    with django_db_blocker.unblock(), template.stack(tmp_path_factory.mktemp("outages") / "home") as shared:
        shared.worker(TEST_PACE_SECONDS=PACE["TEST_PACE_SECONDS"])
        shared.sweeper()
        yield shared


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """Return the address of the site."""
    return stack.web()


def assert_done_at_once(stack: Stack, job) -> None:
    """Assert that a job ends in its first attempt, with the weights and the curve of an undisturbed one."""
    stack.state(job, "SUCCEEDED")
    assert (job.attempt, job.workers_lost) == (1, 0)
    assert_undisturbed(job)


@pytest.mark.long(20)
def test_a_killed_site_costs_a_job_nothing_and_its_watchers_no_point(stack, url):
    site = stack.processes[-1]
    job = stack.submit(paced(stack.branch("site killed")), 100, checkpoint_every_steps=30)
    watcher = Watcher(url, job)
    watcher.start()
    stack.until(lambda: watcher.end >= 5 or watcher.error, what="the watcher to see points")

    site.kill()
    stack.step(job, watcher.end + 20)
    assert watcher.end < job.step
    stack.web(urlsplit(url).port)

    stack.state(job, "SUCCEEDED")
    watcher.assert_saw_all()
    assert_done_at_once(stack, job)


@pytest.mark.parametrize("away", AWAY)
def test_with_redis_killed_training_goes_on_jobs_are_accepted_and_nothing_is_lost(stack, url, away):
    steps = int(10 * away) + 50
    job = stack.submit(paced(stack.branch("Redis killed")), steps, checkpoint_every_steps=50)
    stack.step(job, 10)
    watcher = Watcher(url, job)
    watcher.start()

    stack.redis.kill()
    back, before = time.monotonic() + away, job.step
    other = stack.submit(stack.branch("asked without Redis"), 10)
    assert other.state == "QUEUED"
    time.sleep(max(0.0, back - time.monotonic()))
    assert reload(job).step > before + 2 * away, "training must not wait for Redis"
    assert reload(other).state == "QUEUED"
    stack.redis.start()

    stack.state(job, "SUCCEEDED")
    watcher.assert_saw_all()
    assert_done_at_once(stack, job)
    # The worker listens to the Redis that came back, and the sweeper rings for what was asked in between.
    assert_done_at_once(stack, other)


@pytest.mark.parametrize("locked", LOCKED)
def test_training_goes_on_while_the_database_is_locked_and_no_point_is_lost(stack, locked):
    worker = stack.processes[0]
    job = stack.submit(
        paced(stack.branch("database locked")), int(10 * locked) + 30, checkpoint_every_steps=40
    )
    stack.step(job, 10)
    process = worker.job()
    other = sqlite3.connect(stack.home / "acc.sqlite3", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        written = reload(job).step
        time.sleep(locked)
        assert reload(job).step == written, "nothing can be written while somebody else holds the lock"
        assert worker.job() == process
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert_done_at_once(stack, job)
