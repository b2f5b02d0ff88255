"""SIGTERM to the whole platform: all of it ends within its grace, and the next start goes on as if nothing had been."""

from __future__ import annotations

import time

import pytest

from accsite.apps.jobs.models import JobEvent, Worker
from accsite.supervisor.processes import table
from accsite.supervisor.redis import free_port
from tests.faults.plugins import PACE, paced
from tests.stack import assert_undisturbed, children_of, final
from workers.machine.processes import is_alive

pytestmark = pytest.mark.slow

GRACE_SECONDS = max(process.grace_seconds for process in table())


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    return [pid, *(each for child in children_of(pid) for each in family(child))]


def test_a_platform_that_is_terminated_saves_its_job_leaves_no_process_and_goes_on_at_the_next_start(
    make_stack,
):
    stack = make_stack()

    def up():
        # The supervisor has a Redis of its own.
        command = ("manage.py", "up", "--port", str(free_port()), "--device", "cpu")
        return stack.start("up", *command, **PACE, REDIS_URL="")

    job = stack.submit(paced(stack.branch()), 120, checkpoint_every_steps=40)
    platform = up()
    stack.until(lambda: final(job) is not None, what="a checkpoint", seconds=90)
    stack.step(job, final(job).job_step + 5)
    everybody = family(platform.popen.pid)
    assert len(everybody) > len(table())

    began = time.monotonic()
    assert platform.terminate(GRACE_SECONDS) == 0
    assert time.monotonic() - began < GRACE_SECONDS
    assert [pid for pid in everybody if is_alive(pid)] == []
    job.refresh_from_db()
    assert (job.state, job.workers_lost) == ("QUEUED", 0)
    assert job.message == f"worker-train was shut down at step {job.step}; nothing is lost"
    assert final(job).job_step == job.step
    assert set(Worker.objects.values_list("state", flat=True)) == {Worker.State.OFFLINE}

    up()
    stack.state(job, "SUCCEEDED", seconds=90)
    assert job.attempt == 2
    assert not JobEvent.objects.filter(job=job, kind="state", payload__state="LOST").exists()
    assert_undisturbed(job)
