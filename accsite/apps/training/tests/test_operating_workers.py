"""Operators drain, resume, retire and forget workers; a GPU has one worker unless told otherwise."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, placement, workers
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def register(name: str, device: str = "cuda:0", **changes: Any) -> Worker:
    values = {"hostname": "here", "pid": 7, "queues": ["train"], **changes}
    return workers.register(name=name, device=device, **values)


def test_a_draining_worker_takes_nothing_until_it_is_resumed(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    workers.drain(name=worker.name)
    assert lifecycle.claim(job.pk, worker.name) is None
    workers.resume(name=worker.name)
    assert lifecycle.claim(job.pk, worker.name) is not None


def test_a_retired_worker_stays_so_when_it_is_started_again() -> None:
    register("gpu")
    workers.retire(name="gpu")
    workers.offline(name="gpu")
    assert register("gpu", pid=8).state == Worker.State.RETIRED
    workers.resume(name="gpu")
    assert register("gpu", pid=9).state == Worker.State.ONLINE


def test_only_a_worker_that_has_gone_is_forgotten() -> None:
    register("gpu")
    with pytest.raises(WrongState, match="'gpu' still reports; stop its process first"):
        workers.forget(name="gpu")
    workers.offline(name="gpu")
    with pytest.raises(WrongState, match="'gpu' is offline; start its process first"):
        workers.resume(name="gpu")
    workers.forget(name="gpu")
    assert not Worker.objects.exists()


def test_a_gpu_has_one_worker_unless_told_otherwise(settings: LazySettings) -> None:
    register("first")
    with pytest.raises(InvalidInput, match="cuda:0 of here is bound to first already"):
        register("second")
    register("second", "cuda:1")
    register("third", hostname="elsewhere")
    register("cpu-1", "cpu")
    register("cpu-2", "cpu")
    Worker.objects.filter(name="first").update(heartbeat_at=timezone.now() - timedelta(hours=1))
    register("successor")
    settings.ACC_SHARE_DEVICES = True
    register("shares")


def test_a_job_may_ask_for_device_memory(branch: Branch) -> None:
    small = register("small", telemetry={"memory_total_bytes": 8 * 2**30})
    large = register("large", "cuda:1", telemetry={"memory_total_bytes": 80 * 2**30})
    job = rows.make_job(branch)
    job.spec["train"]["device_memory_gib"] = 40
    job.save()
    assert (placement.suits(job, small), placement.suits(job, large)) == (False, True)


def test_the_devices_page_offers_its_buttons_to_operators_only(client: Client, user: Any) -> None:
    worker = register("gpu")
    client.force_login(user)
    change = reverse("jobs:worker-change", args=[worker.pk])
    assert "Drain" not in client.get(reverse("jobs:devices")).text.split("<p")[0]
    assert client.post(change, {"verb": "drain"}).status_code == 403
    user.groups.add(Group.objects.get(name="operator"))
    assert change in client.get(reverse("jobs:devices")).text
    assert client.post(change, {"verb": "drain"}, headers={"HX-Request": "true"}).status_code == 200
    worker.refresh_from_db()
    assert worker.state == Worker.State.DRAINING
    refused = client.post(change, {"verb": "explode"}, headers={"HX-Request": "true"})
    assert refused.status_code == 422
    assert "choose one of: drain, resume, retire, forget" in refused.text


def test_the_queue_is_ordered_by_page_and_api(client: Client, user: Any, branch: Branch) -> None:
    user.groups.add(Group.objects.get(name="operator"))
    client.force_login(user)
    first = Job.objects.create(kind="generate", queue="default", title="a", spec={})
    second = Job.objects.create(kind="generate", queue="default", title="b", spec={})
    page = client.post(reverse("jobs:queue-change", args=[second.pk]), {"verb": "first"})
    assert page.status_code == 302
    queue = client.get(reverse("api:queue-list")).json()
    assert queue["count"] == 2
    assert [(job["id"], job["place"]) for job in queue["results"]] == [(second.pk, 1), (first.pk, 2)]
    moved = client.post(
        reverse("api:queue-move", args=[first.pk]), {"priority": 9}, content_type="application/json"
    )
    assert moved.json()["place"] == 1
    both = client.post(reverse("api:queue-move", args=[first.pk]), {}, content_type="application/json")
    assert both.status_code == 422
    gone = client.post(
        reverse("api:queue-move", args=[10**30]), {"priority": 1}, content_type="application/json"
    )
    assert gone.status_code == 404


def test_the_devices_command_lists_and_changes_workers() -> None:
    register("gpu", telemetry={"device_name": "H200", "utilisation_percent": 40, "temperature_celsius": 61})
    out = StringIO()
    call_command("devices", stdout=out)
    assert "H200" in out.getvalue()
    assert "GPU 40 % · temperature 61 °C" in out.getvalue()
    out = StringIO()
    call_command("devices", "drain", "gpu", "--json", stdout=out)
    assert json.loads(out.getvalue())["state"] == "DRAINING"
    with pytest.raises(SystemExit) as ended:
        call_command("devices", "drain", "nobody", stderr=StringIO())
    assert ended.value.code == 2
