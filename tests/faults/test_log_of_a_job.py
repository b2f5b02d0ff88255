"""All that a job's processes print is in its log, whoever is killed, and nobody who prints ever waits."""

from __future__ import annotations

import os
import signal

import pytest

from accsite.apps.jobs.models import JobLog
from accsite.apps.jobs.selectors import logs
from tests.faults.plugins import odd_task
from tests.stack import reload
from workers.job.joblog import folder_of

SAYS = (
    "import warnings, logging, subprocess; self.n = getattr(self, 'n', 0) + 1\n"
    "        print('step', self.n)\n"
    "        if self.n == 1:\n"
    "            os.write(1, b'from C \\xff\\n'); warnings.warn('an odd thing'); "
    "logging.getLogger('mine').warning('logged'); subprocess.run(['echo', 'from a child'])\n"
)


def text(job, **asked) -> str:
    _, stream = logs.choose(job, **asked)
    return "" if stream is None else b"".join(logs.raw(job, stream)).decode(errors="replace")


def test_prints_warnings_children_and_tracebacks_of_a_job_are_in_its_log_and_not_in_the_servers(stack):
    worker = stack.worker()
    branch = stack.branch()
    odd_task(branch, SAYS + "        if self.n == 5: raise LookupError('no such thing')")
    job = stack.state(stack.submit(branch, 10), "FAILED")
    said = text(job)  # at the very moment that the job has failed
    for words in ("step 1\n", "step 5\n", "from C \ufffd\n", "an odd thing", "logged", "from a child\n"):
        assert words in said
    assert "LookupError: no such thing" in said
    assert said.index("step 1\n") < said.index("from C") < said.index("step 2\n")
    assert "step 2" not in worker.output
    assert "LookupError: no such thing" in "\n".join(logs.last_lines(job))
    stack.until(lambda: not list(folder_of(worker.name).iterdir()), what="its file to be removed")


@pytest.mark.long(13)
def test_a_kill_loses_nothing_that_was_printed_and_each_attempt_has_its_own(stack):
    worker = stack.worker()
    stack.sweeper()
    branch = stack.branch()
    odd_task(branch, "self.n = getattr(self, 'n', 0) + 1; print('step', self.n)")
    job = stack.step(stack.submit(branch, 100_000), 10)
    os.kill(worker.job(), signal.SIGKILL)
    stack.until(lambda: reload(job).attempt == 2, what="another attempt")
    first = text(job, attempt=1)
    assert "step 10\n" in first
    assert first.count("step 1\n") == 1
    stack.until(lambda: "step 1\n" in text(job, attempt=2), what="the log of the second attempt")

    steps = job.step
    stack.until(lambda: reload(job).step > steps + 5, what="more steps")
    worker.kill()  # and with it who reads the log
    before = {path.name for path in folder_of(worker.name).iterdir()}
    assert f"{job.pk}-2-0.log" in before
    held = (folder_of(worker.name) / f"{job.pk}-2-0.log").read_text()
    stack.worker(worker.name)
    stack.until(lambda: held in text(job, attempt=2), what="what the killed worker had not kept yet")


@pytest.mark.long(8)
def test_a_storm_of_prints_keeps_the_two_ends_and_the_job_its_pace(stack):
    worker = stack.worker()
    branch = stack.branch()
    odd_task(branch, "[print('x' * 99) for _ in range(2_000)]")  # 200 kB in each step
    job = stack.state(stack.submit(branch, 100), "SUCCEEDED")
    stack.until(lambda: not list(folder_of(worker.name).iterdir()), what="its file to be removed")
    (stream,) = logs.streams(job)
    assert stream.bytes == 100 * 2_000 * 100
    assert stream.left_out == stream.bytes - 2 * 2**20
    assert sum(JobLog.objects.filter(job=job).values_list("size", flat=True)) == 2 * 2**20


def test_each_rank_has_its_own_log(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(branch, "import torch.distributed as d; print('I am rank', d.get_rank())")
    job = stack.state(stack.submit(branch, 3, ranks=2), "SUCCEEDED")
    for rank in (0, 1):
        said = stack.until(
            lambda rank=rank: next(
                (text(job, rank=rank) for each in logs.streams(job) if each.rank == rank), ""
            ),
            what=f"the log of rank {rank}",
        )
        assert f"I am rank {rank}\n" in said
        assert f"I am rank {1 - rank}\n" not in said
