"""The database locked in the middle of training: nothing is lost, and only the threads that write wait for it."""

from __future__ import annotations

import sqlite3
import time

from tests.stack import assert_undisturbed


def test_training_goes_on_while_the_database_is_locked_and_no_point_is_lost(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), 400)
    stack.step(job, 20)
    other = sqlite3.connect(stack.home / "acc.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        written = job.step
        # Longer than the lease: nobody else can write either, so nobody can take the job away.
        time.sleep(4)
        job.refresh_from_db()
        assert job.step <= written + 60, "nothing can be written while somebody else holds the lock"
        assert worker.job() is not None
    finally:
        other.execute("ROLLBACK")
        other.close()
    stack.state(job, "SUCCEEDED")
    assert job.attempt == 1
    assert_undisturbed(job)
