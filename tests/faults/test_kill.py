"""Killed at any place, a job goes on where its last checkpoint was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import pytest

from accsite.apps.jobs.models import JobEvent
from tests.stack import assert_undisturbed, final, points, reload
from workers.machine.processes import is_alive

STEPS = 200
EVERY = 40


def running_past_a_checkpoint(stack, job) -> None:
    """Wait until a job has a checkpoint and has made steps that are in none."""
    stack.until(lambda: final(job) is not None, what="a checkpoint")
    stack.step(job, final(job).job_step + 5)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long(6))])
def test_a_killed_job_ends_with_the_weights_and_the_curve_of_an_undisturbed_one(stack_on, database):
    stack = stack_on(database)
    worker = stack.worker()

    job = stack.submit(stack.branch("killed"), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    os.kill(worker.job(), signal.SIGKILL)
    stack.state(job, "SUCCEEDED")

    assert job.attempt == 2
    assert job.workers_lost == 1
    told = JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").get()
    assert "SIGKILL" in told.message
    assert_undisturbed(job)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long(8))])
def test_a_job_whose_record_keeper_is_killed_or_stands_still_goes_on_from_its_last_checkpoint(stack, number):
    worker = stack.worker()
    job = stack.submit(stack.branch("killed"), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    keeper = worker.record_keeper()
    os.kill(keeper, number)
    stack.state(job, "SUCCEEDED")
    assert not is_alive(keeper)
    assert (job.attempt, job.workers_lost) == (2, 1)
    told = JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").get()
    assert "the process that keeps the job's records was ended" in told.message
    assert_undisturbed(job)


@pytest.mark.long(16)
def test_what_a_killed_training_had_handed_over_is_written_although_the_database_was_locked(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch("killed"), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    other = sqlite3.connect(stack.home / "acc.sqlite3", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        written = reload(job).step
        time.sleep(1)  # of some ten blocks, which wait with the keeper
        keeper = worker.record_keeper()
        os.kill(worker.job(), signal.SIGKILL)
        assert is_alive(keeper)
    finally:
        other.execute("ROLLBACK")
        other.close()
    stack.state(job, "SUCCEEDED")
    told = JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").get()
    assert told.step > written
    assert_undisturbed(job)


def test_a_job_killed_before_its_first_checkpoint_begins_again(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch("killed"), 100)
    stack.step(job, 20)
    os.kill(worker.job(), signal.SIGKILL)
    stack.state(job, "SUCCEEDED")
    assert_undisturbed(job)


@pytest.mark.long(21)
def test_a_killed_worker_takes_its_children_along_and_its_successor_ends_the_job(stack):
    worker = stack.worker()

    job = stack.submit(stack.branch("killed"), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    children = worker.zygote(), worker.job(), worker.record_keeper()
    worker.kill()
    stack.until(lambda: not any(is_alive(pid) for pid in children), what="the children to die", seconds=5)

    stack.worker(worker.name)
    stack.state(job, "SUCCEEDED")
    assert_undisturbed(job)


@pytest.mark.long(10)
def test_the_job_of_a_worker_that_never_comes_back_is_reaped_and_ended_by_another(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    worker.kill()
    stack.sweeper()
    stack.second_worker()
    stack.state(job, "SUCCEEDED")
    told = JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").get()
    assert f"{worker.name} did not report" in told.message
    points(job)


@pytest.mark.long(16)
def test_a_killed_zygote_is_replaced_and_the_job_goes_on(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    before = worker.zygote()
    os.kill(before, signal.SIGKILL)
    stack.state(job, "SUCCEEDED")
    assert job.attempt == 2
    assert worker.zygote() not in {None, before}
    points(job)


def test_a_job_that_loses_three_workers_fails_with_the_reason(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch(), 100_000)
    for attempt in (1, 2, 3):
        stack.until(
            lambda n=attempt: reload(job).attempt == n and job.state == "RUNNING",
            what="it to run",
        )
        stack.until(worker.job, what="its process")
        os.kill(worker.job(), signal.SIGKILL)
        stack.until(lambda n=attempt: reload(job).workers_lost == n, what="the loss to be seen")
    stack.state(job, "FAILED")
    assert "3 lost workers" in job.message
    assert "SIGKILL" in job.message
