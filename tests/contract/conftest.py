"""A claimed job with real rows, for tests that hold the workers' threads against the site's services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model

from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, workers
from accsite.apps.training.tests import rows
from workers.job.lease import Lease


@dataclass
class Claimed:
    """A job in RUNNING and the worker that holds it."""

    job: Job
    worker: Worker

    @property
    def attempt(self) -> int:
        return self.job.attempt

    def fresh(self) -> Job:
        """Return the job's row as it is now."""
        return Job.objects.get(pk=self.job.pk)

    def taken(self) -> None:
        """Have the reaper take the job and another worker claim it."""
        assert lifecycle.lose(self.job.pk, self.attempt, "a test took it")
        assert lifecycle.claim(self.job.pk, self.worker) is not None


@pytest.fixture
def claimed(transactional_db: None, redis_url: str, settings: Any) -> Claimed:
    """A train job of 1,000 steps that a worker has just begun; leases and heartbeats are short."""
    settings.ACC_LEASE_SECONDS, settings.ACC_HEARTBEAT_SECONDS = 1.0, 0.1
    user = get_user_model().objects.create_user("ada", password="a long enough one")
    rows.make_plugins()
    branch = rows.make_branch(user)
    rows.make_task(branch, rows.make_dataset())
    job = rows.make_job(branch, total_steps=1000)
    worker = workers.register(
        name="w", hostname="h", pid=os.getpid(), device="cpu", queues=["train"], telemetry={}
    )
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    assert lifecycle.start(job.pk, claim.attempt)
    return Claimed(claim.job, worker)


@pytest.fixture
def lease(claimed: Claimed) -> Iterator[Lease]:
    """Its lease, kept alive."""
    with Lease(claimed.job.pk, claimed.attempt) as held:
        yield held


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder for files in the making."""
    return tmp_path


def block(start: int, count: int, *series: str) -> PointBlock:
    """Return a block in which every value is its step."""
    names = series or ("total",)
    values = np.tile(np.arange(start, start + count, dtype=np.float32), (len(names), 1))
    return PointBlock(start, names, values, 1000.0 + start, 1000.0 + start + count - 1)
