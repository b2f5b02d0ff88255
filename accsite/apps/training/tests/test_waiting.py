"""A queued job says what it waits for, on its page, by API and in the shell, and nothing once that is there."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import waits_for
from accsite.apps.jobs.services import lifecycle, workers
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def job(branch: Any = None, **train: Any) -> Job:
    """Return a queued job; keywords are options of its training."""
    made = rows.make_job(branch or rows.make_branch(None, f"waits {Job.objects.count()}"))
    made.spec["train"] |= train
    made.save()
    return made


register = partial(workers.register, hostname="here", pid=1, queues=["train"])


def test_nobody_is_there_to_take_it(page: Client, user: Any, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = rows.make_job(rows.make_branch(user, "of-ada"))
    told = "waits: no worker of the queue train is online; manage.py worker --queue train starts one"
    assert waits_for(waiting) == told
    assert told in page.get(reverse("training:job", args=[waiting.pk])).text
    assert page.get(reverse("api:job-detail", args=[waiting.pk])).json()["waits_for"] == told
    call_command("jobs", "show", str(waiting.pk))
    assert told in capsys.readouterr().out


def test_all_who_could_take_it_are_busy() -> None:
    worker = register(name="one", device="cpu")
    assert lifecycle.claim(job().pk, worker)
    job()
    assert waits_for(job()) == (
        "waits: place 2 in the queue train, and all workers that could take it are busy"
    )


def test_an_older_job_of_its_branch_comes_first() -> None:
    first = job()
    register(name="one", device="cpu")
    assert waits_for(job(first.branch)) == f"waits for job {first.pk}, to go on where that ends"


@pytest.mark.parametrize(
    ("train", "asked"),
    [({"device": "cuda"}, "a GPU"), ({"device_memory_gib": 80}, "a device with 80 GiB of memory")],
)
def test_nobody_has_what_it_asks_for(train: dict[str, Any], asked: str) -> None:
    register(name="one", device="cpu")
    assert waits_for(job(**train)) == f"waits: it asks for {asked}, which no worker that is online has"


def test_too_few_devices_are_free_at_once() -> None:
    gpus = [register(name=name, device=name, telemetry={"gpus": 2}) for name in ("cuda:0", "cuda:1")]
    assert lifecycle.claim(job().pk, gpus[0])
    assert waits_for(job(ranks=2)) == "waits until 2 GPUs are free at once"


def test_it_says_nothing_once_it_is_about_to_be_taken_or_is(page: Client) -> None:
    worker = register(name="one", device="cpu")
    ready = job()
    assert waits_for(ready) == ""
    assert lifecycle.claim(ready.pk, worker)
    assert waits_for(ready) == "", "taken between the page's read of it and this"
    ready.refresh_from_db()
    assert waits_for(ready) == ""
