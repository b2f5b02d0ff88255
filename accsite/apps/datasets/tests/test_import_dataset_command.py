"""``manage.py import_dataset`` takes in files from the server's disk, or says what is wrong with them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from accsite import blobs
from accsite.apps.datasets.models import Dataset

pytestmark = pytest.mark.django_db

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = (np.arange(12) % 3).astype(np.uint8)


def run(*arguments: str | Path) -> tuple[str, str, int]:
    """Return what the command prints, what it complains of, and its exit status."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("import_dataset", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as end:
        status = int(end.code or 0)
    return out.getvalue(), err.getvalue(), status


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(tmp_path / "my_digits.npz", images=IMAGES, digit=LABELS)
    return tmp_path / "my_digits.npz"


def test_an_npz_file_becomes_a_dataset_named_after_it(npz: Path) -> None:
    get_user_model().objects.create_user("ann")
    assert run(npz, "--user", "ann") == ("my-digits\n", "", 0)
    row = Dataset.objects.get()
    assert (row.name, row.n, row.targets[0]["name"]) == ("my digits", 12, "digit")
    assert row.provenance == {"importer": "npz", "file": "my_digits.npz"}
    assert row.created_by is not None


def test_idx_files_become_a_dataset_with_labels(tmp_path: Path) -> None:
    images, labels = tmp_path / "pictures", tmp_path / "names"
    images.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 12, 28, 28) + IMAGES.tobytes())
    labels.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 12) + LABELS.tobytes())
    run(images, "--labels", labels, "--name", "Mine")
    assert Dataset.objects.get(slug="mine").targets[0]["classes"] == 3


def test_the_same_images_again_name_the_dataset_that_is_there(npz: Path) -> None:
    run(npz)
    out, err, _ = run(npz, "--name", "Again")
    assert out == "my-digits\n"
    assert "are here already, as 'my digits'" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "1st"), "name: '1st' is refused"),
        (("--user", "bob"), "user: there is no active user 'bob'; users are: none"),
        (("--max-bytes", "1000"), "bytes unpacked; at most 1,000"),
        (("--labels", "nowhere"), "labels: 'nowhere' is not needed"),
    ],
)
def test_a_refusal_ends_with_status_2_and_leaves_nothing_behind(
    npz: Path, arguments: tuple[str, str], words: str
) -> None:
    out, err, status = run(npz, *arguments)
    assert (out, status) == ("", 2)
    assert words in err
    assert not Dataset.objects.exists()
    assert list(blobs.scratch().iterdir()) == []


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, err, status = run(tmp_path / "nowhere.npz")
    assert status == 2
    assert "error: file: 'nowhere.npz' cannot be read" in err
