"""Plugins that fork, end their process, or leave others running: the job says so, and nothing of it outlives it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from accsite.apps.jobs.models import JobEvent
from tests.faults.plugins import odd_task
from tests.stack import assert_undisturbed, children_of, final, points, reload
from workers.machine.processes import is_alive

LASTS = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session={session})"


def test_a_plugin_that_forks_and_returns_in_both_processes_trains_the_job_once(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(branch, "os.fork() if getattr(self, 'n', 0) == 3 else None; self.n = getattr(self, 'n', 0) + 1")
    job = stack.state(stack.submit(branch, 60, checkpoint_every_steps=20), "SUCCEEDED")
    assert len(points(job)["total"]) == 60
    assert (final(job).kind, final(job).job_step) == ("final", 60)
    assert (job.attempt, job.workers_lost) == (1, 0)
    assert JobEvent.objects.filter(job=job, payload__state="SUCCEEDED").count() == 1


def test_children_of_a_pool_in_a_plugin_do_their_work_and_leave(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(
        branch,
        "import multiprocessing; pool = multiprocessing.get_context('fork').Pool(2); "
        "assert pool.map(abs, [-1, -2]) == [1, 2]; pool.close(); pool.join()",
    )
    job = stack.state(stack.submit(branch, 3), "SUCCEEDED")
    assert_undisturbed_but_for_pids(job)


def assert_undisturbed_but_for_pids(job) -> None:
    assert len(points(job)["total"]) == job.total_steps
    assert final(job).kind == "final"


def test_a_copy_that_raises_does_not_end_the_job_of_its_original(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(
        branch,
        "self.n = getattr(self, 'n', 0) + 1\n"
        "        if self.n == 2 and os.fork() == 0: raise LookupError('only in the copy')",
    )
    job = stack.state(stack.submit(branch, 20), "SUCCEEDED")
    assert len(points(job)["total"]) == 20
    assert job.message == ""


def test_an_exit_with_status_0_before_the_end_is_told_at_once_as_a_death(stack):
    worker = stack.worker()  # no sweeper: nobody else could notice
    branch = stack.branch()
    odd_task(branch, "os._exit(0)")
    job = stack.state(stack.submit(branch, 10), "FAILED", seconds=30)
    assert f"its process on {worker.name} ended without finishing its work (exit status 0)" in job.message
    assert "did not report" not in job.message
    assert worker.alive
    stack.state(stack.submit(stack.branch("after"), 5), "SUCCEEDED")


def numbers(path):
    """Return the process ids that plugins wrote: the proof at the start runs a task's code as well."""
    return [int(each) for each in path.read_text().split()]


@pytest.mark.parametrize("session", ["False", "True"])
@pytest.mark.parametrize("end", ["well", "raises", "killed"])
def test_what_a_plugin_has_started_ends_with_its_job(stack, tmp_path, session, end):
    worker = stack.worker()
    branch = stack.branch()
    pids = tmp_path / "pids"
    # A process whose parent leaves at once, in a session of its own or not, as a daemon does it.
    body = (
        f"import pathlib, subprocess; self.n = getattr(self, 'n', 0) + 1\n"
        f"        if self.n == 2: subprocess.Popen(['sh', '-c', 'sleep 600 & echo $! >> {pids}'], "
        f"start_new_session={session}).wait(); subprocess.Popen(['sleep', '601'], start_new_session={session})\n"
        f"        if self.n == 9 and {end == 'raises'}: raise LookupError('enough')"
    )
    odd_task(branch, body)
    steps = 100_000 if end == "killed" else 20
    job = stack.submit(branch, steps)
    if end == "killed":
        stack.step(job, 10)
        process = worker.job()
        orphans = numbers(pids)
        assert all(is_alive(each) for each in orphans)
        os.kill(process, signal.SIGKILL)
        stack.until(lambda: reload(job).attempt == 2, what="another attempt")
    else:
        stack.state(job, "SUCCEEDED" if end == "well" else "FAILED")
        stack.until(lambda: not children_of(worker.zygote()), what="the end of its processes")
        orphans = numbers(pids)
    assert orphans
    stack.until(lambda: not any(map(is_alive, orphans)), what="the end of what the plugin left", seconds=5)


@pytest.mark.long(11)
def test_nothing_of_a_job_outlives_its_zygote_or_its_worker(stack, tmp_path):
    worker = stack.worker()
    pids = Path(tmp_path / "pids")
    # One that runs another program, and a mere copy of the job's process, each in a session of its own.
    body = (
        "import pathlib, subprocess, time; self.n = getattr(self, 'n', 0) + 1\n"
        f"        if self.n == 2: subprocess.Popen(['sh', '-c', 'setsid sleep 600 & echo $! >> {pids}']).wait()\n"
        "        if self.n == 3 and os.fork() == 0:\n"
        f"            os.setsid(); print(os.getpid(), file=pathlib.Path({str(pids)!r}).open('a')); time.sleep(600)"
    )
    branch = stack.branch()
    odd_task(branch, body)
    job = stack.submit(branch, 100_000)
    stack.step(job, 10)
    first = numbers(pids)
    assert first
    os.kill(worker.zygote(), signal.SIGKILL)
    stack.until(
        lambda: not any(map(is_alive, first)), what="the end of what the first attempt left", seconds=10
    )

    stack.until(lambda: set(numbers(pids)) - set(first), what="the second attempt")
    stack.step(job, reload(job).step + 5)
    second = set(numbers(pids)) - set(first)
    worker.kill()
    stack.sweeper()
    stack.worker(worker.name)
    stack.until(lambda: not any(map(is_alive, second)), what="the end of what the worker left", seconds=10)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("Long", "ValueError('x' * 100_000)", "characters left out"),
        ("Nul", "ValueError('a\\0b')", "a\N{REPLACEMENT CHARACTER}b"),
        ("Half", "ValueError('a\\ud800b')", "a\N{REPLACEMENT CHARACTER}b"),
        (
            "Mute",
            "type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
            "Mute: (its text cannot be had",
        ),
    ],
)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long(17))])
def test_the_text_of_an_exception_is_cut_and_cleaned_whatever_it_is(stack_on, database, name, error, told):
    stack = stack_on(database)
    stack.worker()
    branch = stack.branch()
    odd_task(branch, f"raise {error}", name=name)
    job = stack.state(stack.submit(branch, 10), "FAILED", seconds=30)
    assert told in job.message
    assert len(job.message) <= 2_000
    assert len(job.traceback) <= 20_000
    assert f"tasks/{name.lower()}.py" in job.traceback
    assert (job.attempt, job.workers_lost) == (1, 0)


def test_two_ranks_of_which_one_raises_a_long_text_fail_with_it(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(
        branch, "import torch.distributed as d\n        if d.get_rank(): raise ValueError('x' * 100_000)"
    )
    job = stack.state(stack.submit(branch, 10, ranks=2), "FAILED", seconds=60)
    assert job.message.startswith("rank 1: task 'odd': Odd failed, ValueError: xxx")
    assert len(job.message) <= 2_000


def test_a_rank_that_exits_with_status_0_is_told_as_lost(stack):
    worker = stack.worker()
    branch = stack.branch()
    odd_task(branch, "import torch.distributed as d\n        if d.get_rank(): os._exit(0)")
    job = stack.state(stack.submit(branch, 10, ranks=2), "FAILED", seconds=90)
    assert f"rank 1 ended without finishing its work (exit status 0) on {worker.name}" in job.message


def test_a_job_whose_last_checkpoint_vanished_has_failed(stack):
    stack.worker()
    branch = stack.branch()
    odd_task(
        branch,
        "import sys; sys.modules['workers.job.sinks'].Recorder.on_checkpoint = lambda self, *given: None",
        name="Thief",
    )
    job = stack.state(stack.submit(branch, 10), "FAILED")
    assert job.message == "the final checkpoint, of step 10, was not written"


def test_a_job_that_is_undisturbed_ends_as_the_engine_alone_ends_it(stack):
    stack.worker()
    assert_undisturbed(stack.state(stack.submit(stack.branch(), 40), "SUCCEEDED"))
