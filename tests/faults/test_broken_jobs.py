"""A job that cannot go on ends with a sentence that says why, and keeps what it had."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.training.services import jobs
from tests.faults.plugins import odd_task
from tests.stack import assert_undisturbed, final, points, reload
from workers.machine.processes import is_alive


def test_a_plugin_that_raises_fails_its_job_with_the_error_and_where_it_was(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(branch, "raise LookupError('no such thing')")
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert job.message == (
        "task 'odd': Odd failed, LookupError: no such thing (tasks/odd.py, line 9) at step 0"
    )
    assert "tasks/odd.py" in job.traceback
    assert "compute_loss" in job.traceback


def test_a_plugin_that_ends_its_process_does_not_end_the_worker(stack):
    worker = stack.worker()
    branch = stack.branch()
    odd_task(branch, "os._exit(7)")
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert "3 lost workers" in job.message
    assert "exited with status 7" in job.message
    assert worker.alive
    stack.state(stack.submit(stack.branch("after"), 10), "SUCCEEDED")


def test_a_loss_that_is_no_number_fails_the_job_with_step_and_task(stack):
    stack.worker()
    branch = stack.branch()
    nan = "output = type('O', (), {'mean': output.mean * float('nan')})()"
    odd_task(branch, nan)
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert "odd" in job.message
    assert "step 0" in job.message

    branch = stack.branch("later")
    odd_task(branch, f"self.n = getattr(self, 'n', 0) + 1\n        if self.n > 5: {nan}", name="Later")
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert "later" in job.message
    assert "step 5" in job.message
    assert JobEvent.objects.filter(job=job, kind="alarm", payload__alarm="nan").exists()


def test_a_process_that_outlives_its_job_is_killed_by_its_worker(stack):
    worker = stack.worker()
    stack.sweeper()
    branch = stack.branch()
    job = stack.state(stack.submit(branch, 100_000), "RUNNING")
    frozen = stack.until(worker.job, what="its process")
    os.kill(frozen, signal.SIGSTOP)
    stack.until(lambda: not is_alive(frozen), what="its end")
    stack.until(lambda: reload(job).attempt == 2, what="another attempt")


@pytest.mark.long(16)
def test_a_changed_checkpoint_is_refused_with_both_hashes_and_the_one_before_is_taken(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), 200, checkpoint_every_steps=40)
    stack.until(lambda: job.checkpoints.count() >= 2, what="two checkpoints")
    both = worker.job(), worker.record_keeper()
    for process in both:
        os.kill(process, signal.SIGSTOP)  # so that no other comes between
    newest = final(job)
    file = Path(stack.home / "blobs" / newest.file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    for process in both:
        os.kill(process, signal.SIGKILL)
    stack.state(job, "SUCCEEDED")
    told = JobEvent.objects.get(job=job, kind="alarm")
    assert newest.sha256 in told.message
    assert "found" in told.message
    assert_undisturbed(job)


def test_a_stopped_job_keeps_what_it_reached(stack):
    stack.worker()
    branch = stack.branch()
    job = stack.submit(branch, 100_000)
    stack.step(job, 30)
    jobs.request_control(actor=None, job=job, kind="stop")
    stack.state(job, "CANCELLED")
    branch.refresh_from_db()
    assert branch.head == final(job)
    assert final(job).kind == "stopped"
    assert final(job).job_step == job.step == len(points(job)["total"])


@pytest.mark.long(6)
def test_an_evaluation_of_a_checkpoint_whose_file_was_changed_fails_with_both_hashes(stack):
    stack.worker()
    stack.worker("eval-1", "eval,default", wait=False)
    job = stack.state(stack.submit(stack.branch(), 10), "SUCCEEDED")
    checkpoint = final(job)
    stack.state(Job.objects.get(kind="evaluate", checkpoint=checkpoint), "SUCCEEDED")
    (stack.home / "blobs" / checkpoint.file).write_bytes(b"something else")
    again = stack.state(jobs.submit_evaluation(actor=None, checkpoint=checkpoint), "FAILED")
    assert checkpoint.sha256 in again.message
    assert again.traceback == ""
