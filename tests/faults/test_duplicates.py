"""A message is a doorbell: rung twice, or too late, it makes one run."""

from __future__ import annotations

import pytest

from accsite.apps.jobs.models import JobEvent
from accsite.celery import app
from tests.stack import points


def ring(job) -> None:
    """Send another message for a job."""
    app.send_task("workers.run_job", args=[job.pk], queue=job.queue)


@pytest.mark.long(9)
def test_two_deliveries_of_one_message_make_one_run(stack):
    stack.worker()
    stack.second_worker()
    job = stack.submit(stack.branch(), 150)
    for _ in range(4):
        ring(job)
    stack.state(job, "SUCCEEDED")
    ring(job)
    other = stack.state(stack.submit(stack.branch("another"), 20), "SUCCEEDED")
    job.refresh_from_db()
    assert job.attempt == other.attempt == 1
    assert JobEvent.objects.filter(job=job, kind="state", payload__state="CLAIMED").count() == 1
    points(job)


def test_a_message_for_a_job_that_does_not_exist_disturbs_nobody(stack):
    stack.worker()
    app.send_task("workers.run_job", args=[999_999], queue="train")
    stack.state(stack.submit(stack.branch(), 10), "SUCCEEDED")


def test_a_doorbell_that_was_never_rung_is_rung_by_the_sweeper(stack):
    stack.worker()
    stack.redis.stop()
    job = stack.submit(stack.branch(), 10)
    assert job.outbox.get().rung_at is None
    stack.redis.start()
    stack.sweeper()
    stack.state(job, "SUCCEEDED", seconds=90)
