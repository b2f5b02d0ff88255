"""A training whose plugin was mended goes on at its newest checkpoint, and its history is one."""

from __future__ import annotations

import pytest

from accsite.apps.training.services import jobs
from accsite.apps.training.services.resuming import resume
from tests.faults.plugins import odd_task
from tests.stack import final, points, reload

BREAKS = "self.n = getattr(self, 'n', 0) + 1\n        if self.n == 70: raise LookupError('no such thing')"


def test_a_failed_job_goes_on_with_the_mended_plugin_and_every_step_is_there_once(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(branch, BREAKS)
    job = stack.state(stack.submit(branch, 120, checkpoint_every_steps=20), "FAILED")
    before = points(job)["total"]
    assert job.step == 69
    task = branch.tasks.get(task_class="Odd")
    task.delete()  # it is attached anew by the mended file, as if it had never been off
    odd_task(branch, "pass")
    resumed = resume(actor=None, job=job)
    assert "resumed at step 60" in resumed.message
    assert "with the source of Odd as it is now" in resumed.message
    stack.state(job, "SUCCEEDED")
    after = points(job)["total"]
    assert len(after) == 120
    assert (after[:60] == before[:60]).all()
    assert (final(job).kind, final(job).job_step) == ("final", 120)
    assert reload(branch).head == final(job)
    assert (job.attempt, job.message) == (2, "")


@pytest.mark.long(5)
def test_a_stopped_job_goes_on_as_if_it_had_not_been_stopped(stack):
    stack.worker()
    branch = stack.branch()
    job = stack.submit(branch, 400)
    stack.step(job, 30)
    jobs.request_control(actor=None, job=job, kind="stop")
    stack.state(job, "CANCELLED")
    reached = job.step
    assert reached < 400
    resume(actor=None, job=job)
    stack.state(job, "SUCCEEDED")
    assert len(points(job)["total"]) == 400
    assert reload(branch).head == final(job)
