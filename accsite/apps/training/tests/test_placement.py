"""A job of several ranks gets the free devices of one machine, or of several if none is large enough, for itself."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.selectors import held_places
from accsite.apps.jobs.selectors.workers import worker_rows
from accsite.apps.jobs.services import lifecycle, parts, queue, workers
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.apps.training.tests.test_concurrent_claims import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def machine(*devices: str, hostname: str = "here", address: str = "", **figures: int) -> list[Worker]:
    """Register a worker for each device of one machine and return them."""
    register = partial(
        workers.register, hostname=hostname, address=address, queues=["train"], telemetry=figures
    )
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


def spread(claim: lifecycle.Claim | None) -> list[str]:
    assert claim is not None
    return held_places(claim.job)


def test_a_job_too_large_for_any_machine_is_spread_over_those_that_reach_each_other() -> None:
    machine("cuda:0", hostname="closed", gpus=2)
    (one,) = machine("cuda:0", hostname="one", address="10.0.0.1", gpus=2)
    two, also_two = machine("cuda:1", "cuda:0", hostname="two", address="10.0.0.2", gpus=2)
    small, large = job_of(2), job_of(4)
    claim = lifecycle.claim(large.pk, one)
    assert spread(claim) == [
        "ranks 0 to 1: one-cuda:0 (cuda:0, cuda:1)",
        "ranks 2 to 3: two-cuda:1 (cuda:1, cuda:0)",
    ]
    # Both workers of the other machine lend their GPU, the one that joins and the one that is idle.
    for worker in (two, also_two):
        assert lifecycle.claim(small.pk, worker) is None
        assert queue.next_for(worker.name, small.pk) == small.pk
    rows_seen = {row.worker.name: [job.pk for job in row.jobs] for row in worker_rows()}
    assert rows_seen["two-cuda:1"] == rows_seen["one-cuda:0"] == [large.pk]
    assert claim is not None
    lifecycle.fail(large.pk, claim.attempt, "for the test")
    assert spread(lifecycle.claim(small.pk, two)) == ["two-cuda:1 (cuda:1, cuda:0)"]


def test_a_job_that_fits_on_one_machine_waits_for_one() -> None:
    (one,) = machine("cuda:0", hostname="one", address="10.0.0.1", gpus=1)
    machine("cuda:0", hostname="two", address="10.0.0.2", gpus=2)
    assert lifecycle.claim(job_of(2).pk, one) is None
    assert lifecycle.claim(job_of(3).pk, one)


def test_ranks_are_on_gpus_of_all_machines_or_on_processors_of_all() -> None:
    (own,) = machine("cpu", hostname="one", address="10.0.0.1", cores=2)
    machine("cuda:0", hostname="two", address="10.0.0.2", gpus=1, cores=2)
    job = job_of(3)
    assert lifecycle.claim(job.pk, own) is None
    machine("cpu", hostname="three", address="10.0.0.3", cores=2)
    assert spread(lifecycle.claim(job.pk, own)) == ["ranks 0 to 1: one-cpu (cpu)", "rank 2: three-cpu (cpu)"]


@pytest.mark.parametrize("reason", ["busy", "draining", "silent", "another queue", "no address"])
def test_no_rank_goes_to_a_worker_that_could_not_run_it(reason: str) -> None:
    (own,) = machine("cpu", hostname="one", address="10.0.0.1", cores=1)
    (other,) = machine("cpu", hostname="two", address="" if reason == "no address" else "10.0.0.2", cores=1)
    if reason == "busy":
        assert lifecycle.claim(job_of(1).pk, other)
    elif reason == "draining":
        workers.drain(name=other.name)
    elif reason == "silent":
        Worker.objects.filter(pk=other.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    elif reason == "another queue":
        Worker.objects.filter(pk=other.pk).update(queues=["eval"])
    assert lifecycle.claim(job_of(2).pk, own) is None
    assert not JobPart.objects.exists()


def test_a_part_counts_only_while_its_attempt_holds_the_job() -> None:
    (own,) = machine("cpu", hostname="one", address="10.0.0.1", cores=1)
    machine("cpu", hostname="two", address="10.0.0.2", cores=1)
    claim = lifecycle.claim(job_of(2).pk, own)
    assert claim is not None
    (part,) = parts.waiting_for("two-cpu")
    assert parts.join(part)
    assert not parts.join(part)
    assert parts.renew(part)
    assert lifecycle.lose(claim.job.pk, claim.attempt, "for the test")
    assert not parts.renew(part)
    # The other machine may be what was lost: it is not asked again before it has spoken.
    assert lifecycle.claim(claim.job.pk, own) is None
    workers.heartbeat(name="two-cpu")
    assert not parts.end(part, lost="too late")
    again = lifecycle.claim(claim.job.pk, own)
    assert again is not None
    assert [each.attempt for each in parts.waiting_for("two-cpu")] == [again.attempt] == [2]
    assert not parts.end(part, lost="too late")


def test_a_worker_that_starts_again_has_lost_what_it_ran_of_others() -> None:
    (own,) = machine("cpu", hostname="one", address="10.0.0.1", cores=1)
    machine("cpu", hostname="two", address="10.0.0.2", cores=1)
    claim = lifecycle.claim(job_of(2).pk, own)
    assert claim is not None
    workers.register(name="two-cpu", hostname="two", pid=999, device="cpu", queues=["train"])
    (part,) = parts.of(claim.job)
    assert (part.state, part.lost) == ("ENDED", "two-cpu was started again while it ran rank 1")


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


def test_machines_that_reach_each_other_may_have_as_many_ranks_together(
    user: Any, branch: Branch, task: Task
) -> None:
    machine("cuda:0", hostname="one", address="10.0.0.1", gpus=4)
    machine("cuda:0", hostname="two", address="10.0.0.2", gpus=4)
    submit = partial(jobs.submit_training, actor=user, branch=branch)
    assert submit(train={"steps": 5, "ranks": 8})
    with pytest.raises(InvalidInput) as caught:
        submit(train={"steps": 5, "ranks": 9})
    assert "the online workers that reach each other have 8 together; use fewer" in str(
        caught.value.fields["ranks"]
    )
