"""Prometheus reads the figures with its token; nobody else does without signing in as staff."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import workers
from accsite.apps.operations.metrics import TELEMETRY, exposition
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

ROOT = Path(__file__).resolve().parents[4]

pytestmark = pytest.mark.django_db


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_database(
    client: Client, branch: Branch, settings: LazySettings
) -> None:
    settings.ACC_METRICS_TOKEN = "a-secret"
    rows.make_job(branch)
    workers.register(
        name="gpu",
        hostname="here",
        pid=1,
        device="cuda:0",
        queues=["train"],
        telemetry={"utilisation_percent": 40, "memory_used_bytes": 5},
    )
    answer = client.get("/metrics", headers={"Authorization": "Bearer a-secret"})
    found = samples(answer.text)
    assert found["acc_queue_jobs", (("queue", "train"),)] == 2
    assert found["acc_workers", (("state", "online"),)] == 1
    labels = (("device", "cuda:0"), ("worker", "gpu"))
    assert found["acc_device_utilisation_ratio", labels] == pytest.approx(0.4)
    assert found["acc_device_memory_used_bytes", labels] == 5
    assert found["acc_objects", (("kind", "checkpoint"),)] == 1
    Worker.objects.all().delete()


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "Bearer ä"])
def test_others_are_refused(client: Client, settings: LazySettings, header: str) -> None:
    for token in ("", "a-secret"):
        settings.ACC_METRICS_TOKEN = token
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_the_dashboard_asks_only_for_figures_that_there_are(branch: Branch) -> None:
    workers.register(
        name="gpu",
        hostname="here",
        pid=1,
        device="cuda:0",
        queues=["train"],
        telemetry=dict.fromkeys(TELEMETRY, 1),
    )
    Job.objects.update(state="RUNNING", steps_per_second=1.0)
    known = {name for name, _ in samples(exposition().decode())}
    Job.objects.update(state="QUEUED")
    known |= {name for name, _ in samples(exposition().decode())}
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"acc_\w+", target["expr"])
    }
    assert len(asked) >= 10
    assert asked <= known


def test_staff_may_look(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("op", password="x", is_staff=True))
    assert client.get("/metrics").status_code == 200
