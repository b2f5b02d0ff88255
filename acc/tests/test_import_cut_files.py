"""A file of any layout, cut at any byte, ends in a sentence or in all of its images; nothing half-made is left."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.tests.importing import idx, import_file, norb, pixels, png, tarred

N = 6


def _npz(path: Path) -> None:
    np.savez_compressed(path, images=pixels(N, 12, 12), label=np.arange(N) % 2)


def _stored_npz(path: Path) -> None:
    np.savez(path, images=pixels(N, 12, 12), label=np.arange(N) % 2)


def _fortran(path: Path) -> None:
    np.save(path, np.asfortranarray(pixels(N, 12, 12)))


def _fortran_npz(path: Path) -> None:
    np.savez_compressed(path, images=np.asfortranarray(pixels(N, 12, 12)), label=np.arange(N) % 2)


def _h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels(N, 12, 12), chunks=(2, 12, 12), compression="gzip")
        file["label"] = np.arange(N) % 2


def _mat(path: Path) -> None:
    scipy.io.savemat(path, {"images": pixels(N, 12, 12), "label": np.arange(N) % 2}, do_compression=True)


def _norb(path: Path) -> None:
    norb(path, pixels(N, 2, 12, 12), 0x1E3D4C55)


def _parquet(path: Path) -> None:
    pictures = [{"bytes": png(12, 12), "path": None} for _ in range(N)]
    pq.write_table(pa.table({"image": pictures, "label": np.arange(N) % 2}), path, row_group_size=2)


def _samples() -> dict[str, bytes]:
    return {
        f"{n}.{kind}": data
        for n in range(N)
        for kind, data in (("png", png(12, 12)), ("cls", b"1"), ("json", json.dumps({"a": n / 2}).encode()))
    }


def _tar(path: Path) -> None:
    tarred(path, _samples())


def _tar_gz(path: Path) -> None:
    tarred(path, {f"{'ab'[n % 2]}/{n}.png": png(12, 12) for n in range(N)}, "w:gz")


def _cifar(path: Path) -> None:
    path.write_bytes(pixels(N, 3073).tobytes())


def _idx(path: Path) -> None:
    idx(path, pixels(N, 12, 12))


def _own(path: Path) -> None:
    AccDataset(pixels(N, 1, 12, 12)).save(path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "packed.npz": _npz,
    "stored.npz": _stored_npz,
    "fortran.npy": _fortran,
    "fortran.npz": _fortran_npz,
    "x.h5": _h5,
    "x.mat": _mat,
    "smallnorb-training-dat.mat": _norb,
    "train.parquet": _parquet,
    "x.tar": _tar,
    "x.tar.gz": _tar_gz,
    "data_batch_1.bin": _cifar,
    "train-images-idx3-ubyte.gz": _idx,
    "x.safetensors": _own,
}


@cache
def whole(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def imported(name: str, data: bytes, **options: Any) -> AccDataset | None:
    """Return the dataset of a file with these bytes, None where it was refused with a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            found, _ = import_file(path, **options)
        except InvalidInput as error:
            assert error.fields.keys() - {""}  # noqa: PT017 - it is what this says that is asked
            return None
        finally:
            assert [each.name for each in Path(folder).iterdir()] == [name]
        return found


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_is_read(name: str) -> None:
    found = imported(name, whole(name))
    assert found is not None
    assert len(found) == N


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WRITERS)), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_file_that_was_cut_or_altered_ends_in_a_sentence_or_in_all_of_its_images(
    name: str, place: float, cut: bool
) -> None:
    data = whole(name)
    at = int(place * len(data))
    broken = data[:at] if cut else data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
    found = imported(name, broken)
    if found is not None and cut and name != "data_batch_1.bin":  # whose rows are all that it is
        assert len(found) == N


def test_pictures_that_were_cut_are_named(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(png(12, 12))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-60])
    with pytest.raises(InvalidInput, match=r"'1\.png', which is damaged"):
        import_file(tmp_path)
