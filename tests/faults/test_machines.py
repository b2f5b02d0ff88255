"""A job too large for one machine is trained by workers of two; what is lost on either sends it to its checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from accsite.apps.jobs.models import Job, JobEvent, JobPart, Worker
from accsite.apps.training.services import jobs, tasks
from tests.faults.plugins import odd_task, paced
from tests.faults.test_ranks import OPTIONS, REASSOCIATION, apart, tensors_of
from tests.faults.test_two_at_once import pin
from tests.stack import Process, Stack, Template, final, in_engine, points, reload
from workers.machine.processes import is_alive

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="needs two cores, one for each machine"
)

LASTING: dict[str, Any] = {**OPTIONS, "steps": 60, "checkpoint_every_steps": 15}
PACE = "0.05"
"""A job of so many steps takes three seconds at least: long enough to disturb it."""
OWN_REDIS = 9
"""The database of Redis that no other platform of this pass uses."""


def machine(stack: Stack, name: str, core: int) -> Process:
    """Return the worker of a machine of one core: jobs of two ranks are too large for it."""
    process = stack.worker(f"on-{name}", ACC_MACHINE=name, ACC_RANKS_INTERFACE="lo", TEST_PACE_SECONDS=PACE)
    pin(process, core)
    row = Worker.objects.get(name=process.name)
    stack.until(lambda: reload(row).telemetry["cores"] == 1, what="a heartbeat that tells of one core")
    assert (row.hostname, row.address) == (name, "127.0.0.1")
    return process


@pytest.fixture(scope="module")
def platform(template: Template, tmp_path_factory, django_db_blocker) -> Iterator[Stack]:
    """Return a platform of these tests' own, whose two machines they hand on to each other."""
    with django_db_blocker.unblock():
        made = template.stack(tmp_path_factory.mktemp("machines") / "home", redis_database=OWN_REDIS)
        with made as stack:
            stack.kept = frozenset({"on-north", "on-south"})
            yield stack


@pytest.fixture
def stack(platform: Stack) -> Iterator[Stack]:
    """Return the platform, with nothing running but idle workers."""
    yield platform
    platform.hand_on()


@pytest.fixture
def two(stack: Stack) -> tuple[Process, Process]:
    """Return the workers of two machines; either may take a job, and the other joins it."""
    first, second = sorted(os.sched_getaffinity(0))[:2]
    stack.sweeper()
    return machine(stack, "north", first), machine(stack, "south", second)


def places(stack: Stack, job: Job, two: tuple[Process, Process]) -> tuple[Process, Process, JobPart]:
    """Return the worker that holds a running job, the one that joined it, and its part."""
    part = job.parts.get(attempt=job.attempt)
    assert part.worker is not None
    there = part.worker.name
    assert (part.first_rank, part.devices) == (1, ["cpu"])
    holding, joined = sorted(two, key=lambda process: process.name == there)
    assert reload(job).worker == Worker.objects.get(name=holding.name)
    return holding, joined, part


def process_of(worker: Process) -> int:
    """Return the process of what a worker runs now."""
    pid = worker.job()
    assert pid is not None
    return pid


def running(stack: Stack, name: str, two: tuple[Process, Process]) -> tuple[Job, Process, Process]:
    """Return a job some steps after a checkpoint, the worker that holds it and the one that joined."""
    job = stack.submit(paced(stack.branch(name)), **LASTING)
    stack.until(lambda: final(job) is not None, what="a checkpoint")
    stack.step(job, final(job).job_step + 2)
    return job, *places(stack, job, two)[:2]


@pytest.mark.long(17)
def test_two_machines_learn_what_one_process_learns_and_obey_before_the_same_step(stack, two):
    job = stack.state(stack.submit(stack.branch("spread"), **OPTIONS), "SUCCEEDED")
    assert apart(tensors_of(job), in_engine(job, ranks=1).checkpoints[-1][0].tensors) < REASSOCIATION
    claimed = JobEvent.objects.get(job=job, payload__state="CLAIMED").message
    assert claimed in {"on on-north, with on-south", "on on-south, with on-north"}
    alone = stack.state(stack.submit(job.branch, **{**OPTIONS, "ranks": 1}), "SUCCEEDED")
    assert not alone.parts.exists()

    branch = stack.branch("steered far")
    steered: Any = stack.submit(branch, 100_000, ranks=2)
    stack.step(steered, 10)
    # A worker that takes part takes nothing else, and what waits goes to nobody.
    waiting = stack.submit(stack.branch("waits"), 5)
    tasks.set_weight(actor=None, task=branch.tasks.get(key="reconstruction"), weight=3.0)
    odd_task(branch, "pass", name="Late")
    late: Any = JobEvent.objects.get(job=steered, kind="add_task")
    stack.until(lambda: reload(late).status == "APPLIED", what="the task to be added on both machines")
    jobs.request_control(actor=None, job=steered, kind="stop")
    stack.state(steered, "CANCELLED")
    points(steered)
    stack.state(waiting, "SUCCEEDED", seconds=10)
    assert waiting.started_at >= steered.finished_at


@pytest.mark.long(27)
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_rank_of_another_machine_that_dies_or_stands_still_sends_the_job_to_its_checkpoint(
    stack, two, number
):
    job, _, joined = running(stack, f"far rank and {number.name}", two)
    os.kill(process_of(joined), number)
    stack.state(job, "SUCCEEDED")
    assert (job.attempt, job.workers_lost) == (2, 1)
    lost = JobEvent.objects.get(job=job, kind="state", payload__state="LOST").message
    assert lost.startswith("rank 1 "), lost
    assert lost.endswith(f"on {joined.name}; the job goes on from its last checkpoint")
    assert lost.count(joined.name) == 1, "it is named once"
    points(job)
    assert apart(tensors_of(job), in_engine(job, ranks=1).checkpoints[-1][0].tensors) < REASSOCIATION


@pytest.mark.slow
def test_a_worker_that_joined_and_is_killed_sends_the_job_to_its_checkpoint(stack, two):
    job, holding, joined = running(stack, "far worker", two)
    family = [process_of(joined)]
    joined.kill()
    stack.state(job, "QUEUED", "CLAIMED")
    # Whether its lease ended before the connection did is a matter of who is faster.
    assert job.message in {
        f"{what}; the job goes on from its last checkpoint"
        for what in (
            f"rank 1 said nothing for longer than a lease on {joined.name}",
            f"the connection to rank 1 on {joined.name} broke",
        )
    }
    assert not [pid for pid in family if is_alive(pid)]
    stack.processes.remove(joined)
    machine(stack, joined.name.removeprefix("on-"), sorted(os.sched_getaffinity(0))[1])
    stack.state(job, "SUCCEEDED")
    points(job)
    assert holding.alive


@pytest.mark.slow
def test_the_far_rank_of_a_killed_job_leaves_it(stack, two):
    job, holding, joined = running(stack, "holder", two)
    far = process_of(joined)
    os.kill(process_of(holding), signal.SIGKILL)
    stack.until(lambda: not is_alive(far), what="the far rank to leave", seconds=10)
    stack.state(job, "SUCCEEDED")
    assert (job.attempt, job.workers_lost) == (2, 1)
    points(job)


@pytest.mark.long(19)
def test_a_worker_that_joined_and_is_shut_down_has_the_job_saved_and_handed_back(stack, two):
    job = stack.submit(stack.branch("far drain"), 100_000, ranks=2)
    stack.step(job, 10)
    _, joined, _ = places(stack, job, two)
    assert joined.terminate() == 0
    assert reload(job).state == "QUEUED"
    assert final(job).job_step == job.step
    assert job.message == f"{joined.name} was shut down at step {job.step}; nothing is lost"
    assert job.workers_lost == 0


@pytest.mark.slow
def test_a_plugin_that_raises_on_another_machine_alone_fails_the_job_with_its_words(stack, two):
    branch = stack.branch("raises far")
    odd_task(branch, "import torch; assert torch.distributed.get_rank() == 0, 'not here'", name="FarSided")
    job = stack.state(stack.submit(branch, 10, ranks=2), "FAILED")
    assert job.message == (
        "rank 1: task 'farsided': FarSided failed, AssertionError: not here (tasks/farsided.py, line 9) at step 0"
    )
    assert job.attempt == 1


# --- a network of its own between the machines ---------------------------------------------------------------

FAR = "acc-far-machine"
CABLE = ("acc-near", "acc-far")
IN_FAR = (
    "import os, sys; os.execvp('nsenter', ['nsenter', '--net=/run/netns/{}', sys.executable, *sys.argv[1:]])"
)


def ip(*words: str, check: bool = True) -> None:
    """Run iproute2's command."""
    subprocess.run(["ip", *words], check=check, capture_output=True)


@pytest.fixture
def cable() -> Iterator[None]:
    """Lay a cable to a second network, 10.213.7.1 to 10.213.7.2; skip where that is not allowed."""
    if os.geteuid() != 0 or not all(shutil.which(each) for each in ("ip", "nsenter")):
        pytest.skip("only root, with iproute2 and nsenter, can make a network")
    try:
        ip("netns", "add", FAR)
        ip("link", "add", CABLE[0], "type", "veth", "peer", "name", CABLE[1], "netns", FAR)
    except subprocess.CalledProcessError as error:
        ip("netns", "del", FAR, check=False)
        pytest.skip(f"this kernel gives no network namespaces: {error.stderr.decode()}")
    ip("addr", "add", "10.213.7.1/30", "dev", CABLE[0])
    ip("link", "set", CABLE[0], "up")
    ip("-n", FAR, "addr", "add", "10.213.7.2/30", "dev", CABLE[1])
    ip("-n", FAR, "link", "set", CABLE[1], "up")
    yield
    ip("netns", "del", FAR)


@pytest.mark.slow
def test_a_machine_that_vanishes_with_its_network_holds_up_nobody(stack, cable):
    stack.stop("on-north", "on-south")
    near, far = sorted(os.sched_getaffinity(0))[:2]
    launch = ("-m", "workers.launch", "--queues", "train", "--device", "cpu", "--name")
    north = stack.start(
        "on-near",
        *launch,
        "on-near",
        ACC_MACHINE="near",
        ACC_RANKS_INTERFACE=CABLE[0],
        TEST_PACE_SECONDS=PACE,
    )

    def far_worker() -> Process:
        # It has no way to Redis, and needs none: what it is to join stands in the database.
        environment = {"ACC_MACHINE": "far", "ACC_RANKS_INTERFACE": CABLE[1], "TEST_PACE_SECONDS": PACE}
        return stack.start("on-far", "-c", IN_FAR.format(FAR), *launch, "on-far", **environment)

    south = far_worker()
    for process, core in ((north, near), (south, far)):
        stack.until(lambda process=process: "worker_online" in process.output, what="the worker")
        pin(process, core)
    rows = Worker.objects.in_bulk([north.name, south.name], field_name="name")
    assert {row.address for row in rows.values()} == {"10.213.7.1", "10.213.7.2"}
    for row in rows.values():
        stack.until(lambda row=row: reload(row).telemetry["cores"] == 1, what="a heartbeat")
    stack.sweeper()
    job = stack.submit(paced(stack.branch("over a cable")), **LASTING)
    stack.until(lambda: final(job) is not None, what="a checkpoint")
    ip("link", "set", CABLE[0], "down")  # no packet tells the near machine what becomes of the far one
    job_of_south = process_of(south)
    south.kill()
    stack.until(lambda: not is_alive(job_of_south), what="the kernel to end all that it ran", seconds=5)
    stack.until(lambda: reload(job).workers_lost == 1, what="the job to be taken back")
    lost = JobEvent.objects.get(job=job, kind="state", payload__state="LOST").message
    assert (
        lost
        == "rank 1 said nothing for longer than a lease on on-far; the job goes on from its last checkpoint"
    )
    ip("link", "set", CABLE[0], "up")
    pin(far_worker(), far)
    stack.state(job, "SUCCEEDED", seconds=120)
    points(job)
    assert apart(tensors_of(job), in_engine(job, ranks=1).checkpoints[-1][0].tensors) < REASSOCIATION
