"""Administrators see every row, change none by hand, and act through the services."""

from __future__ import annotations

import numpy as np
import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.test import Client

from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job, JobEvent, Worker
from accsite.apps.jobs.services import outbox
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, LossBlock, Task
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", password="a long enough one"))
    return client


@pytest.fixture
def job(branch: Branch, task: Task) -> Job:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=100)
    values = np.array([[0.5, 0.25], [np.nan, 3]], np.float32)
    points.append(job.pk, 1, PointBlock(0, ("total", "raw/<b>"), values, 0.0, 1.0))
    outbox.queue_up(rows.make_job(branch))
    rows.make_checkpoint(branch, job)
    JobEvent.objects.create(job=job, kind="pause")
    return job


# Tasks have forms: test_admin_tasks.py.
NAMES = [
    "training/experiment",
    "training/branch",
    "training/checkpoint",
    "training/lossblock",
    "jobs/job",
    "jobs/outboxmessage",
    "jobs/worker",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_row_is_listed_and_shown_and_cannot_be_changed(
    admin: Client, job: Job, worker: Worker, name: str
) -> None:
    base = f"/admin/{name}/"
    assert admin.get(base).status_code == 200
    assert admin.get(f"{base}add/").status_code == 403
    row = apps.get_model(name.replace("/", "."))._default_manager.first()
    assert row is not None
    pk = row.pk
    page = admin.get(f"{base}{pk}/change/")
    assert page.status_code == 200
    assert admin.get(f"{base}{pk}/delete/").status_code == 403
    assert b'name="_save"' not in page.content


def test_loss_points_are_shown_as_rows_and_escaped(admin: Client, job: Job) -> None:
    page = admin.get(f"/admin/training/lossblock/{LossBlock.objects.get().pk}/change/").content.decode()
    assert "<th scope=row>1</th><td>0.25</td><td>3</td>" in page
    assert "<th scope=row>0</th><td>0.5</td><td></td>" in page
    assert "raw/&lt;b&gt;" in page
    assert "raw/<b>" not in page


def test_stopping_jobs_goes_through_the_service(admin: Client, job: Job, branch: Branch) -> None:
    ended = rows.make_job(branch, state=JobState.FAILED)
    answer = admin.post(
        "/admin/jobs/job/", {"action": "stop", "_selected_action": [job.pk, ended.pk]}, follow=True
    )
    told = answer.content.decode()
    assert "1 asked to stop" in told
    assert "came too late" in told
    assert list(job.events.filter(kind="stop").values_list("status", flat=True)) == ["PENDING"]


def test_switching_the_last_task_of_a_running_job_off_is_refused(admin: Client, job: Job, task: Task) -> None:
    answer = admin.post(
        "/admin/training/task/", {"action": "switch_off", "_selected_action": [task.pk]}, follow=True
    )
    assert "is the last task that job" in answer.content.decode()
    task.refresh_from_db()
    assert task.enabled


def test_a_worker_is_drained(admin: Client, worker: Worker) -> None:
    admin.post("/admin/jobs/worker/", {"action": "drain", "_selected_action": [worker.pk]})
    worker.refresh_from_db()
    assert worker.state == Worker.State.DRAINING
