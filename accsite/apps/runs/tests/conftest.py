"""Runs that the tests of the table look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from acc.training.protocols import PointBlock
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.jobs.models import Job
from accsite.apps.runs import services
from accsite.apps.training.models import Branch
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows


@pytest.fixture
def user(db: None) -> Any:
    """A signed-in person."""
    return get_user_model().objects.create_user("ada", password="a long enough one")


@pytest.fixture
def page(user: Any) -> Client:
    """A browser of the signed-in person."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def branch(db: None, user: Any) -> Branch:
    """Branch main of experiment digits."""
    rows.make_plugins()
    return rows.make_branch(user)


@pytest.fixture
def make_run(branch: Branch, user: Any) -> Callable[..., Job]:
    """Make a finished training: ``make_run(lr=.001, seed=3, losses=[.9, .5], ufr=.7)``."""

    def make(
        on: Branch | None = None,
        *,
        losses: list[float] = (),  # type: ignore[assignment]
        ufr: float | None = None,
        state: str = "SUCCEEDED",
        dataset: str = "digits",
        **train: Any,
    ) -> Job:
        job = rows.make_job(
            on or branch,
            state="RUNNING",
            attempt=1,
            total_steps=10,
            created_by=user,
            started_at=timezone.now(),
        )
        job.spec["train"] |= train
        job.save()
        if losses:
            values = np.array([losses, [2 * loss for loss in losses]], np.float32)
            points.append(job.pk, 1, PointBlock(0, ("total", "raw/digit"), values, 0.0, 1.0))
        Job.objects.filter(pk=job.pk).update(state=state, finished_at=timezone.now())
        if ufr is not None:
            node = rows.make_checkpoint(on or branch, job, step=job.pk)
            evaluation = Evaluation.objects.create(branch=on or branch, checkpoint=node, step=node.step)
            Metric.objects.create(evaluation=evaluation, name="ufr", dataset=dataset, value=ufr)
        job.refresh_from_db()
        services.write([job])
        return job

    return make
