"""Files are looked at by a worker, shown, mapped, previewed and imported; what does not fit is refused in words."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image
from rest_framework.test import APIClient

from acc.data import AccDataset
from accsite import blobs
from accsite.apps.datasets import pages
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


def dots(seed: int = 0, *, posX: str = "posX") -> SimpleUploadedFile:  # noqa: N803 - the column's name
    """Return an archive whose images are bytes of 0 and 1, as dSprites', with a target called ``posX``."""
    file = io.BytesIO()
    images = np.random.default_rng(seed).integers(0, 2, (12, 8, 8), dtype=np.uint8)
    target: dict[str, Any] = {posX: np.linspace(0, 1, 12)}
    np.savez(file, images=images, index=np.arange(12), **target)
    return SimpleUploadedFile("dots.npz", file.getvalue())


def printed(job: Job, text: str) -> None:
    """Leave what the first attempt of a job prints where its process writes it."""
    (joblog.folder_of("w") / f"{job.pk}-1-0.log").write_text(f"{text}\n")


def looked_at_dots(user: Any) -> tuple[Client, str, Any]:
    """Return who has had dots looked at, the page of that, and its form."""
    client = Client()
    client.force_login(user)
    sent = client.post(reverse("datasets:dataset-import"), {"file": dots()})
    real.run(Job.objects.latest("pk"), real.make_worker())
    return client, sent["Location"], client.get(sent["Location"]).context["form"]


def filled(form: Any, **changes: Any) -> dict[str, Any]:
    """Return a form as a browser sends it, with some fields changed."""
    values = {**form.filled(), **changes}
    return {
        name: "on" if value is True else value for name, value in values.items() if value not in (False, None)
    }


def test_what_was_looked_at_is_shown_with_what_is_proposed(user: Any) -> None:
    worker = real.make_worker()
    client = Client()
    client.force_login(user)
    sent = client.post(reverse("datasets:dataset-import"), {"file": dots()})
    job = Job.objects.get()
    place = reverse("datasets:dataset-looked", args=[job.pk])
    assert sent["Location"] == place
    assert "nothing is kept yet" in client.get(place).content.decode()
    printed(job, "found in it")
    real.run(job, worker)
    assert logs.last_lines(job) == ["found in it"], "kept before the end is told"
    shown = client.get(place)
    page = shown.content.decode()
    assert "under a tenth of what uint8 holds" in page
    assert "posX" in page
    form = shown.context["form"]
    assert form["scale"].value() == "0..1"
    assert [row.column.key for row in form.rows if row.use.value() == "id"] == ["index"]
    picture = client.get(reverse("datasets:dataset-looked-picture", args=[job.pk]))
    assert Image.open(io.BytesIO(picture.content)).size == (64, 8)
    assert not Dataset.objects.exists()


def test_an_upload_is_its_makers_to_import_and_what_was_typed_stays(user: Any) -> None:
    client, place, form = looked_at_dots(user)
    # To another it is not there, neither its page nor its picture, and nothing tells of it.
    other, job = Client(), Job.objects.get()
    other.force_login(get_user_model().objects.create_user("ben"))
    assert (
        other.get(place).status_code == other.post(place, filled(form, **{"import": "1"})).status_code == 404
    )
    assert other.get(reverse("datasets:dataset-looked-picture", args=[job.pk])).status_code == 404
    sent = other.post(reverse("api:dataset-import"), {"job": job.pk, "scale": "0..1"})
    assert "is no job that has looked at an upload" in sent.json()["errors"]["job"][0]
    assert Job.objects.count() == 1
    # What cannot be is said beside its field, and what was typed stays.
    refused = client.post(place, filled(form, scale="bright", resize="x", **{"import": "1"}))
    assert refused.status_code == 422
    assert "write one side, 64, or height x width" in refused.content.decode()
    assert refused.context["form"]["scale"].value() == "bright"


def test_what_was_filled_in_is_previewed_and_imported(user: Any) -> None:
    worker = real.make_worker()
    client, place, form = looked_at_dots(user)
    changes = {"name-0": "Größe (mm)", "resize": "16 x 24", "name": "dots, of 0 and 1"}
    seen = client.post(place, filled(form, preview="1", **changes))
    again = Job.objects.latest("pk")
    place = reverse("datasets:dataset-looked", args=[again.pk])
    assert seen["Location"] == place
    waiting = client.get(place)
    assert "being made" in waiting.content.decode()
    assert waiting.context["form"]["name-0"].value() == "Größe (mm)"
    real.run(again, worker)
    shown = client.get(place)
    assert shown.context["look"].shape == (1, 16, 24)
    assert [each.histogram.target for each in shown.context["look"].bars] == ["Größe (mm)"]
    form = shown.context["form"]
    assert client.post(place, filled(form, **{"import": "1"})).status_code == 302
    keeping = Job.objects.latest("pk")
    page = client.get(place).content.decode()
    assert "is being imported by" in page
    assert 'name="import"' not in page
    printed(keeping, "before the stop")
    stopped = real.run(keeping, worker, asked="stop")
    assert stopped.state == "CANCELLED"
    assert logs.last_lines(keeping) == ["before the stop"]
    form = client.get(place).context["form"]
    assert client.post(place, filled(form, **{"import": "1"})).status_code == 302
    keeping = Job.objects.latest("pk")
    printed(keeping, "kept")
    real.run(keeping, worker)
    assert logs.last_lines(keeping) == ["kept"]
    row = Dataset.objects.get()
    page = client.get(place).content.decode()
    assert 'name="import"' not in page
    assert reverse("datasets:detail", args=[row.slug]) in page
    assert (row.name, row.provenance["scale"]) == ("dots, of 0 and 1", "0..1")
    assert [target["name"] for target in row.targets] == ["Größe (mm)"]
    assert (row.height, row.width) == (16, 24)
    assert AccDataset.load(blobs.open_local(row.file, row.sha256)).images.max() == 255
    assert not [file for file in files(user) if not file.endswith(".png")], (
        "the upload goes once it is imported"
    )


def files(_user: Any) -> list[str]:
    """Return the names of the uploads that are kept."""
    return default_storage.listdir("uploads")[1]


def test_a_dataset_says_how_it_was_imported_and_another_file_is_imported_like_it(user: Any) -> None:
    worker = real.make_worker()
    api, client = APIClient(), Client()
    api.force_login(user)
    client.force_login(user)
    mapping = {
        "images": "images",
        "scale": "0..1",
        "targets": [{"source": "posX", "name": "x"}],
        "id": "index",
    }
    found = api.post("/api/v1/datasets/import/", {"file": dots(), "mapping": json.dumps(mapping)})
    real.run(Job.objects.get(pk=found.json()["id"]), worker)
    first = Dataset.objects.get()
    page = client.get(reverse("datasets:detail", args=[first.slug])).content.decode()
    assert "How it was imported" in page
    assert f"{reverse('datasets:dataset-import')}?like={first.slug}" in page
    assert "import_dataset dots.npz --mapping" in page
    assert (
        "is mapped as"
        in client.get(f"{reverse('datasets:dataset-import')}?like={first.slug}").content.decode()
    )
    sent = client.post(reverse("datasets:dataset-import"), {"file": dots(1), "like": first.slug})
    job = Job.objects.latest("pk")
    real.run(job, worker)
    form = client.get(sent["Location"]).context["form"]
    assert [row.name.value() for row in form.rows if row.use.value() == "target"] == ["x"]
    # A file that has no such column says so, and shows what there is.
    sent = client.post(reverse("datasets:dataset-import"), {"file": dots(2, posX="posY"), "like": first.slug})
    real.run(Job.objects.latest("pk"), worker)
    shown = client.get(sent["Location"])
    assert shown.status_code == 200
    assert (
        "&#x27;posX&#x27; is no column of &#x27;dots.npz&#x27;; its columns are: " in shown.content.decode()
    )
    assert {row.column.key for row in shown.context["form"].rows} == {"posY", "index"}


def test_the_api_looks_proposes_and_imports(user: Any) -> None:
    worker = real.make_worker()
    api = APIClient()
    api.force_login(user)
    job = Job.objects.get(
        pk=api.post("/api/v1/datasets/import/", {"file": dots(), "look": "true"}).json()["id"]
    )
    place = f"/api/v1/datasets/import/{job.pk}/"
    assert api.get(place).json()["source"] is None
    real.run(job, worker)
    found = api.get(place).json()
    assert [array["name"] for array in found["source"]["arrays"] if array["role"] == "images"] == ["images"]
    assert [question["field"] for question in found["questions"] if question["needed"]] == ["scale"]
    assert (found["mapping"]["scale"], found["mapping"]["id"], found["imported"]) == ("0..1", "index", None)
    assert found["command"][:2] == ["--images", "images"]
    assert found["preview"]["shape"] == [1, 8, 8]
    assert [each["target"] for each in found["preview"]["histograms"]] == ["posX"]
    assert api.get(found["preview"]["url"]).content.startswith(b"\x89PNG")
    mapping = {**found["mapping"], "steps": {"resize": [12, 12]}}
    sent = api.post(
        "/api/v1/datasets/import/", {"job": job.pk, "mapping": mapping, "name": "Dots"}, format="json"
    )
    assert sent.status_code == 202, sent.content
    real.run(Job.objects.get(pk=sent.json()["id"]), worker)
    assert api.get(place).json()["imported"] == "dots"
    assert Dataset.objects.get().height == 12
    assert api.get("/api/v1/datasets/import/999/").status_code == 404
    again = api.post("/api/v1/datasets/import/", {"job": job.pk, "mapping": mapping}, format="json")
    assert "is kept no longer; upload it again" in str(again.json()["errors"]["job"])


def test_the_files_of_a_folder_and_a_path_of_the_server_are_looked_at(
    user: Any, tmp_path: Path, settings: Any
) -> None:
    worker = real.make_worker()
    api = APIClient()
    api.force_login(user)
    folder = tmp_path / "server" / "faces"
    paths = [
        f"{part}/{kind}/{number}.png" for part in ("train", "val") for kind in "ab" for number in range(2)
    ]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(path)).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / path)
    sent = {"file": [SimpleUploadedFile(Path(path).name, (folder / path).read_bytes()) for path in paths]}
    told = json.dumps([f"faces/{path}" for path in paths])
    found = api.post("/api/v1/datasets/import/", {**sent, "paths": told, "look": "true"})
    uploaded = Job.objects.get(pk=found.json()["id"])
    settings.ACC_IMPORT_ROOTS = [tmp_path / "server"]
    found = api.post("/api/v1/datasets/import/", {"path": str(folder), "look": True}, format="json")
    there = Job.objects.get(pk=found.json()["id"])
    looks = []
    for job in (uploaded, there):
        real.run(job, worker)
        looks.append(api.get(f"/api/v1/datasets/import/{job.pk}/").json())
    assert looks[0]["source"] == looks[1]["source"]
    assert looks[0]["source"]["splits"] == [{"column": "split", "parts": {"train": 4, "val": 4}}]
    kept = api.post("/api/v1/datasets/import/", {"job": there.pk, "parts": ["train"]}, format="json")
    real.run(Job.objects.get(pk=kept.json()["id"]), worker)
    assert Dataset.objects.get().n == 4
    assert len(list(folder.rglob("*.png"))) == 8, "what lies on the server stays"


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


def test_files_may_be_called_as_the_folders_are_that_a_job_puts_them_in(user: Any) -> None:
    images = io.BytesIO()
    np.save(images, np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8))
    client = APIClient()
    client.force_authenticate(user)
    table = SimpleUploadedFile("beside", b"digit\n0\n1\n0\n1\n0\n1\n")
    table.name = "beside.csv"
    files = {"file": SimpleUploadedFile("beside", images.getvalue()), "labels": table}
    sent = client.post(reverse("api:dataset-import"), files, format="multipart")
    assert sent.status_code == 202, sent.json()
    job = Job.objects.get()
    real.run(job, real.make_worker())
    job.refresh_from_db()
    assert (job.state, job.message) == ("SUCCEEDED", "")
    dataset = Dataset.objects.get()
    assert [target["name"] for target in dataset.targets] == ["digit"]
    again = pages.imported(dataset)
    assert again is not None
    assert "import_dataset beside --labels beside.csv --mapping" in again.command


def test_what_was_looked_at_by_a_mapping_is_imported_by_it(user: Any) -> None:
    client, worker = APIClient(), real.make_worker()
    client.force_authenticate(user)
    address = reverse("api:dataset-import")
    mapping = {
        "images": "images",
        "scale": "0..1",
        "targets": [{"source": "posX", "name": "place", "kind": "real"}],
    }
    told = {"file": dots(), "look": "true", "mapping": json.dumps(mapping)}
    looked = client.post(address, told, format="multipart").json()["id"]
    real.run(Job.objects.get(pk=looked), worker)
    sent = client.post(address, {"job": looked}, format="json")
    assert sent.status_code == 202, sent.json()
    real.run(Job.objects.latest("pk"), worker)
    dataset = Dataset.objects.get()
    assert [target["name"] for target in dataset.targets] == ["place"]
    assert dataset.provenance["mapping"]["scale"] == "0..1"


def test_the_command_of_a_look_names_both_of_its_files(user: Any) -> None:
    images = io.BytesIO()
    np.save(images, np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8))
    client = Client()
    client.force_login(user)
    labels = SimpleUploadedFile("marks.csv", b"digit\n0\n1\n0\n1\n0\n1\n")
    files = {"file": SimpleUploadedFile("dots.npy", images.getvalue()), "labels": labels}
    page = client.post(reverse("datasets:dataset-import"), files)["Location"]
    real.run(Job.objects.get(), real.make_worker())
    assert "import_dataset dots.npy --labels marks.csv --mapping" in client.get(page).content.decode()


def test_what_lies_behind_transparent_pictures_is_asked_and_can_be_said(user: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(3):
            picture, pixels = io.BytesIO(), np.full((16, 16, 3), 60 * number, np.uint8)
            # A colour is transparent, and there is no channel that says so.
            Image.fromarray(pixels).save(picture, "PNG", transparency=(0, 0, 0))
            file.writestr(f"{number}.png", picture.getvalue())
    client = Client()
    client.force_login(user)
    sent = {"file": SimpleUploadedFile("dots.zip", archive.getvalue())}
    page = client.post(reverse("datasets:dataset-import"), sent)["Location"]
    real.run(Job.objects.get(), real.make_worker())
    form = client.get(page).context["form"]
    assert "which is transparent in places" in form.errors["background"][0]
    said = filled(form, background="white", preview="1", scale="0..255")
    again = client.post(page, said)["Location"]
    real.run(Job.objects.latest("pk"), real.make_worker())
    look = client.get(again).context["look"]
    assert (look.errors, look.picture["n"]) == ({}, 3)
