"""Archives and headers made to do harm end in a sentence, and cost no memory."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acc.data import importers
from acc.data.importers import file_sets
from acc.errors import InvalidInput

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(InvalidInput) as refused:
        importers.look(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("a.npy/b.npy", "holds 'a.npy/b.npy' below what is a file itself"),
        ("x" * 300 + ".npy", "longer than 255 bytes"),
        ("a\nb.npy", "plain text in UTF-8"),
    ],
)
def test_names_that_no_disk_takes_are_refused(tmp_path: Path, other: str, words: str) -> None:
    path = zipped(tmp_path / "arrays.zip", **{"a.npy": npy(IMAGES), other: npy(IMAGES), "c/d": b"x"})
    assert words in refusal(path)


def test_names_in_tar_archives_are_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.tar"
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo("café/1.npy")
        entry.size = len(npy(IMAGES))
        archive.addfile(entry, io.BytesIO(npy(IMAGES)))
    assert "plain text in UTF-8" in refusal(path)


def test_a_folder_may_be_named_as_people_name_them(tmp_path: Path) -> None:
    path = zipped(tmp_path / "arrays.zip", **{"猫 3.45\u202fPM/images.npy": npy(IMAGES)})
    assert importers.look(path).rows == 5


def test_what_a_tar_says_of_a_file_is_not_read_at_any_size(tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    entry = tarfile.TarInfo("././@PaxHeader")
    entry.type, entry.size = tarfile.XHDTYPE, 2 * file_sets._HEADER_BYTES
    with path.open("wb") as file:
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(entry.size + 4 * tarfile.BLOCKSIZE))
    assert "what it says of one file takes" in refusal(path)


def test_a_picture_that_unpacks_to_gigabytes_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sets, "MAX_READ_BYTES", 1 << 20)
    path = zipped(tmp_path / "bomb.zip", **{"1.png": bytes(8 << 20), "2.png": bytes(8 << 20)})
    assert "1.png' of more than 1,048,576 bytes" in refusal(path)


def test_arrays_in_archives_are_copied_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sets, "MAX_READ_BYTES", 1 << 10)
    path = zipped(
        tmp_path / "arrays.zip", **{"d/images.npy": npy(IMAGES), "d/label.npy": npy(np.arange(5) % 2)}
    )
    source = importers.look(path)
    assert (source.rows, [column.source for column in source.columns]) == (5, ["label"])


def test_one_image_of_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    side = 1 << 15
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"shape": (1, side, side), "fortran_order": False, "descr": "|u1"}
        )
        for _ in range(64):
            file.write(bytes(side * side // 64))
    assert "has images of 1,073,741,824 bytes" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        json.dumps(
            {"__metadata__": 5, "images": {"dtype": "U8", "shape": [2, 8, 8], "data_offsets": [0, 128]}}
        ).encode(),
    ],
)
def test_headers_of_safetensors_that_are_none_are_told(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "data.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(128))
    assert "is not a whole safetensors file" in refusal(path)


def test_a_link_beside_a_file_is_followed_only_where_the_file_is_one(tmp_path: Path) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    store.mkdir()
    data.mkdir()
    for folder, name, array in (
        (data, "train-images-idx3-ubyte", IMAGES),
        (store, "train-images-idx3-ubyte", IMAGES),
        (store, "train-labels-idx1-ubyte", np.arange(5, dtype=np.uint8) % 2),
    ):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(head + array.tobytes())
    (store / "train-morpho.csv").write_text("area\n" + "".join(f"{i / 2}\n" for i in range(5)))
    for name in ("train-labels-idx1-ubyte", "train-morpho.csv"):
        (data / name).symlink_to(store / name)
    assert importers.look(data / "train-images-idx3-ubyte").columns == ()
    (data / "train-images-idx3-ubyte").unlink()
    (data / "train-images-idx3-ubyte").symlink_to(store / "train-images-idx3-ubyte")
    found = importers.look(data / "train-images-idx3-ubyte")
    assert [column.source for column in found.columns] == ["label", "area"]
