"""A job's state is said in the same words everywhere, and of the attempt that they belong to."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from acc.training.losses import series
from acc.training.protocols import Alarm, PointBlock
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors import job_state
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import DIVERGED, JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.services import events, points
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


def running(branch: Branch, worker: Worker, **fields: Any) -> Job:
    job = rows.make_job(branch, total_steps=100)
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    lifecycle.start(job.pk, claim.attempt)
    Job.objects.filter(pk=job.pk).update(**{"step": 40, "steps_per_second": 10.0, **fields})
    job.refresh_from_db()
    return job


def everywhere(client: Client, job: Job) -> dict[str, str]:
    """Return what the page of a job, the list, the header, the API and a shell say of it."""
    out = StringIO()
    call_command("jobs", "list", "--all", stdout=out)
    said = {
        "page": client.get(reverse("training:job-panel", args=[job.pk, "job"])).content.decode(),
        "list": client.get(reverse("training:jobs")).content.decode(),
        "api": client.get(reverse("api:job-detail", args=[job.pk])).json()["state_label"],
        "shell": out.getvalue(),
    }
    if job.is_active:
        said["header"] = client.get(reverse("training:top-job")).content.decode()
    return said


def test_what_ended_one_attempt_does_not_stand_beside_the_next(
    client: Client, user: Any, branch: Branch, worker: Worker
) -> None:
    job = running(branch, worker)
    lifecycle.lose(job.pk, 1, "cpu-0 did not report for more than 2 s")
    job.refresh_from_db()
    assert "did not report" in job.message
    lifecycle.claim(job.pk, worker)
    lifecycle.start(job.pk, 2)
    job.refresh_from_db()
    client.force_login(user)
    for place, said in everywhere(client, job).items():
        assert "running" in said, place
        assert "did not report" not in said, place
    assert "attempt 2" in everywhere(client, job)["page"]
    assert job.events.filter(message__contains="did not report").exists()  # the history keeps it


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.SUCCEEDED, JobState.QUEUED])
def test_only_a_job_that_runs_has_a_rate_and_time_left(
    branch: Branch, worker: Worker, state: JobState
) -> None:
    job = running(branch, worker)
    now = job_state(job)
    assert (now["rate"], now["eta_seconds"]) == (10.0, 6.0)
    Job.objects.filter(pk=job.pk).update(state=state)
    job.refresh_from_db()
    now = job_state(job)
    assert (now["rate"], now["eta_seconds"]) == (None, None)


def test_a_job_whose_worker_is_silent_is_not_said_to_run(
    client: Client, user: Any, branch: Branch, worker: Worker
) -> None:
    job = running(branch, worker, lease_expires_at=timezone.now() - timedelta(seconds=1))
    client.force_login(user)
    for place, said in everywhere(client, job).items():
        assert "not responding" in said, place
    assert job_state(job)["rate"] is None


def diverging(job: Job, values: np.ndarray) -> None:
    name = series.raw("reconstruction")
    Job.objects.filter(pk=job.pk).update(step=0)
    block = PointBlock(0, (name,), values[np.newaxis].astype(np.float32), 0.0, 1.0)
    points.append(job.pk, 1, block)
    events.record_alarm(job.pk, 1, Alarm("divergence", len(values) - 1, "it rises", name))


def test_a_run_that_diverged_is_not_done_in_green(
    client: Client, user: Any, branch: Branch, worker: Worker
) -> None:
    job = running(branch, worker)
    diverging(job, np.r_[np.linspace(1.0, 0.7, 100), np.linspace(1, 380, 100)])
    lifecycle.finish(job.pk, 1, {"losses": {}})
    job.refresh_from_db()
    assert (job.words.mark, job.get_state_display()) == (DIVERGED, "ended, diverged")
    client.force_login(user)
    sent = reverse("training:workbench-panel", args=[branch.experiment.slug, branch.slug, "sent"])
    assert f"Job {job.pk}: ended, diverged." in client.get(sent, {"sent": job.pk}).content.decode()
    for place, said in everywhere(client, job).items():
        assert "ended, diverged" in said, place
        assert 'data-state="SUCCEEDED">' not in said, place


def test_a_run_that_recovered_is_done(branch: Branch, worker: Worker) -> None:
    job = running(branch, worker)
    diverging(job, np.r_[np.linspace(1.0, 0.7, 100), np.linspace(1, 380, 50), np.linspace(1, 0.5, 200)])
    lifecycle.finish(job.pk, 1, {"losses": {}})
    job.refresh_from_db()
    assert job.get_state_display() == "done"
