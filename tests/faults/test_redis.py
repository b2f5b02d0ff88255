"""Redis away in the middle of training: nobody can be told, and nothing is lost."""

from __future__ import annotations

import time

from tests.stack import points


def test_training_goes_on_without_redis_and_no_point_is_lost(stack):
    stack.worker()
    stack.sweeper()
    job = stack.submit(stack.branch(), 100_000)
    stack.step(job, 20)
    stack.redis.stop()
    away_from = job.step
    time.sleep(2.5)
    job.refresh_from_db()
    assert job.step > away_from + 20, "training must not wait for Redis"
    stack.redis.start()
    stack.step(job, job.step + 20)

    from accsite.apps.training.services import jobs

    jobs.request_control(actor=None, job=job, kind="stop")
    stack.state(job, "CANCELLED")
    points(job)
    # The worker listens to the Redis that came back.
    stack.state(stack.submit(stack.branch("after"), 10), "SUCCEEDED", seconds=60)
