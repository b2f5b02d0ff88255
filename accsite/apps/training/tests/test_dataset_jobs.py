"""Jobs that make datasets are asked for once: what exists is offered, uploads are limited, users of a dataset named."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets import uses
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.recipes import recipe_hash
from accsite.apps.datasets.services import generation, imports, uploads
from accsite.apps.datasets.services.generation import DatasetExists
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch, Task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_storage(tmp_path: Path, settings: Any) -> Path:
    """Return the folder that blobs lie in for one test."""
    place = tmp_path / "blobs"
    options = {"location": str(place), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    settings.HOME = tmp_path / "home"
    return place


@pytest.fixture
def made(plugins: dict[str, Plugin], dataset: Dataset) -> Dataset:
    """Return a dataset that a generator has made of 50 images with seed 1."""
    plugin = plugins["HandwrittenDigits"]
    dataset.provenance = {
        "generator": plugin.name,
        "version": plugin.requires.get("version", 1),
        "params": {"size": 16},
        "n": 50,
        "seed": 1,
        "source_sha256": plugin.source_id,
    }
    dataset.recipe_hash = recipe_hash(dataset.provenance)
    dataset.save()
    return dataset


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def upload(data: bytes = b"some bytes", name: str = "x.npz") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def ask(user: Any, **changes: Any) -> Job:
    asked = {"params": {"size": "16"}, "n": 50, "seed": "1", **changes}
    return generation.submit_generation(actor=user, generator="HandwrittenDigits", **asked)


def test_asking_again_offers_the_dataset_that_exists(user: Any, made: Dataset) -> None:
    with pytest.raises(
        DatasetExists, match=f"have made '{made.name}' already; use it, or ask with force"
    ) as told:
        ask(user)
    assert told.value.existing == made.slug
    assert not Job.objects.exists()
    for change in ({"n": 51}, {"seed": 2}, {"params": {"size": 17}}, {"force": True}):
        assert ask(user, **change).kind == JobKind.GENERATE


def test_the_api_answers_with_what_exists_and_with_force_with_a_job(user: Any, made: Dataset) -> None:
    api = APIClient()
    api.force_login(user)
    asked = {"generator": "HandwrittenDigits", "params": {"size": 16}, "n": 50, "seed": 1}
    found = api.post("/api/v1/generators/generate/", asked, format="json")
    assert (found.status_code, found.json()["existing"]) == (409, made.slug)
    found = api.post("/api/v1/generators/generate/", {**asked, "force": True}, format="json")
    assert (found.status_code, found.json()["kind"]) == (202, "generate")


def test_a_duplicate_begins_with_what_the_first_was_made_from(made: Dataset) -> None:
    made.provenance["params"]["gone"] = 3
    made.save()
    found = generation.regeneration(made.slug)
    assert found == {
        "generator": "HandwrittenDigits",
        "params": {"size": 16},
        "n": 50,
        "seed": 1,
        "name": f"{made.name} 2",
    }
    Dataset.objects.update(recipe_hash="")
    with pytest.raises(InvalidInput, match="was not made by a generator"):
        generation.regeneration(made.slug)


def test_an_upload_over_http_becomes_a_job(user: Any, own_storage: Path) -> None:
    api = APIClient()
    api.force_login(user)
    sent = {"file": upload(name="../../my digits.npz"), "labels": upload(b"a\n1\n", "t.csv"), "name": "Mine"}
    found = api.post("/api/v1/datasets/import/", sent)
    assert found.status_code == 202, found.content
    job = Job.objects.get(pk=found.json()["id"])
    assert (job.kind, job.queue, job.spec["upload"]["name"]) == ("import", "default", "my digits.npz")
    assert (own_storage / job.spec["upload"]["file"]).read_bytes() == b"some bytes"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"file": ""}, "file"),
        ({"file": SimpleUploadedFile("x.npz", b"")}, "file"),
        ({"name": "a\nb"}, "name"),
        ({"pixels": "int4"}, "pixels"),
        ({"scale": "bright"}, "scale"),
        ({"classes": "none"}, "classes"),
        ({"mapping": "{"}, "mapping"),
        ({"mapping": '{"images": "x", "pixels": "int4"}'}, "pixels"),
        ({"like": "nowhere"}, "like"),
        ({"path": "/etc/passwd"}, "path"),
        ({"paths": "[1]"}, "paths"),
        ({"look": "perhaps"}, "look"),
        ({"job": "7"}, "job"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_upload_names_its_field_and_leaves_nothing_behind(
    user: Any, own_storage: Path, change: dict[str, Any], field: str
) -> None:
    api = APIClient()
    api.force_login(user)
    found = api.post("/api/v1/datasets/import/", {"file": upload(), **change})
    assert found.status_code == 422, found.content
    assert list(found.json()["errors"]) == [field]
    assert not Job.objects.exists()
    assert files(own_storage) == []


def test_what_was_looked_at_is_kept_by_its_job_within_a_day(user: Any, own_storage: Path) -> None:
    api = APIClient()
    api.force_login(user)
    found = api.post(
        "/api/v1/datasets/import/", {"file": upload(), "labels": upload(b"a", "t.csv"), "look": "true"}
    )
    job = Job.objects.get(pk=found.json()["id"])
    assert (job.spec["look"], job.title) == (True, "Look at x")
    kept = api.post("/api/v1/datasets/import/", {"job": job.pk})
    assert "it must have looked first" in str(kept.json()["errors"]["job"])
    Job.objects.filter(pk=job.pk).update(state="SUCCEEDED", finished_at=timezone.now())
    assert imports.uploads_in_use() == [job.spec["upload"]["file"], job.spec["labels"]["file"]]
    kept = api.post("/api/v1/datasets/import/", {"job": job.pk, "scale": "0..1", "name": "Mine"})
    assert kept.status_code == 202, kept.content
    keeping = Job.objects.get(pk=kept.json()["id"])
    assert keeping.spec["upload"] == job.spec["upload"]
    assert keeping.spec["labels"] == job.spec["labels"]
    assert (keeping.spec["changes"], keeping.spec["look"]) == ({"scale": "0..1"}, False)
    drop(keeping)
    assert files(own_storage) == []
    assert "kept no longer; upload it again" in str(
        api.post("/api/v1/datasets/import/", {"job": job.pk}).json()
    )
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=2))
    assert job.spec["upload"]["file"] not in imports.uploads_in_use(but=[keeping.pk])


def test_an_upload_that_is_too_large_is_refused(user: Any, own_storage: Path, settings: Any) -> None:
    settings.ACC_MAX_DATASET_BYTES = 1_000
    with pytest.raises(InvalidInput, match=r"'x.npz' has 1,001 bytes; at most 1,000 are allowed"):
        uploads.keep(upload(bytes(1_001)))
    api = APIClient()
    api.force_login(user)
    assert api.post("/api/v1/datasets/import/", {"file": upload(bytes(2_000_000))}).status_code == 413
    assert files(own_storage) == []


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_half_way_is_told_and_nothing_is_kept(own_storage: Path) -> None:
    file = upload(bytes(3_000_000))
    with disk_of(1_000_000), pytest.raises(InvalidInput, match="is full: 3,000,000 bytes are needed"):
        uploads.keep(file)
    assert files(own_storage) == []


def drop(job: Job) -> None:
    """Drop the files of a job as the attempt that holds it does."""
    Job.objects.filter(pk=job.pk).update(state="RUNNING", attempt=1)
    imports.drop_uploads(job, 1)


def test_uploads_go_once_no_job_is_to_read_them(user: Any, own_storage: Path, monkeypatch: Any) -> None:
    first = imports.submit_import(actor=user, upload=uploads.keep(upload()), look=True)
    Job.objects.filter(pk=first.pk).update(state="SUCCEEDED", finished_at=timezone.now())
    one, two = (imports.submit_import(actor=user, looked=imports.looked_at(user, first.pk)) for _ in range(2))
    file = first.spec["upload"]["file"]
    assert file == one.spec["upload"]["file"] == two.spec["upload"]["file"]
    drop(one)
    assert default_storage.exists(file)
    monkeypatch.setattr(uploads, "GRACE", timedelta(0))
    (blobs.scratch() / f"{uploads.WORK_FOLDER}{two.pk}").mkdir()
    assert uploads.purge() == []
    Job.objects.update(state="CANCELLED", finished_at=timezone.now())
    time.sleep(0.01)
    assert uploads.purge() == [file]
    assert files(own_storage) == []
    assert list(blobs.scratch().iterdir()) == []


def test_of_two_uploads_of_the_same_content_one_is_dropped_and_the_other_stays(
    user: Any, own_storage: Path
) -> None:
    first = imports.submit_import(actor=user, upload=uploads.keep(upload()))
    coming = uploads.keep(upload())  # and before its job is there, that of the other ends
    drop(first)
    second = imports.submit_import(actor=user, upload=coming)
    assert files(own_storage) == [Path(second.spec["upload"]["file"]).name]


def test_an_attempt_that_has_lost_its_job_drops_nothing_that_the_next_reads(
    user: Any, own_storage: Path
) -> None:
    job = imports.submit_import(actor=user, upload=uploads.keep(upload()))
    Job.objects.filter(pk=job.pk).update(state="RUNNING", attempt=2)
    imports.drop_uploads(job, 1)
    Job.objects.filter(pk=job.pk).update(state="QUEUED")  # it is to be begun again
    imports.drop_uploads(job, 2)
    assert len(files(own_storage)) == 1
    Job.objects.filter(pk=job.pk).update(state="RUNNING")
    imports.drop_uploads(job, 2)
    assert files(own_storage) == []


def test_what_is_dropped_while_it_is_asked_for_is_told(
    user: Any, own_storage: Path, monkeypatch: Any
) -> None:
    first = imports.submit_import(actor=user, upload=uploads.keep(upload()), look=True)
    Job.objects.filter(pk=first.pk).update(state="SUCCEEDED", finished_at=timezone.now())
    one = imports.submit_import(actor=user, looked=imports.looked_at(user, first.pk))
    looked = imports.looked_at(user, first.pk)
    drop(one)
    with pytest.raises(InvalidInput, match="is kept no longer; upload it again"):
        imports.submit_import(actor=user, looked=looked)
    assert Job.objects.count() == 2


def test_tasks_and_checkpoints_are_named_as_users(branch: Branch, task: Task) -> None:
    from accsite.apps.training.tests import rows

    dataset = task.dataset
    assert uses.users_of(dataset) == [f"task '{task.name}' of {branch}"]
    checkpoint = rows.make_checkpoint(branch)
    checkpoint.spec = {**checkpoint.spec, "datasets": {dataset.slug: {"content_hash": dataset.content_hash}}}
    checkpoint.save()
    assert uses.users_of(dataset)[1] == f"checkpoint '{checkpoint}' of {branch}"
