"""A plugin that eats memory or hangs: its job says so, and the worker takes the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.training.services import jobs
from tests.faults.plugins import odd_task
from tests.stack import Stack, Template

LIMITS: dict[str, Any] = {"ACC_STOP_SECONDS": "1", "ACC_JOB_MEMORY_GIB": "0.5", "ACC_STALL_SECONDS": "1"}


@pytest.fixture(scope="module")
def stack(template: Template, tmp_path_factory, django_db_blocker) -> Iterator[Stack]:
    """Return a platform with one worker for all tests of this file."""
    with django_db_blocker.unblock(), template.stack(tmp_path_factory.mktemp("limits") / "home") as shared:
        shared.worker(**LIMITS)
        yield shared


@pytest.fixture
def unharmed(stack: Stack) -> Iterator[None]:
    """Assert after each test that the worker lives and does the next job."""
    process = stack.worker(**LIMITS)
    yield
    assert process.alive
    stack.state(stack.submit(stack.branch(f"after {Job.objects.count()}"), 5), "SUCCEEDED")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("AtOnce", "output.mean.new_zeros(2**28)"),
        ("ByAndBy", "self.kept = [bytes(2**20) for _ in range(2**10)]"),
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_a_plugin_that_eats_memory_fails_its_job_with_the_limit_and_the_line(stack, name, body):
    branch = stack.branch(name)
    odd_task(branch, body, name=name)
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert "more than the 0.5 GiB of memory that one job may have" in job.message
    assert "ACC_JOB_MEMORY_GIB" in job.message
    assert f"tasks/{name.lower()}.py" in job.traceback
    assert (job.attempt, job.workers_lost) == (1, 0)


@pytest.mark.usefixtures("unharmed")
def test_a_job_that_hangs_says_so_and_can_be_ended(stack):
    branch = stack.branch("hangs")
    odd_task(branch, "time.sleep(600)", name="Hangs")
    job = stack.state(stack.submit(branch, 10), "RUNNING")
    alarms = JobEvent.objects.filter(job=job, kind="alarm", payload__alarm="stall")
    told = stack.until(alarms.first, what="the job to be told to stand still")
    assert told.message.startswith("no step has ended for 1 s since step 0")
    jobs.request_control(actor=None, job=job, kind="stop")
    stack.state(job, "CANCELLED")
    assert "did not answer for 1 s" in job.message


def test_a_worker_whose_job_hangs_drains_all_the_same(stack):
    worker = stack.worker(**LIMITS)
    branch = stack.branch("hangs while drained")
    odd_task(branch, "time.sleep(600)", name="Hangs")
    job = stack.submit(branch, 10)
    alarms = JobEvent.objects.filter(job=job, kind="alarm", payload__alarm="stall")
    stack.until(alarms.exists, what="the job to stand still")
    assert worker.terminate(20) == 0
    job.refresh_from_db()
    assert job.state == "QUEUED"
    assert f"{worker.name} was shut down; the training did not answer for 1 s" in job.message
