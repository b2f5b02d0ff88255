"""An upload is looked at by a worker, shown, answered, and kept; what was not answered is refused in words."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from acc.data import AccDataset
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import logs
from tests.contract import real
from workers.job import joblog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user(tmp_path: Any, settings: Any) -> Any:
    """Return somebody who may write, on a site with a storage of its own."""
    options = {"location": str(tmp_path / "blobs"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    settings.HOME = tmp_path / "home"
    return get_user_model().objects.create_superuser("ada")


def dots() -> SimpleUploadedFile:
    """Return an archive whose images are bytes of 0 and 1, as dSprites'."""
    file = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 2, (12, 8, 8), dtype=np.uint8)
    np.savez(file, images=images, posX=np.linspace(0, 1, 12), index=np.arange(12))
    return SimpleUploadedFile("dots.npz", file.getvalue())


def printed(job: Job, text: str) -> None:
    """Leave what the first attempt of a job prints where its process writes it."""
    (joblog.folder_of("w") / f"{job.pk}-1-0.log").write_text(f"{text}\n")


def test_what_was_looked_at_is_shown_answered_and_kept(user: Any) -> None:
    worker = real.make_worker()
    client = Client()
    client.force_login(user)
    sent = client.post(reverse("datasets:dataset-import"), {"file": dots(), "pixels": "uint8"})
    job = Job.objects.get()
    place = reverse("datasets:dataset-looked", args=[job.pk])
    assert sent["Location"] == place
    assert "nothing is kept yet" in client.get(place).content.decode()
    printed(job, "found in it")
    real.run(job, worker)
    assert logs.last_lines(job) == ["found in it"], "kept before the end is told"
    page = client.get(place).content.decode()
    assert "uint8, 0 to 1, 2 different values; scale 0..1 (black..white)" in page
    assert "under a tenth of what uint8 holds" in page
    assert "id &#x27;index&#x27;" in page
    assert not Dataset.objects.exists()
    other = Client()
    other.force_login(get_user_model().objects.create_user("ben"))
    assert "It is for its maker to keep." in other.get(place).content.decode()
    assert other.post(place, {"scale": "0..1", "name": "mine now"}).status_code == 403
    sent = other.post(reverse("api:dataset-import"), {"job": job.pk, "scale": "0..1"})
    assert (sent.status_code, "its maker's to keep" in sent.content.decode()) == (403, True)
    assert Job.objects.count() == 1
    refused = client.post(place, {"scale": "bright"})
    assert refused.status_code == 422
    assert "as LOW..HIGH" in refused.content.decode()
    assert client.post(place, {"scale": "0..1", "name": "dots, of 0 and 1"}).status_code == 302
    keeping = Job.objects.exclude(pk=job.pk).get()
    page = client.get(place).content.decode()
    assert "is being kept by" in page
    assert "Keep it" not in page
    printed(keeping, "before the stop")
    stopped = real.run(keeping, worker, asked="stop")
    assert stopped.state == "CANCELLED"
    assert logs.last_lines(keeping) == ["before the stop"]
    page = client.get(place).content.decode()
    assert "Nothing is kept yet" in page
    assert client.post(place, {"scale": "0..1", "name": "dots, of 0 and 1"}).status_code == 302
    keeping = Job.objects.latest("pk")
    printed(keeping, "kept")
    real.run(keeping, worker)
    assert logs.last_lines(keeping) == ["kept"]
    row = Dataset.objects.get()
    page = client.get(place).content.decode()
    assert "Nothing is kept yet" not in page
    assert "Keep it" not in page
    assert reverse("datasets:detail", args=[row.slug]) in page
    assert (row.name, row.provenance["scale"]) == ("dots, of 0 and 1", "0..1")
    assert [target["name"] for target in row.targets] == ["posX"]
    assert AccDataset.load(blobs.open_local(row.file, row.sha256)).images.max() == 255


def test_a_job_that_must_ask_fails_with_the_question(user: Any) -> None:
    worker = real.make_worker()
    api = APIClient()
    api.force_login(user)
    found = api.post("/api/v1/datasets/import/", {"file": dots()})
    job = Job.objects.get(pk=found.json()["id"])
    real.run(job, worker)
    job.refresh_from_db()
    assert job.state == "FAILED"
    assert "scale=0..1 (proposed)" in job.message
    assert not Dataset.objects.exists()
