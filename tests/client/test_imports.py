"""A folder is sent with its paths, looked at, and imported by what is proposed, from Python and from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.utils import timezone

from acc.client import Client
from acc.client.__main__ import main
from acc.data.importers.mapping import ArrayFound, ImportMapping, Source
from acc.errors import InvalidInput
from accsite.apps.datasets.looks import Look
from accsite.apps.jobs.models import Job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two files and a hidden one."""
    for name in ("train/a.png", "val/b.png", ".cache/x"):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "faces"


def looked(job: Job) -> None:
    """End a job as one that has looked at three images."""
    array = ArrayFound(name="pictures", shape=(3, 8, 8), dtype="uint8", role="images", least=0, greatest=255)
    source = Source(file="faces", format="images", rows=3, arrays=(array,))
    result = Look(job, source, ImportMapping(images="pictures", scale="0..255")).as_result()
    Job.objects.filter(pk=job.pk).update(state="SUCCEEDED", result=result, finished_at=timezone.now())


def test_a_folder_is_looked_at_and_taken(client: Client, folder: Path) -> None:
    job = Job.objects.get(pk=client.datasets.upload(folder, look=True, name="Faces")["id"])
    assert [file["name"] for file in job.spec["upload"]["files"]] == ["faces/train/a.png", "faces/val/b.png"]
    assert (job.spec["look"], job.spec["upload"]["name"]) == (True, "faces")
    assert client.datasets.looked(job.pk)["source"] is None
    looked(job)
    found = client.datasets.looked(job.pk)
    assert found["command"] == ["--images", "pictures", "--channels", "none", "--scale", "0..255"]
    taken = Job.objects.get(pk=client.datasets.take(job.pk, mapping=found["mapping"], name="Mine")["id"])
    assert (taken.spec["upload"], taken.spec["looked"]) == (job.spec["upload"], job.pk)
    assert ImportMapping.parse(taken.spec["mapping"]) == ImportMapping(images="pictures", scale="0..255")
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no file"):
        client.datasets.upload(folder / "empty")


def test_a_shell_does_the_same(
    site_url: str,
    token: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACC_TOKEN", token)
    look = folder.parent / "look.json"

    def shell(*words: str) -> str:
        assert main(["--url", site_url, *words]) == 0
        return capsys.readouterr().out

    shell("upload", str(folder), "--look")
    job = Job.objects.get()
    looked(job)
    assert "faces: images, 3 images" in shell("looked", str(job.pk))
    look.write_text(shell("--json", "looked", str(job.pk)))
    assert json.loads(look.read_text())["mapping"]["images"] == "pictures"
    shell("take", str(job.pk), "--mapping", str(look), "--name", "Mine")
    assert Job.objects.latest("pk").spec["mapping"]["scale"] == "0..255"
