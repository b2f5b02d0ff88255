"""A worker that was taken for dead and wakes up again writes nothing more."""

from __future__ import annotations

import os
import signal

from django.db import transaction

from tests.faults.test_kill import EVERY, STEPS, running_past_a_checkpoint
from tests.stack import assert_undisturbed, reload
from workers.machine.processes import is_alive


def test_a_job_stopped_past_its_lease_is_ended_by_another_and_its_late_writes_are_refused(stack):
    from accsite.apps.jobs.models import Job

    first = stack.worker()
    job = stack.submit(stack.branch("frozen"), STEPS, checkpoint_every_steps=EVERY)
    running_past_a_checkpoint(stack, job)
    frozen = first.job()
    machine = [first.popen.pid, first.zygote(), first.record_keeper(), frozen]
    with transaction.atomic():  # who is stopped while it writes would keep SQLite's one lock
        Job.objects.select_for_update().get(pk=job.pk)
        for pid in machine:
            os.kill(pid, signal.SIGSTOP)
    stack.sweeper()
    stack.second_worker()
    stack.until(lambda: reload(job).attempt == 2 and job.step > 0, what="the second attempt")

    for pid in reversed(machine):
        os.kill(pid, signal.SIGCONT)
    stack.until(lambda: not is_alive(frozen), what="the first attempt to end")
    assert "fenced" in first.output
    stack.state(job, "SUCCEEDED")
    assert job.attempt == 2
    assert_undisturbed(job)
    # The first worker is none the worse for it.
    stack.state(stack.submit(stack.branch("after"), 10), "SUCCEEDED")
