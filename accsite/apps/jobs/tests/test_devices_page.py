"""The page of devices shows each worker with how its device was lately, what it does, and what waits for it."""

from __future__ import annotations

import pytest
from django.test import Client

from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors.workers import worker_figures, worker_rows
from accsite.apps.jobs.services import workers

pytestmark = pytest.mark.django_db
TOLD = {
    "device_name": "H200",
    "utilisation_percent": 40.0,
    "memory_used_bytes": 2**30,
    "memory_total_bytes": 4 * 2**30,
    "load": 1.0,
}
HISTORY = {"utilisation_percent": [10.0, None, 40.0], "memory_percent": [25.0, 25.0, 25.0]}


def worker(name: str = "gpu", **figures: object) -> Worker:
    return workers.register(
        name=name, hostname="h", pid=1, device="cpu", queues=["train"], telemetry={**TOLD, **figures}
    )


def test_a_figure_with_a_history_is_drawn_and_one_without_is_told(admin_client: Client) -> None:
    worker(history=HISTORY)
    (row,) = worker_rows()
    assert [figure.key for figure in row.drawn] == ["utilisation_percent", "memory_bytes"]
    assert [figure.key for figure in row.told] == ["load"]
    page = admin_client.get("/devices/").content.decode()
    assert 'data-spark="utilisation_percent" data-low="0" data-high="100" data-values="10 - 40"' in page
    assert 'data-spark="memory_bytes"' in page


def test_a_worker_that_tells_no_history_is_shown_with_its_figures(admin_client: Client) -> None:
    worker()
    page = admin_client.get("/devices/").content.decode()
    assert "data-spark" not in page
    assert "1.0 of 4.0 GiB" in page


def test_the_history_is_not_in_what_open_pages_are_told_every_few_seconds() -> None:
    made = worker(history=HISTORY)
    told = worker_figures()[str(made.pk)]["figures"]
    assert set(told) == {"utilisation_percent", "memory_bytes", "load"}


def test_a_worker_says_how_many_jobs_wait_in_the_queues_that_it_serves(admin_client: Client) -> None:
    worker()
    Job.objects.create(kind="train", queue="train", title="a", spec={})
    Job.objects.create(kind="evaluate", queue="eval", title="b", spec={})
    (row,) = worker_rows()
    assert row.waiting == {"train": 1}
    assert "train · 1 waiting" in admin_client.get("/devices/").content.decode()
