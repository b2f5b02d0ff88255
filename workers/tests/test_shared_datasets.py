"""Workers of one machine share one copy of a dataset in memory, and one in the cache when storage is remote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage

from acc.data import AccDataset
from accsite import blobs
from accsite.apps.datasets import services
from accsite.apps.training.specs import dataset_spec
from workers.job.materials import Datasets

SIZE = 32 * 2**20
READ = """
import sys
from pathlib import Path
import numpy as np
from acc.data import AccDataset
data = AccDataset.load(Path(sys.argv[1]))
print(int(data.images[::64].astype(np.int64).sum()), flush=True)
sys.stdin.readline()
lines = Path("/proc/self/smaps").read_text().split(sys.argv[1])[1].splitlines()[1:]
kb = dict(line.split(":") for line in lines[:20] if ":" in line and line.endswith("kB"))
own = sum(int(kb[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
print(int(kb["Rss"].split()[0]), own, flush=True)
sys.stdin.readline()
"""


def test_processes_share_one_copy_of_the_images(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    AccDataset(np.ones((SIZE // 1024, 1, 32, 32), np.uint8)).save(path)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        sums = [reader.stdout.readline() for reader in readers]  # type: ignore[union-attr]
        assert sums[0] == sums[1] == f"{SIZE // 64}\n"
        for reader in readers:
            print("", file=reader.stdin, flush=True)
            resident, own = map(int, reader.stdout.readline().split())  # type: ignore[union-attr]
            assert resident > 1_000
            assert own < resident / 10
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
            for stream in (reader.stdin, reader.stdout):
                stream.close()  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_dataset_of_remote_storage_is_fetched_once_and_mapped(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME = tmp_path / "home"
    remote = {"BACKEND": "django.core.files.storage.InMemoryStorage", "OPTIONS": {}}
    settings.STORAGES = {**settings.STORAGES, "default": remote}
    draft = blobs.scratch() / "draft.safetensors"
    AccDataset(np.arange(20 * 64, dtype=np.uint8).reshape(20, 1, 8, 8)).save(draft)
    row = services.create_dataset(actor=None, name="Far", dataset_path=draft, provenance={})
    fetched: list[str] = []
    real = default_storage.open

    def opened(name: str, *mode: str) -> Any:
        fetched.append(name)
        return real(name, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "open", opened)
        for _ in range(2):
            datasets = Datasets()
            datasets.load("far", dataset_spec(row))
            images = datasets["far"].images
            assert images[3, 0, 0, 0] == 192
            assert not images.flags.writeable
            assert not images.flags.owndata
    assert fetched == [row.file]
    assert [path.name for path in (tmp_path / "home" / "cache").iterdir()] == [f"{row.sha256}.safetensors"]
