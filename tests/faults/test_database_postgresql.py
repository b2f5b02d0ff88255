"""The table of jobs locked on PostgreSQL in the middle of training: nothing is lost."""

from __future__ import annotations

import time

import psycopg
import pytest

from tests.faults.plugins import PACE, paced
from tests.stack import assert_undisturbed

LOCKED_SECONDS = 10.0


@pytest.mark.slow
def test_training_goes_on_while_the_jobs_are_locked_for_10_s_on_postgresql_and_no_point_is_lost(
    make_stack, postgresql_url
):
    stack = make_stack(postgresql=postgresql_url)
    worker = stack.worker(**PACE)
    job = stack.submit(paced(stack.branch()), 130, checkpoint_every_steps=40)
    stack.step(job, 10)
    process = worker.job()
    with psycopg.connect(stack.database_url) as other:
        # Readers wait for it, too.
        other.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        time.sleep(LOCKED_SECONDS)
        other.rollback()
    assert worker.job() == process
    stack.state(job, "SUCCEEDED")
    assert job.attempt == 1
    assert_undisturbed(job)
