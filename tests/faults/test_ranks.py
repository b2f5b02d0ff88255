"""A job of several ranks loses one, at any place: it goes on from its last checkpoint, and nothing hangs."""

from __future__ import annotations

import os
import signal

import pytest

from accsite.apps.training.models import JobEvent
from tests.stack import children_of, final, points
from workers.processes import is_alive

STEPS = 200
EVERY = 40


def running_on_two(stack):
    """Return a worker and its job of two ranks, some steps after a checkpoint, and the other rank's process."""
    worker = stack.worker()
    job = stack.submit(stack.branch("ranks"), STEPS, ranks=2, checkpoint_every_steps=EVERY)
    stack.until(lambda: final(job) is not None, what="a checkpoint", seconds=120)
    stack.step(job, final(job).job_step + 2)
    (other,) = children_of(worker.job())
    return worker, job, other


def lost(job) -> str:
    """Return what was said when the job was lost."""
    return JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").get().message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_stands_still_sends_the_job_back_to_its_checkpoint(stack, number):
    _, job, other = running_on_two(stack)
    os.kill(other, number)
    stack.state(job, "SUCCEEDED", seconds=180)
    assert (job.attempt, job.workers_lost) == (2, 1)
    assert "rank 1 was killed by SIGKILL" in lost(job)
    assert "goes on from its last checkpoint" in lost(job)
    assert final(job).job_step == STEPS
    points(job)
    assert not is_alive(other)


def test_the_ranks_of_a_killed_job_die_with_it_and_it_goes_on(stack):
    worker, job, other = running_on_two(stack)
    os.kill(worker.job(), signal.SIGKILL)
    stack.until(lambda: not is_alive(other), what="the other rank to die", seconds=5)
    stack.state(job, "SUCCEEDED", seconds=180)
    assert job.workers_lost == 1
    points(job)


def test_more_ranks_than_the_worker_has_cores_end_the_job_with_a_sentence(stack):
    stack.worker()
    ranks = min(64, len(os.sched_getaffinity(0)) + 1)
    job = stack.submit(stack.branch("many"), 10, ranks=ranks, batch_size=64)
    stack.state(job, "FAILED")
    assert f"{ranks} ranks need as many processor cores" in job.message
