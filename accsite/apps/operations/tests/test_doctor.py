"""The doctor says what is not well and what to do; a well installation passes."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.utils import timezone

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import workers
from accsite.apps.operations import doctor
from accsite.apps.operations.doctor import Finding, examine
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


def found(check: str) -> list[Finding]:
    return [finding for finding in examine() if finding.check == check]


@pytest.fixture
def well(stored: Path, settings: LazySettings, tmp_path: Path) -> None:
    settings.HOME = tmp_path
    workers.register(name="all", hostname="here", pid=1, device="cpu", queues=kinds.queues(), telemetry={})
    PluginFile.objects.create(path="tasks/one.py", sha256="0" * 64)


def test_a_well_installation_has_nothing_to_mend(well: None) -> None:
    sick = [finding for finding in examine() if finding.state != "ok" and finding.check != "redis"]
    assert sick == []


def test_a_queue_without_a_worker_is_named_with_what_to_start(well: None, branch: Branch) -> None:
    Worker.objects.update(queues=["eval"])
    train = next(finding for finding in found("workers") if "queue train" in finding.text)
    assert train.state == "failure"
    assert "1 jobs wait" in train.text
    assert "manage.py worker --queue train" in train.remedy


def test_a_job_whose_lease_ended_long_ago_is_named(well: None, branch: Branch) -> None:
    job = rows.make_job(branch)
    Job.objects.filter(pk=job.pk).update(
        state="RUNNING", lease_expires_at=timezone.now() - timedelta(hours=1)
    )
    [finding] = found("jobs")
    assert (finding.state, str(job.pk) in finding.text) == ("failure", True)
    assert "sweeper" in finding.remedy


def test_a_broken_plugin_is_named_with_its_line(well: None) -> None:
    PluginFile.objects.create(path="tasks/bad.py", sha256="1" * 64, error="invalid syntax", error_line=3)
    [finding] = found("plugins")
    assert finding.text == "tasks/bad.py, line 3: invalid syntax"


def test_a_hot_device_is_named(well: None) -> None:
    Worker.objects.update(telemetry={"device_name": "H200", "temperature_celsius": 95})
    [finding] = found("devices")
    assert (finding.state, "95 °C" in finding.text) == ("warning", True)


def test_a_storage_that_refuses_is_a_failure_and_the_others_are_looked_at(well: None, stored: Path) -> None:
    stored.parent.mkdir(exist_ok=True)
    stored.write_text("a file where the folder should be")
    [finding] = found("storage")
    assert finding.state == "failure"
    assert found("clock")


def test_redis_that_does_not_answer_is_a_failure(well: None, settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    [finding] = found("redis_server") or found("redis")
    assert finding.state == "failure"


def test_the_command_fails_with_a_failure_and_prints_each_finding(well: None) -> None:
    Worker.objects.all().delete()
    out = StringIO()
    with pytest.raises(SystemExit) if any(f.state == "failure" for f in examine()) else _quiet():
        call_command("doctor", "--json", stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["check"] for line in lines} >= {"database", "storage", "workers", "clock"}
    assert all(line["remedy"] for line in lines if line["state"] != "ok")


def _quiet() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_every_check_is_documented() -> None:
    assert all(check.__doc__ for check in doctor.CHECKS)
