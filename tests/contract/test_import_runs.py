"""Runs of other trackers are taken over by the API: a job reads them where its maker may, and nobody else sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from acc.track.tests.stores import mlflow_store
from accsite.apps.jobs.models import Job
from tests.contract import real

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/api/v1/jobs/"


@pytest.fixture
def api(tmp_path: Path, settings: Any) -> APIClient:
    options = {"location": str(tmp_path / "blobs"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    settings.HOME = tmp_path / "home"
    settings.ACC_IMPORT_ROOTS = [tmp_path / "server"]
    (tmp_path / "server").mkdir()
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def asked(api: APIClient, path: Path, **fields: Any) -> Job:
    answer = api.post(PATH, {"kind": "import_runs", "path": str(path), **fields}, format="json")
    assert answer.status_code in (201, 202), answer.content
    return Job.objects.get(pk=answer.json()["id"])


def test_a_job_takes_over_what_lies_on_the_server_and_later_what_is_new(
    api: APIClient, tmp_path: Path
) -> None:
    mlruns, metric = mlflow_store(tmp_path / "server", "0 1.0 0\n")
    worker = real.make_worker()
    done = real.run(asked(api, mlruns, experiment="Taken"), worker)
    assert (done.state, done.title) == ("SUCCEEDED", "Import runs of mlruns")
    [run] = done.result["runs"]
    track = Job.objects.get(pk=run["job"])
    assert (str(track.branch), run["points"], track.state) == ("taken/first", 1, "SUCCEEDED")
    metric.write_text("0 1.0 0\n9 0.5 1\nx\n")
    again = real.run(asked(api, mlruns, experiment="Taken"), worker)
    assert [(each["job"], each["points"], each["known"]) for each in again.result["runs"]] == [
        (track.pk, 1, True)
    ]
    assert "could not be read, the first: Taken/first: metric 'loss'" in again.message
    other = APIClient()
    other.force_login(get_user_model().objects.create_user("ben"))
    assert other.get(f"{PATH}{done.pk}/").status_code == 404
    assert other.get(f"{PATH}{track.pk}/").status_code == 200


def test_event_files_are_read_by_what_lies_in_the_folder_itself(api: APIClient, tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    logs = tmp_path / "server" / "logs"
    with SummaryWriter(str(logs / "one")) as writer:
        writer.add_scalar("loss", 1.0, 3)
    done = real.run(asked(api, logs), real.make_worker())
    assert [(run["branch"], run["points"]) for run in done.result["runs"]] == [("logs/one", 1)]
    (logs / "two").symlink_to(tmp_path)
    refused = real.run(asked(api, logs), real.make_worker())
    assert (refused.state, "holds the link 'two'" in refused.message) == ("FAILED", True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "path"),
        ({"path": "/etc"}, "path"),
        ({"path": 7}, "path"),
        ({"experiment": "a\u0000"}, "experiment"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_names_its_field(api: APIClient, tmp_path: Path, fields: Any, field: str) -> None:
    there = {"path": str(tmp_path / "server")} if "experiment" in fields or "colour" in fields else {}
    answer = api.post(PATH, {"kind": "import_runs", **there, **fields}, format="json")
    assert (answer.status_code, list(answer.json().get("errors", {}))) == (422, [field])
    assert not Job.objects.exists()
