"""Whatever ends of a platform that is up, and however: its job is saved and goes on, and no process is left behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from accsite.apps.jobs.models import Worker
from accsite.supervisor.processes import table
from accsite.supervisor.redis import free_port
from accsite.supervisor.supervisor import ONE_SIGNAL_SECONDS
from tests.faults.plugins import PACE, paced
from tests.stack import assert_undisturbed, children_of, final, reload
from workers.machine.processes import descendants, is_alive, marked, name_of

WORKERS = [process.name for process in table() if process.queues]


def up(stack):
    """Start a platform with a Redis of its own, its log in what it prints."""
    command = ("manage.py", "up", "--port", str(free_port()), "--device", "cpu", "-v", "2")
    return stack.start("up", *command, **PACE, REDIS_URL="")


def training(stack, platform, steps=120):
    """Return a job of a platform once it has a checkpoint and has gone on from it."""
    job = stack.submit(paced(stack.branch()), steps, checkpoint_every_steps=40)
    stack.until(lambda: final(job) is not None, what="a checkpoint", seconds=90)
    stack.step(job, final(job).job_step + 5)
    assert platform.alive, platform.output
    return job


def starter_of(platform) -> int:
    (found,) = [pid for pid in children_of(platform.popen.pid) if name_of(pid).startswith("acc starter")]
    return found


def named(platform, name: str) -> int:
    """Return the process of a platform whose command holds ``name``."""
    (found,) = [pid for pid in children_of(starter_of(platform)) if name in name_of(pid)]
    return found


def program_of(pid: int) -> bytes:
    """Return what the kernel drew and noted when the program of a process was started, which its forks keep."""
    return Path(f"/proc/{pid}/auxv").read_bytes()


def without_torch(pid: int) -> list[str]:
    """Return the names of the processes below one that have not loaded torch."""
    found = []
    for each in descendants(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if "libtorch_python" not in Path(f"/proc/{each}/maps").read_text():
                found.append(name_of(each))
    return found


def none_left(stack, pids: list[int]) -> None:
    left = {pid: name_of(pid) for pid in pids if is_alive(pid)}
    stack.until(lambda: not any(map(is_alive, pids)), what=f"the end of {left}", seconds=30)


@pytest.mark.long(32)
def test_processes_share_what_the_starter_imported_and_are_started_again_by_it(make_stack):
    stack = make_stack()
    platform = up(stack)
    job = training(stack, platform)
    begun = starter_of(platform)
    assert len(children_of(begun)) == len(table()) - 1, "all but the web process"
    # One that ends while it is looked at has no memory any more.
    stack.until(
        lambda: not without_torch(begun), what=lambda: f"torch in all of {without_torch(begun)}", seconds=10
    )
    parents = children_of(begun)
    servers = stack.until(
        lambda: len(found := [pid for parent in parents for pid in children_of(parent)]) == 3 and found,
        what="the zygotes of two workers and the check server",
    )
    programs = {pid: name_of(pid) for pid in [*parents, *servers] if program_of(pid) != program_of(begun)}
    assert programs == {}, "each is a fork"
    beside = {pid: name_of(pid) for pid in children_of(platform.popen.pid) if pid != begun}
    forks = [name for pid, name in beside.items() if program_of(pid) == program_of(begun)]
    assert ["accsite.web" in name for name in forks] == [True], "the site is one, too"
    assert program_of(platform.popen.pid) == program_of(begun), "and the supervisor is what they are forks of"
    assert "..." not in name_of(platform.popen.pid), "what makes room for titles is not seen"
    assert len(beside) == 2, "Redis is a program, and this tells it from a fork"
    worker = named(platform, "worker-train")
    mark = f"ACC_WORKER_MARK={stack.home.resolve()}:worker-train"
    assert {worker, *descendants(worker)} <= set(marked(mark)), "strays are found by it"
    below = descendants(worker)
    os.kill(worker, signal.SIGKILL)
    none_left(stack, [worker, *below])
    (site,) = [pid for pid in beside if "accsite.web" in name_of(pid)]
    os.kill(site, signal.SIGKILL)
    stack.until(
        lambda: [pid for pid in children_of(platform.popen.pid) if "-m daphne" in name_of(pid)],
        what="a program in the place of the site",
    )
    stack.state(job, "SUCCEEDED", seconds=90)
    assert "worker-train was killed by SIGKILL; starting it again in 0.5 s" in platform.output
    assert starter_of(platform) == begun
    assert named(platform, "worker-train") != worker
    assert_undisturbed(job)


@pytest.mark.long(27)
def test_a_starter_that_is_killed_is_told_and_all_that_it_forked_ends_and_starts_again(make_stack):
    stack = make_stack()
    platform = up(stack)
    job = training(stack, platform)
    begun = starter_of(platform)
    forked = descendants(begun)
    assert len(forked) > len(table())
    os.kill(begun, signal.SIGKILL)
    none_left(stack, forked)
    said = "starter was killed by SIGKILL; starting it again in 0.5 s; what it has forked ends and starts again with it"
    stack.until(lambda: said in platform.output, what="it to be told")
    stack.state(job, "SUCCEEDED", seconds=90)
    assert (job.attempt, job.workers_lost) == (2, 0), "its worker was asked to end, and saved it"
    assert starter_of(platform) != begun
    assert platform.terminate(60) == 0
    assert_undisturbed(job)


@pytest.mark.long(40)
def test_a_supervisor_that_is_killed_leaves_no_process_and_the_job_is_saved(make_stack):
    stack = make_stack()
    platform = up(stack)
    job = training(stack, platform)
    everybody = descendants(platform.popen.pid)
    platform.kill()
    none_left(stack, everybody)
    assert reload(job).workers_lost == 0
    assert final(job).job_step == job.step
    up(stack)
    stack.state(job, "SUCCEEDED", seconds=90)
    assert_undisturbed(job)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long(18))])
def test_a_platform_that_is_asked_to_end_saves_its_job_and_leaves_no_process(make_stack, number):
    stack = make_stack()
    platform = up(stack)
    job = training(stack, platform)
    everybody = descendants(platform.popen.pid)
    platform.send(number)
    assert platform.popen.wait(60) == 0
    assert [pid for pid in everybody if is_alive(pid)] == []
    assert (reload(job).state, job.workers_lost) == ("QUEUED", 0)
    assert job.message == f"worker-train was shut down at step {job.step}; nothing is lost"
    assert set(Worker.objects.filter(name__in=WORKERS).values_list("state", flat=True)) == {
        Worker.State.OFFLINE
    }
    assert "killing" not in platform.output


def test_a_platform_whose_starter_stands_still_ends_when_it_is_asked_twice(make_stack):
    stack = make_stack()
    platform = up(stack)
    stack.until(lambda: "worker_serving" in platform.output, what="a worker that serves")
    begun, everybody = starter_of(platform), descendants(platform.popen.pid)
    assert children_of(begun), "it has forked"
    os.kill(begun, signal.SIGSTOP)
    platform.send(signal.SIGINT)
    stack.until(lambda: "stopping; jobs in progress" in platform.output, what="it to be asked")
    time.sleep(2 * ONE_SIGNAL_SECONDS)
    platform.send(signal.SIGINT)
    try:
        assert platform.popen.wait(20) == 0
    finally:
        if is_alive(begun):
            os.kill(begun, signal.SIGCONT)
    none_left(stack, everybody)


def test_a_platform_that_is_asked_to_end_while_it_starts_ends_at_once(make_stack):
    stack = make_stack()
    platform = up(stack)
    stack.until(lambda: "the database is up to date" in platform.output, what="its processes to be asked for")
    everybody = descendants(platform.popen.pid)
    assert platform.terminate(15) == 0
    assert [pid for pid in everybody if is_alive(pid)] == []
