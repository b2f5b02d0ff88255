"""A polite end: what runs is saved and handed back, and another worker ends it as if nothing had happened."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from accsite.apps.jobs.models import JobEvent, Worker
from accsite.apps.training.services import jobs
from tests.stack import assert_undisturbed, final, points, reload

STEPS = 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.long(14)
def test_a_drained_worker_hands_its_job_back_and_another_ends_it(stack, number):
    worker = stack.worker()
    job = stack.submit(stack.branch("drained"), STEPS)
    stack.step(job, 50)

    # As a terminal does it: to the whole group, not only to the worker.
    os.killpg(worker.popen.pid, number)
    assert worker.popen.wait(20) == 0
    job.refresh_from_db()
    assert job.state == "QUEUED"
    assert 50 <= final(job).job_step == job.step < STEPS
    assert f"{worker.name} was shut down" in job.message
    assert Worker.objects.get(name=worker.name).state == Worker.State.OFFLINE

    stack.second_worker()
    stack.state(job, "SUCCEEDED")
    assert job.workers_lost == 0
    assert_undisturbed(job)


@pytest.mark.long(18)
def test_a_paused_job_stays_paused_over_a_drain(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), STEPS)
    stack.step(job, 30)
    jobs.request_control(actor=None, job=job, kind="pause")
    stack.state(job, "PAUSED")
    assert worker.terminate() == 0

    successor = stack.second_worker()
    stack.state(job, "PAUSED")
    jobs.request_control(actor=None, job=job, kind="resume")
    stack.state(job, "SUCCEEDED")
    assert len(points(job)["total"]) == STEPS
    stack.until(lambda: successor.job() is None, what="its process to end")
    assert successor.terminate(10) == 0, "a worker without a job ends at once"


def test_what_was_steered_before_a_kill_is_steered_again_at_the_same_step(stack):
    worker = stack.worker()
    branch = stack.branch()
    job = stack.submit(branch, 300, checkpoint_every_steps=50)
    stack.until(lambda: final(job) is not None, what="a checkpoint")
    from accsite.apps.training.services import tasks

    tasks.set_weight(actor=None, task=branch.tasks.get(key="reconstruction"), weight=3.0)
    event: Any = JobEvent.objects.get(job=job, kind="set_weight")
    stack.until(lambda: reload(event).status == "APPLIED", what="the weight to change")
    if final(job).job_step <= event.step:
        stack.step(job, event.step + 5)
    os.kill(worker.job(), signal.SIGKILL)
    stack.state(job, "SUCCEEDED")
    curve = points(job)
    ratio = curve["weighted/reconstruction"] / curve["raw/reconstruction"]
    assert abs(ratio[: event.step] - 1).max() < 1e-5
    assert abs(ratio[event.step :] - 3).max() < 1e-4
