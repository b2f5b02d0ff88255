"""``manage.py import_dataset`` takes in files from the server's disk, or says what is wrong with them."""

from __future__ import annotations

import io
import json
import resource
import shlex
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from PIL import Image

from acc.data import AccDataset, exporters
from acc.specs import TargetSpec
from accsite import blobs
from accsite.apps.datasets.models import Dataset

pytestmark = pytest.mark.django_db

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = (np.arange(12) % 3).astype(np.uint8)
DIGIT = TargetSpec(name="digit", kind="class", classes=3)


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
    out, err, status = run(npz, "--user", "ann")
    assert (out, status) == ("my-digits\n", 0)
    assert "pixels: uint8, 0 to 255; scale 0..255" in err
    row = Dataset.objects.get()
    assert (row.name, row.n, row.targets[0]["name"]) == ("my digits", 12, "digit")
    assert [row.provenance[name] for name in ("importer", "file", "scale")] == [
        "npz",
        "my_digits.npz",
        "0..255",
    ]
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
        (("--name", "a\nb"), "name: 'a\\nb' has characters that cannot be shown"),
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


def test_images_in_a_folder_or_tensors_in_a_file_become_datasets(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number in range(4):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[number]).save(folder / "ab"[number % 2] / f"{number}.png")
    out, err, status = run(folder)
    assert (out, status) == ("set\n", 0)
    assert "a folder for each of 2 classes: 'a', 'b'" in err
    assert Dataset.objects.get(slug="set").provenance["mapping"]["targets"][0]["name"] == "label"
    assert Dataset.objects.get(slug="set").targets[0]["labels"] == ["a", "b"]
    data = AccDataset(IMAGES[:, None], {"digit": LABELS.astype(np.int64)}, (DIGIT,))
    (tmp_path / "x.pt").write_bytes(b"".join(exporters.export(data, "pt")))
    assert run(tmp_path / "x.pt", "--name", "Tensors")[::2] == ("tensors\n", 0)
    assert Dataset.objects.get(slug="tensors").n == 12
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    _, err, status = run(tmp_path / "bad.pt")
    assert (status, "is not a whole .pt file of tensors alone" in err) == (2, True)
    assert list(blobs.scratch().iterdir()) == []


def test_a_disk_that_fills_up_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "large.npz", images=np.zeros((3_000, 28, 28), np.uint8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        out, err, status = run(tmp_path / "large.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (out, status) == ("", 2)
    assert "is full" in err
    assert list(blobs.scratch().iterdir()) == []


def test_what_must_be_asked_is_asked_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    np.savez(tmp_path / "dots.npz", images=IMAGES % 2)
    out, err, status = run(tmp_path / "dots.npz")
    assert (out, status) == ("", 2)
    assert "scale=0..1 (proposed), scale=0..255" in err
    out, err, status = run(tmp_path / "dots.npz", "--look")
    assert status == 0
    assert "pixels: uint8, 0 to 1; scale not known" in out
    assert "asks for scale" in out
    found = json.loads(run(tmp_path / "dots.npz", "--look", "--json")[0])
    assert [question["proposed"] for question in found["questions"] if question["needed"]] == ["0..1"]
    assert not Dataset.objects.exists()
    assert run(*found["command"][1:])[2] == 0
    row = Dataset.objects.get()
    assert row.provenance["scale"] == "0..1"
    assert AccDataset.load(blobs.open_local(row.file, row.sha256)).images.max() == 255


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """Return an archive with an array of targets, classes beside, a name for each row, and what nobody may unpickle."""
    values = np.random.default_rng(1).normal(size=(12, 3))
    np.savez(
        tmp_path / "latents.npz",
        imgs=IMAGES,
        latents_values=values,
        digit=LABELS,
        row=np.arange(12) + 5,
        metadata=np.array({"a": 1}, dtype=object),
    )
    return tmp_path / "latents.npz"


def test_columns_are_named_left_out_and_measured_as_is_said(latents: Path) -> None:
    _, err, status = run(
        latents,
        *("--images", "imgs", "--targets", "latents_values:Größe,-,posX", "--targets", "digit:Ziffer"),
        *("--measure", "Größe=mm", "--resize", "16", "--name", "日本語"),
    )
    assert status == 0, err
    row = Dataset.objects.get()
    assert [(target["name"], target["kind"], target.get("unit", "")) for target in row.targets] == [
        ("Größe", "real", "mm"),
        ("posX", "real", ""),
        ("Ziffer", "class", ""),
    ]
    assert (row.name, row.height, row.width) == ("日本語", 16, 16)
    assert "latents_values[1]" in row.provenance["mapping"]["left_out"]


def test_a_look_prints_a_command_that_does_the_same_and_so_does_the_mapping_that_is_kept(
    latents: Path, tmp_path: Path
) -> None:
    out, _, status = run(
        latents, "--look", "--targets", "latents_values:a,b", "--drop", "digit", "--crop", "20"
    )
    assert status == 0
    assert "passed over: 'metadata'" in out
    assert "latents_values[0]" in out
    command = shlex.split(out.strip().splitlines()[-1])
    assert command[:2] == ["manage.py", "import_dataset"]
    assert run(*command[2:])[2] == 0
    first = Dataset.objects.get()
    assert [target["name"] for target in first.targets] == ["a", "b"]
    (tmp_path / "mapping.json").write_text(json.dumps(first.provenance["mapping"]))
    for again in (("--mapping", tmp_path / "mapping.json"), ("--like", first.slug)):
        out, err, status = run(latents, *again, "--name", "Again")
        assert (out, status) == (f"{first.slug}\n", 0), err
        assert "these very images are here already" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--images", "pictures"),
            "images: 'pictures' is no array of images in 'latents.npz'; there are: 'imgs'",
        ),
        (
            ("--targets", "latents_values:a,b,c,d"),
            "targets: 'latents_values' has 3 columns; 4 names are given",
        ),
        (("--drop", "size"), "drop: there is no column 'size'; there are: 'latents_values[0]'"),
        (("--like", "nowhere"), "like: 'nowhere' is not a dataset of this site"),
        (
            ("--mapping", '{"images": "imgs", "scale": "0..255", "split": "part"}'),
            "split: 'part' is no column",
        ),
        (("--scale", "0..1"), "scale: '0..1' is refused: 'latents.npz' has pixel values"),
    ],
)
def test_what_does_not_fit_the_file_names_the_option_and_what_there_is(
    latents: Path, arguments: tuple[str, str], words: str
) -> None:
    out, err, status = run(latents, *arguments)
    assert (out, status) == ("", 2)
    assert words in err
    assert not Dataset.objects.exists()
    assert list(blobs.scratch().iterdir()) == []


def test_a_column_that_cannot_be_read_is_left_out_once_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    rows = [f"{number / 7 if number != 4 else ''},{'ab'[number % 2]}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind", *rows]))
    _, err, status = run(tmp_path / "x.npy", "--labels", tmp_path / "t.csv")
    assert (status, "or leave 'size' out" in err) == (2, True)
    out = run(tmp_path / "x.npy", "--labels", tmp_path / "t.csv", "--look")[0]
    command = shlex.split(out.strip().splitlines()[-1])
    assert command[command.index("--drop") + 1] == "size"
    assert run(*command[2:])[2] == 0
    assert [target["name"] for target in Dataset.objects.get().targets] == ["kind"]


def test_transparent_pictures_are_laid_on_what_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "stickers"
    folder.mkdir()
    for number in range(3):
        pixels = np.full((16, 16, 4), 100 * number, np.uint8)
        pixels[:8, :, 3] = 0
        Image.fromarray(pixels).save(folder / f"{number}.png")
    _, err, status = run(folder)
    assert (status, "which is transparent in places; choose" in err) == (2, True)
    out, _, status = run(folder, "--background", "white")
    assert (out, status) == ("stickers\n", 0)
    row = Dataset.objects.get()
    assert AccDataset.load(blobs.open_local(row.file, row.sha256)).images[:, :, :8].min() == 255
