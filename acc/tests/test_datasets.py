"""A dataset is checked when it is made, identified by its content, and read in place from one file."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from acc.data import AccDataset, files
from acc.errors import InvalidInput
from acc.hashes import file_sha256
from acc.specs import TargetSpec

DIGIT = TargetSpec(name="digit", kind="class", classes=3)
SLANT = TargetSpec(name="slant", kind="real", unit="rad")


def made(n: int = 6, **changes: Any) -> AccDataset:
    """Return a small dataset with one class and one real column."""
    fields: dict[str, Any] = {
        "images": np.arange(n * 64, dtype=np.uint8).reshape(n, 1, 8, 8),
        "targets": {"digit": np.arange(n) % 3, "slant": np.linspace(-1, 1, n)},
        "target_specs": (DIGIT, SLANT),
    }
    return AccDataset(**{**fields, **changes})


def test_what_is_saved_is_read_back_without_being_read_into_memory(tmp_path: Path) -> None:
    data = made()
    sha256 = data.save(tmp_path / "d.safetensors")
    again = AccDataset.load(tmp_path / "d.safetensors")
    assert sha256 == file_sha256(tmp_path / "d.safetensors")
    assert again.content_hash == data.content_hash
    assert again.target_specs == data.target_specs
    np.testing.assert_array_equal(again.images, data.images)
    np.testing.assert_array_equal(again.targets["slant"], data.targets["slant"])
    assert not again.images.flags.owndata
    assert not again.images.flags.writeable


def test_the_file_is_one_that_the_safetensors_library_reads(tmp_path: Path) -> None:
    data = made()
    data.save(tmp_path / "d.safetensors")
    found = load_file(tmp_path / "d.safetensors")
    np.testing.assert_array_equal(found["images"], data.images)
    assert found["target.digit"].dtype == np.int64
    assert found["target.slant"].dtype == np.float32


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(files._NAMES)), min_size=1, max_size=5), st.integers(0, 7))
def test_arrays_of_every_type_and_length_survive_a_file(
    tmp_path_factory: pytest.TempPathFactory, dtypes: list[np.dtype[Any]], n: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "any.safetensors"
    arrays = {f"a{number}": np.arange(n).astype(dtype) for number, dtype in enumerate(dtypes)}
    files.write(path, arrays, {"note": "ö"})
    found, metadata = files.read(path)
    assert metadata == {"note": "ö"}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.aligned
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(load_file(path)[name], array)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    path = tmp_path_factory.mktemp("files") / "d.safetensors"
    made().save(path)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    cut, flipped = whole[:place], whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :]
    path.write_bytes(data.draw(st.sampled_from([cut, flipped])))
    with contextlib.suppress(InvalidInput):
        AccDataset.load(path)


@pytest.mark.parametrize(
    "header",
    [
        {"images": {"dtype": "U8", "shape": [2**62, 4], "data_offsets": [0, 8]}},
        {"images": {"dtype": "U8", "shape": [-8], "data_offsets": [0, 8]}},
        {"images": {"dtype": "U8", "shape": [8], "data_offsets": [0, 99]}},
        {"images": {"dtype": "O", "shape": [8], "data_offsets": [0, 8]}},
        {"images": 3},
        [],
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "lie.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(InvalidInput, match="'lie.safetensors' is not a whole safetensors file"):
        files.read(path)


def test_the_content_hash_tells_every_difference_and_no_layout() -> None:
    data = made()
    images = data.images.copy()
    images[3, 0, 4, 4] ^= 1
    different = [
        made(images=images),
        made(targets={**data.targets, "digit": np.zeros(6, int)}),
        made(targets={**data.targets, "slant": data.targets["slant"] + 1e-6}),
        made(target_specs=(DIGIT, SLANT.model_copy(update={"unit": "deg"}))),
        made(images=data.images.reshape(6, 1, 4, 16)),
        made(5),
    ]
    hashes = {data.content_hash, *(other.content_hash for other in different)}
    assert len(hashes) == 1 + len(different)
    assert made(target_specs=(SLANT, DIGIT)).content_hash == data.content_hash
    assert made(images=np.asfortranarray(data.images)).content_hash == data.content_hash


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"images": np.zeros((6, 1, 8, 8))}, "images", "dtype float64 is refused; need uint8"),
        ({"images": np.zeros((6, 8, 8), np.uint8)}, "images", "need (N, C, H, W)"),
        ({"images": np.zeros((0, 1, 8, 8), np.uint8)}, "images", "at least one image"),
        ({"targets": {"digit": np.zeros(6, int)}}, "targets", "do not agree"),
        ({"digit": np.zeros(5, int)}, "targets.digit", "one value for each of the 6 images"),
        (
            {"digit": np.array([0, 1, 2, 3, 0, 1])},
            "targets.digit",
            "sample 3 has label 3; labels go from 0 to 2",
        ),
        ({"digit": np.array([0, -1, 2, 0, 0, 1])}, "targets.digit", "sample 1 has label -1"),
        ({"digit": np.zeros(6)}, "targets.digit", "class labels are whole numbers"),
        ({"slant": np.array([0, 0, np.nan, 0, 0, 0])}, "targets.slant", "sample 2 is nan"),
        ({"slant": np.array([0, 0, 1e300, 0, 0, 0])}, "targets.slant", "sample 2 is 1e+300"),
    ],
)
def test_what_does_not_fit_is_refused_by_field_and_sample(
    changes: dict[str, Any], field: str, words: str
) -> None:
    columns = {name: changes.pop(name) for name in ("digit", "slant") if name in changes}
    if columns:
        changes["targets"] = {**made().targets, **columns}
    with pytest.raises(InvalidInput) as refused:
        made(**changes)
    assert words in refused.value.fields[field][0]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_scrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.safetensors"
    before = made().save(path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        made(5).save(path)
    assert file_sha256(path) == before
    assert [each.name for each in tmp_path.iterdir()] == ["d.safetensors"]


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # SIGXFSZ is ignored by Python
    try:
        with pytest.raises(OSError, match="File too large"):
            made(3000).save(tmp_path / "d.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_data_and_pictures_are_imported_without_torch() -> None:
    code = "import sys, acc.data, acc.data.importers, acc.render, acc.plugins, acc.plugins.checker\n"
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0
