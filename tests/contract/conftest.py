"""A claimed job with real rows, for tests that hold the workers' threads against the site's services."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from acc.plugins.checker import Checker
from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, workers
from accsite.apps.registry import services
from accsite.apps.registry.services import FileReport
from accsite.apps.training.tests import rows
from workers.job.lease import Lease
from workers.plugins.previews import PreviewDesk

TAKE_SECONDS = 0.1


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


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """A check server that has imported what it needs."""
    made = Checker()
    made.start()
    assert made.wait_until_ready()
    yield made
    made.close()


@pytest.fixture
def site(
    checker: Checker, transactional_db: None, redis_url: str, settings: Any, monkeypatch: Any
) -> Iterator[Client]:
    """A signed-in page of a site whose questions are answered as the watcher does, with ACC's own architectures."""
    settings.REDIS_URL = redis_url
    monkeypatch.setattr("workers.plugins.previews.TAKE_SECONDS", TAKE_SECONDS)
    services.sync([FileReport(**file, built_in=True) for file in checker.built_in], present=[])
    desk, over = PreviewDesk(checker), threading.Event()
    desk.start()

    def serve() -> None:
        while not over.wait(0.005):
            checker.receive()
            desk.serve()
        connections.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    page = Client()
    page.force_login(get_user_model().objects.create_user("ada", password="a long enough one"))
    yield page
    over.set()
    thread.join(10)
    desk.stop()
    time.sleep(3 * TAKE_SECONDS)  # what it is still taking would be another test's
