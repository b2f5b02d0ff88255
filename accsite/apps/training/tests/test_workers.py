"""Workers describe themselves, and what they held is free when they come back under their name."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, workers
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


def register(pid: int = 7, **changes: Any) -> Worker:
    values = {"name": "cpu-0", "hostname": "here", "device": "cpu", "queues": ["train"], **changes}
    return workers.register(pid=pid, **values)


@pytest.mark.django_db
def test_a_worker_that_starts_again_is_the_same_row() -> None:
    first = register()
    workers.offline(name="cpu-0")
    second = register(8, queues=["train", "eval"])
    assert first.pk == second.pk
    assert (second.state, second.pid, second.queues) == ("ONLINE", 8, ["train", "eval"])


def test_jobs_of_its_dead_predecessor_wait_again_at_once(branch: Branch) -> None:
    register()
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, "cpu-0")
    register(7)
    assert Job.objects.get().state == JobState.CLAIMED
    register(8)
    job.refresh_from_db()
    assert (job.state, job.workers_lost) == (JobState.QUEUED, 1)
    assert job.message == "cpu-0 was started again while it held the job"


@pytest.mark.django_db
def test_a_heartbeat_tells_the_worker_that_it_is_to_drain() -> None:
    register()
    assert workers.heartbeat(name="cpu-0", telemetry={"cpu_percent": 12.5}) == "ONLINE"
    workers.drain(name="cpu-0")
    assert workers.heartbeat(name="cpu-0") == "DRAINING"
    assert Worker.objects.get().telemetry == {"cpu_percent": 12.5}


@pytest.mark.django_db
def test_a_worker_that_was_taken_for_gone_is_back_with_its_heartbeat() -> None:
    register()
    workers.offline(name="cpu-0")
    assert workers.heartbeat(name="cpu-0") == "ONLINE"
    assert workers.heartbeat(name="nobody") is None


@pytest.mark.django_db
def test_an_unknown_worker_is_named_with_those_there_are() -> None:
    register()
    with pytest.raises(InvalidInput, match="'nobody' is not a worker of this site; known: cpu-0"):
        workers.drain(name="nobody")
