"""A job of several ranks gets the free devices of one machine, and nobody else gets them while it holds them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings

from acc.errors import InvalidInput
from accsite.apps.training.models import Branch, Job, Task, Worker
from accsite.apps.training.services import jobs, lifecycle, queue, workers
from accsite.apps.training.tests import rows
from accsite.apps.training.tests.test_concurrent_claims import at_once

pytestmark = pytest.mark.django_db


def machine(*devices: str, hostname: str = "here", **figures: int) -> list[Worker]:
    """Register a worker for each device of one machine and return them."""
    register = partial(workers.register, hostname=hostname, queues=["train"], telemetry=figures)
    return [register(name=f"{hostname}-{name}", pid=pid, device=name) for pid, name in enumerate(devices)]


def job_of(ranks: int, device: str = "auto", name: str = "") -> Job:
    """Return a job of several ranks on a branch of its own."""
    job = rows.make_job(rows.make_branch(None, name or f"of {ranks} ranks {Job.objects.count()}"))
    job.spec["train"] |= {"ranks": ranks, "device": device}
    job.save()
    return job


def devices_of(claim: lifecycle.Claim | None) -> str:
    assert claim is not None
    return claim.job.device


def test_the_gpus_of_nobody_come_before_those_of_idle_workers() -> None:
    own, _idle = machine("cuda:1", "cuda:0", gpus=4)
    assert devices_of(lifecycle.claim(job_of(4).pk, own)) == "cuda:1, cuda:2, cuda:3, cuda:0"


def test_a_lent_gpu_is_back_with_its_worker_when_the_job_ends() -> None:
    own, lender = machine("cuda:0", "cuda:1", gpus=2)
    shared, waiting = job_of(2), job_of(1)
    claim = lifecycle.claim(shared.pk, own)
    assert devices_of(claim) == "cuda:0, cuda:1"
    assert lifecycle.claim(waiting.pk, lender) is None
    assert claim is not None
    lifecycle.fail(shared.pk, claim.attempt, "for the test")
    assert devices_of(lifecycle.claim(waiting.pk, lender)) == "cuda:1"


def test_a_job_waits_while_too_few_gpus_are_free_and_others_go_ahead() -> None:
    own, busy = machine("cuda:0", "cuda:1", gpus=2)
    assert lifecycle.claim(job_of(1).pk, busy)
    shared, alone = job_of(2), job_of(1)
    assert lifecycle.claim(shared.pk, own) is None
    assert queue.next_for(own.name, shared.pk) == alone.pk
    (elsewhere,) = machine("cuda:0", hostname="elsewhere", gpus=2)
    assert devices_of(lifecycle.claim(shared.pk, elsewhere)) == "cuda:0, cuda:1"


def test_workers_that_share_a_device_because_told_so_do(settings: LazySettings) -> None:
    settings.ACC_SHARE_DEVICES = True
    first, second = machine("cuda:0", gpus=1)[0], rows.make_worker("second", "cuda:0")
    assert lifecycle.claim(job_of(1).pk, first)
    assert lifecycle.claim(job_of(1).pk, second)


@pytest.mark.parametrize(
    ("ranks", "device", "taken"), [(2, "auto", True), (2, "cpu", True), (3, "auto", False)]
)
def test_ranks_on_a_processor_are_no_more_than_its_cores(ranks: int, device: str, taken: bool) -> None:
    (worker,) = machine("cpu", cores=2)
    assert (lifecycle.claim(job_of(ranks, device).pk, worker) is not None) is taken


@pytest.mark.django_db(transaction=True)
def test_two_jobs_never_get_the_same_gpu_when_claimed_at_once() -> None:
    rows.make_plugins()
    both = machine("cuda:0", "cuda:1", gpus=2)
    for _ in range(5):
        each = [job_of(2).pk, job_of(2).pk]
        claims: list[Any] = at_once(
            [partial(lifecycle.claim, job, worker) for job, worker in zip(each, both, strict=True)]
        )
        (won,) = [claim for claim in claims if claim is not None]
        assert won.job.device.count("cuda") == 2
        lifecycle.fail(won.job.pk, won.attempt, "for the test")


def test_more_ranks_than_any_machine_has_devices_are_refused(user: Any, branch: Branch, task: Task) -> None:
    submit = partial(jobs.submit_training, actor=user, branch=branch)
    assert submit(train={"steps": 5, "ranks": 9})  # nobody is online, and who comes may have as many
    machine("cpu", cores=2)
    machine("cuda:0", hostname="gpus", gpus=4, cores=16)
    assert submit(train={"steps": 5, "ranks": 4})
    assert submit(train={"steps": 5, "ranks": 16, "device": "cpu"})
    with pytest.raises(InvalidInput) as caught:
        submit(train={"steps": 5, "ranks": 8})
    assert "8 ranks need as many GPUs or processor cores of one machine" in str(caught.value.fields["ranks"])
    assert "no online worker has more than 4" in str(caught.value.fields["ranks"])
