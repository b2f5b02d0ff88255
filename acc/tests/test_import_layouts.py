"""What folders and tables mean is known where the layout says so, told before anything is kept, and never guessed."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acc.data import AccDataset, importers
from acc.data.importers import columns
from acc.errors import InvalidInput
from acc.specs import TargetSpec
from acc.tests.importing import import_file
from acc.training.split import split_indices

RNG = np.random.default_rng(0)


def picture(kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def laid_out(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture())
    return root


def zipped(root: Path) -> Path:
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(root.rglob("*")):
            if each.is_file():
                archive.write(each, each.relative_to(root.parent))
    return path


def celeba(root: Path, *, table: bool = False, rows: int = 6, listed: int = 6) -> Path:
    """Return the layout of CelebA, of its own lists or of the tables that Kaggle made of them."""
    laid_out(root, *(f"img_align_celeba/{n:06d}.png" for n in range(1, rows + 1)))
    names = [f"{n:06d}.png" for n in range(1, listed + 1)]
    signs = [(1 if n % 2 else -1, -1 if n % 3 else 1) for n in range(listed)]
    if table:
        lines = [
            "image_id,5_o_Clock_Shadow,Smiling",
            *(f"{n},{a},{b}" for n, (a, b) in zip(names, signs, strict=True)),
        ]
        (root / "list_attr_celeba.csv").write_text("\n".join(lines) + "\n")
        parts = ["image_id,partition", *(f"{name},{n % 3}" for n, name in enumerate(names))]
        (root / "list_eval_partition.csv").write_text("\n".join(parts) + "\n")
        (root / "list_bbox_celeba.csv").write_text("image_id,x_1\n")
        return root
    lines = [
        str(listed),
        "5_o_Clock_Shadow Smiling ",
        *(f"{n} {a:>2} {b:>2} " for n, (a, b) in zip(names, signs, strict=True)),
    ]
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (root / "list_eval_partition.txt").write_text(
        "\n".join(f"{name} {n % 3}" for n, name in enumerate(names)) + "\n"
    )
    return root


@pytest.mark.parametrize("place", ["folder", "zip"])
@pytest.mark.parametrize("table", [False, True])
def test_celeba_has_its_targets_from_its_list_and_no_class_from_its_folder(
    tmp_path: Path, table: bool, place: str
) -> None:
    path = celeba(tmp_path / "celeba", table=table)
    path = zipped(path) if place == "zip" else path
    data, provenance = import_file(path)
    assert [spec.name.lower() for spec in data.target_specs] == ["5_o_clock_shadow", "smiling"]
    assert [spec.labels for spec in data.target_specs] == [("no", "yes")] * 2
    first = data.targets[data.target_specs[0].name]
    assert first.tolist() == [0, 1, 0, 1, 0, 1]
    assert provenance["layout"] == "CelebA"
    source = importers.look(path)
    assert "no folder is a class" in " ".join(source.notes)
    assert [split.parts for split in source.splits] == [{"train": 2, "val": 2, "test": 2}]
    assert data.split is not None
    assert data.split.tolist() == [0, 1, 2, 0, 1, 2]
    data, provenance = import_file(path, part="val")
    assert (len(data), provenance["part"]) == (2, "val")
    assert data.targets[data.target_specs[0].name].tolist() == [1, 0]


def test_a_part_of_celeba_is_taken_with_the_whole_list(tmp_path: Path) -> None:
    data, _ = import_file(celeba(tmp_path / "celeba", rows=3, listed=6))
    assert len(data) == 3
    with pytest.raises(InvalidInput, match="'list_eval_partition.txt' has 2 rows for 3 images"):
        import_file(celeba(tmp_path / "other", rows=3, listed=2))


@pytest.mark.parametrize("root", ["train", "data/set"])
def test_folders_of_a_split_are_no_classes_and_those_below_them_are(tmp_path: Path, root: str) -> None:
    names = [f"{part}/{kind}/{n}.png" for part in ("train", "val") for kind in ("cat", "dog") for n in (1, 2)]
    base = tmp_path / "in"
    laid_out(base if root == "train" else base / root, *names)
    data, provenance = import_file(base)
    assert data.target_specs[0].labels == ("cat", "dog")
    assert data.targets["label"].tolist() == [0, 0, 1, 1] * 2
    assert (provenance["layout"], provenance["part"]) == ("folders of a split", "all")
    data, _ = import_file(base, part="val")
    assert (len(data), data.targets["label"].tolist()) == (4, [0, 0, 1, 1])
    with pytest.raises(InvalidInput, match="'test' is refused; choose one of: all, train, val") as refused:
        import_file(base, part="test")
    assert set(refused.value.fields) == {"parts"}


def test_one_folder_alone_is_not_taken_for_a_class(tmp_path: Path) -> None:
    laid_out(tmp_path, "a/1.png", "a/2.png")
    assert importers.look(tmp_path).notes == ("one folder alone ('a') is not taken for a class: no target",)
    laid_out(tmp_path, "b/3.png")
    assert importers.look(tmp_path).notes[0].startswith("a folder for each of 2 classes: 'a', 'b'")


def test_a_picture_beside_folders_of_classes_must_be_decided(tmp_path: Path) -> None:
    laid_out(tmp_path, "a/1.png", "b/2.png", "3.png")
    with pytest.raises(InvalidInput, match="'3.png' beside the folders of classes") as refused:
        import_file(tmp_path)
    assert set(refused.value.fields) == {"left_out"}
    assert import_file(tmp_path, classes="none")[0].target_specs == ()


def test_a_split_of_pictures_alone_has_no_target(tmp_path: Path) -> None:
    laid_out(tmp_path, "Train/1.png", "Train/2.png", "TEST/3.png")
    data, _ = import_file(tmp_path)
    assert (len(data), data.target_specs) == (3, ())
    assert len(import_file(tmp_path, part="test")[0]) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "2.png", "3.png"),
        ("img_align_celeba/1.png", "img_align_celeba/2.png", "img_align_celeba/3.png"),
        ("one/1.png", "two/2.png", "three/3.png"),
    ],
)
def test_one_folder_and_a_folder_for_each_picture_are_no_classes(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    laid_out(tmp_path, *names)
    data, _ = import_file(tmp_path)
    assert data.target_specs == ()
    assert "no target" in "\n".join(importers.look(tmp_path).notes)


def test_whether_folders_are_classes_can_be_said(tmp_path: Path) -> None:
    laid_out(tmp_path / "a", "x/1.png", "x/2.png", "y/3.png")
    data, provenance = import_file(tmp_path / "a", classes="none")
    assert (data.target_specs, provenance["mapping"]["left_out"]) == ((), ["folder"])
    laid_out(tmp_path / "b", "train/1.png", "test/2.png")
    data, _ = import_file(tmp_path / "b", classes="folders")
    assert data.target_specs[0].labels == ("test", "train")


def test_a_part_is_refused_where_there_is_no_split(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8))
    with pytest.raises(InvalidInput, match="has no split; leave parts out"):
        import_file(tmp_path / "x.npy", part="train")


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_upright_as_people_see_them(tmp_path: Path, kind: str, turned: int) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = 255  # white in the upper left corner
    flipped = (
        upright if turned in {1, 3, 6, 8} else upright[:, ::-1]
    )  # what a camera that was turned has stored
    quarter = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: -1, 8: -1}[turned]
    image = Image.fromarray(np.ascontiguousarray(np.rot90(flipped, quarter)))
    exif = Image.Exif()
    exif[0x0112] = turned
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    image.save(tmp_path / f"x.{kind.lower()}", kind, exif=exif, **options)
    data, _ = import_file(tmp_path)
    assert data.images.shape == (1, 3, 16, 24)
    assert np.abs(data.images[0].astype(int) - np.moveaxis(upright, -1, 0)).max() < 60


def test_pictures_of_one_size_as_people_see_them_are_of_one_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(RNG.integers(0, 256, (12, 8, 3), dtype=np.uint8)).save(tmp_path / "b.png", exif=exif)
    assert import_file(tmp_path)[0].images.shape == (2, 3, 8, 12)


def images_and(folder: Path, table: bytes, name: str = "t.csv", n: int = 6) -> tuple[Path, Path]:
    np.save(folder / "x.npy", np.random.default_rng(n).integers(0, 256, (n, 8, 8), dtype=np.uint8))
    (folder / name).write_bytes(table)
    return folder / "x.npy", folder / name


ROWS = [(n, 3 + n % 2, 1.5 + n / 4, "猫犬"[n % 2]) for n in range(6)]
TABLE = "index,digit,thickness,kind\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in ROWS)


@pytest.mark.parametrize(
    "table",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", ";").replace(".", ",").replace("\n", "\r\n").encode("utf-8-sig"),
        TABLE.replace(",", "\t").replace(".", ",").encode(),
        ("sep=;\n" + TABLE.replace(",", ";")).encode(),
        TABLE.replace("index", "").encode(),
        TABLE.replace("kind\n", "kind\n\n  \n").encode(),
        TABLE.replace("digit", '"digit"').replace(",", ";").encode(),
    ],
)
def test_tables_are_read_whatever_parts_their_cells(tmp_path: Path, table: bytes) -> None:
    images, labels = images_and(tmp_path, table)
    data, provenance = import_file(images, labels=labels)
    assert {spec.name: spec.kind for spec in data.target_specs} == {
        "digit": "class",
        "thickness": "real",
        "kind": "class",
    }
    assert data.targets["digit"].tolist() == [row[1] for row in ROWS]
    assert data.targets["thickness"].tolist() == [row[2] for row in ROWS]
    assert provenance["ids"] == ["index"]


@pytest.mark.parametrize("delimiter", columns.DELIMITERS)
def test_a_long_table_is_divided_once(monkeypatch: pytest.MonkeyPatch, delimiter: str) -> None:
    divided: list[list[str]] = []

    def reader(*given: Any, **options: Any) -> Iterator[list[str]]:
        for row in read(*given, **options):
            divided.append(row)
            yield row

    read = csv.reader
    monkeypatch.setattr(csv, "reader", reader)
    rows = 5_000
    text = f"index{delimiter}digit\n" + "".join(f"{n}{delimiter}{n % 10}\n" for n in range(rows))
    found = columns.read(text.encode(), "t.csv", by_file=False)
    assert found.values["digit"].tolist() == [n % 10 for n in range(rows)]
    assert len(divided) == rows + 1 + len(columns.DELIMITERS) * columns.SAMPLE_ROWS


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE.replace("1.75", ""), "'t.csv' has nothing in column 'thickness' of row 3, among numbers"),
        (TABLE.replace("1.75", "NA"), "'t.csv' has 'NA' in column 'thickness' of row 3, among numbers"),
        (TABLE.replace("1.75", "nan"), "'t.csv' has target 'thickness' nan"),
        (TABLE.replace("5,4,2.75,犬\n", ""), "6 images, but target 'index' has shape"),
        (
            "a;b\n" + "1,234;1\n" * 6,
            "'t.csv' has '1,234' in column 'a', whose comma may part thousands or decimals",
        ),
        ("a;b\n" + "1;2\n" * 5 + "1;2;3\n", "'t.csv' has 3 cells in row 7 and 2 in its header"),
        ("", "'t.csv' holds no row below its header"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_of_the_table(tmp_path: Path, table: str, words: str) -> None:
    images, labels = images_and(tmp_path, table.encode())
    with pytest.raises(InvalidInput) as refused:
        import_file(images, labels=labels)
    assert words in str(refused.value)
    assert "'t.csv'" in str(refused.value)
    assert "x.npy" not in str(refused.value)


def test_a_column_that_cannot_be_read_can_be_left_out(tmp_path: Path) -> None:
    images, labels = images_and(tmp_path, TABLE.replace("1.75", "NA").encode())
    with pytest.raises(InvalidInput, match="among numbers.*; or leave 'thickness' out") as refused:
        import_file(images, labels=labels)
    assert set(refused.value.fields) == {"left_out"}
    data, provenance = import_file(images, labels=labels, changes={"left_out": ["thickness"]})
    assert list(data.targets) == ["digit", "kind"]
    assert provenance["mapping"]["left_out"] == ["thickness"]


def test_labels_of_another_length_are_blamed_on_their_own_file(tmp_path: Path) -> None:
    images, _ = images_and(tmp_path, b"")
    np.save(tmp_path / "y.npy", np.arange(5) % 2)
    with pytest.raises(
        InvalidInput, match=r"'y.npy' does not fit: there are 6 images, but target 'label' has shape \(5,\)"
    ):
        import_file(images, labels=tmp_path / "y.npy")


@pytest.mark.parametrize("column", ["index,size", "file,size"])
def test_a_column_whose_values_all_differ_names_its_rows_and_is_no_target(
    tmp_path: Path, column: str
) -> None:
    cell = "scan_{}" if column.startswith("file") else "{}"
    rows = "".join(f"{cell.format(n)},{n / 2}\n" for n in range(5, -1, -1))
    images, labels = images_and(tmp_path, f"{column}\n{rows}".encode())
    data, provenance = import_file(images, labels=labels)
    assert list(data.targets) == ["size"]
    assert provenance["ids"] == [column.split(",", maxsplit=1)[0]]
    found = importers.look(images, labels=labels).columns[0]
    assert found.kind == "id"
    assert "each of the 6 rows has another" in found.why


def test_the_split_is_not_stratified_by_a_number_of_the_row() -> None:
    images = RNG.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    specs = (
        TargetSpec(name="index", kind="class", classes=60),
        TargetSpec(name="kind", kind="class", classes=3),
    )
    data = AccDataset(images, {"index": np.arange(60), "kind": np.arange(60) // 20}, specs)
    _, held_out = split_indices(data, seed=0, val_fraction=0.2)
    assert np.bincount(data.targets["kind"][held_out]).tolist() == [4, 4, 4]
    alone = AccDataset(images, {"index": np.arange(60)}, specs[:1])
    _, held_out = split_indices(alone, seed=0, val_fraction=0.2)
    assert sorted(held_out.tolist()) != list(range(12))
