"""Training on one device and measuring on another, at once: neither waits for the other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.training import blocks
from accsite.apps.training.models import AutoEvaluate, LossBlock
from accsite.apps.training.services import jobs
from tests.faults.plugins import PACE, paced, slow_to_measure
from tests.stack import assert_undisturbed, children_of, final, points, reload

pytestmark = pytest.mark.slow


def pin(process, core: int) -> None:
    """Bind a worker, and all that it starts from now on, to one core."""
    pids = [process.popen.pid, *children_of(process.popen.pid)]
    for thread in [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]:
        os.sched_setaffinity(int(thread.name), {core})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores, one for each worker")
def test_neither_training_nor_measuring_waits_for_the_other(stack):
    cores = sorted(os.sched_getaffinity(0))[:2]
    trainer, evaluator = stack.worker("train-1", "train", **PACE), stack.worker("eval-1", "eval,default")
    for process, core in zip((trainer, evaluator), cores, strict=True):
        pin(process, core)
    branch = paced(stack.branch())
    branch.auto_evaluate = AutoEvaluate.OFF
    branch.save()
    job = stack.submit(branch, 100_000, checkpoint_every_steps=20)
    stack.until(lambda: final(job) is not None, what="a checkpoint")

    # Measured while the training runs...
    measured = jobs.submit_evaluation(actor=None, checkpoint=final(job), eval={"suite": ["metrics"]})
    stack.state(measured, "SUCCEEDED")
    assert reload(job).state == "RUNNING"
    assert {frozenset(os.sched_getaffinity(process.popen.pid)) for process in (trainer, evaluator)} == {
        frozenset({core}) for core in cores
    }
    assert os.sched_getaffinity(trainer.job()) == {cores[0]}
    # ...which made its steps meanwhile, at least half of those that its pace allows.
    assert measured.started_at
    assert measured.finished_at
    began, ended = measured.started_at.timestamp(), measured.finished_at.timestamp()
    stack.until(lambda: clock_of(job)[-1] > ended, what="the points of that time")
    made = ((clock_of(job) > began) & (clock_of(job) < ended)).sum()
    assert made >= 0.5 * (ended - began) / float(PACE["TEST_PACE_SECONDS"]) - 1

    # And a training begins at once though something is being measured.
    jobs.request_control(actor=None, job=job, kind="stop")
    stack.state(job, "CANCELLED")
    points(job)
    branch = slow_to_measure(stack.branch("measured slowly"))
    trained = stack.state(stack.submit(branch, 5), "SUCCEEDED")
    measuring = stack.state(Job.objects.get(kind="evaluate", checkpoint=final(trained)), "RUNNING")
    following = stack.submit(branch, 30)
    stack.state(following, "SUCCEEDED")
    assert reload(measuring).state == "RUNNING"
    assert_undisturbed(following)


def clock_of(job) -> np.ndarray:
    """Return the wall clock of each step of a job, in seconds."""
    clocks = []
    for row in LossBlock.objects.filter(job=job).order_by("start"):
        steps = blocks.load(row.start, row.series, row.values, row.clock)
        clocks.append(np.interp(np.arange(steps.start, steps.stop), steps.clock[:, 0], steps.clock[:, 1]))
    return np.concatenate(clocks)
