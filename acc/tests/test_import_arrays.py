"""Arrays in .npy and .pt files and datasets of ACC become datasets; none is believed in what it says of itself."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset, exporters
from acc.data.tensor_files import read as read_tensors
from acc.errors import InvalidInput
from acc.specs import TargetSpec
from acc.tests.importing import import_file

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 9, 11), dtype=np.uint8)
LABELS = (np.arange(20) % 10).astype(np.uint8)


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        import_file(path, read_tensors=read_tensors, **options)
    return str(refused.value)


def made() -> AccDataset:
    return AccDataset(
        IMAGES[:, None],
        {"digit": LABELS.astype(np.int64), "slant": np.linspace(-1, 1, 20)},
        (
            TargetSpec(name="digit", kind="class", classes=10, labels=tuple("abcdefghij")),
            TargetSpec(name="slant", kind="real", unit="rad"),
        ),
    )


def test_npy_images_take_labels_from_npy_or_csv(tmp_path: Path) -> None:
    images = put(tmp_path / "x.npy", npy(IMAGES))
    data, _ = import_file(images, labels=put(tmp_path / "y.npy", npy(LABELS)))
    assert data.targets["label"].tolist() == LABELS.tolist()
    table = "slant,name\n" + "".join(f"{n / 20},{'ab'[n % 2]}\n" for n in range(20))
    data, provenance = import_file(images, labels=put(tmp_path / "y.csv", table.encode()))
    assert [provenance[name] for name in ("importer", "file", "labels")] == ["npy", "x.npy", "y.csv"]
    assert data.target_specs[1].labels == ("a", "b")


def test_a_table_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    images = put(tmp_path / "x.npy", npy(IMAGES))
    assert "20 images, but target 'n' has shape (1,)" in refusal(
        images, labels=put(tmp_path / "y.csv", b"n\n1\n")
    )


@pytest.mark.parametrize(
    "value",
    [
        torch.from_numpy(IMAGES),
        {"images": torch.from_numpy(IMAGES), "label": torch.from_numpy(LABELS)},
        (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        {"x": torch.from_numpy(IMAGES).to(torch.bfloat16) / 256},
    ],
)
def test_tensors_become_datasets(tmp_path: Path, value: Any) -> None:
    data, provenance = import_file(saved(tmp_path / "x.pt", value), read_tensors=read_tensors)
    assert provenance["importer"] == "pt"
    assert data.images.shape == (20, 1, 9, 11)


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('run')",))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"images": Evil()}, "is not a whole .pt file of tensors alone"),
        ({"images": "none"}, "which is a str and no tensor"),
        (7, "holds a int; need a tensor"),
        (torch.zeros(1).expand(100_000, 100, 100), "bytes unpacked; at most"),
        (torch.zeros(3, 8, 8).to_sparse(), "is sparse or quantized"),
    ],
)
def test_a_pt_file_may_hold_nothing_but_dense_tensors(tmp_path: Path, value: Any, words: str) -> None:
    assert words in refusal(saved(tmp_path / "x.pt", value), max_bytes=10**8)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.npz", npy(IMAGES), "ends in .npz and holds .npy; give it the name of what it is"),
        ("x.npy", npy(IMAGES)[:-1], "is not a whole .npy file"),
        ("x.npy", npy(IMAGES) + b"\0", "is not a whole .npy file"),
        ("x.npy", npy(IMAGES).replace(b"(20, 9, 11)", b"(99, 9, 11)"), "is not a whole .npy file"),
        ("x.npy", npy(np.array([{}] * 3, dtype=object)), "holds Python objects"),
        ("x.pt", pickle.dumps({"a": 1}), "is a pickle, which may hold code"),
        ("x.safetensors", b"\x02\0\0\0\0\0\0\0{}", "is not a dataset written by ACC"),
        ("x.zip", b"PK\3\4" + bytes(40), "is not a whole zip archive"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    assert words in refusal(put(tmp_path / name, data))


def test_a_header_that_claims_more_than_is_allowed_costs_no_memory(tmp_path: Path) -> None:
    head = npy(np.zeros((1, 8, 8), np.uint8)).replace(b"(1, 8, 8), }", b"(9999999999999, 8, 8), }")
    assert "at most" in refusal(put(tmp_path / "x.npy", head + bytes(64)))


def test_floats_are_kept_as_float32_where_asked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((5, 8, 8))
    data, _ = import_file(put(tmp_path / "x.npy", npy(values)), pixels="float32")
    assert data.images.dtype == np.float32
    np.testing.assert_array_equal(data.images[:, 0], values.astype(np.float32))
    assert "only floats are stored as float32" in refusal(
        put(tmp_path / "y.npy", npy(IMAGES)), pixels="float32"
    )
    assert "nan" in refusal(put(tmp_path / "z.npy", npy(np.full((2, 8, 8), np.nan))), pixels="float32")


def test_a_dataset_of_ours_that_was_altered_is_checked_like_any_other(tmp_path: Path) -> None:
    data = made()
    path = tmp_path / "x.safetensors"
    data.save(path)
    again, _ = import_file(path)
    assert again.content_hash == data.content_hash
    whole = path.read_bytes()
    put(tmp_path / "y.safetensors", whole.replace(json.dumps("class").encode(), b'"real"'.ljust(7)))
    altered = whole[:-1] + bytes([whole[-1] ^ 1])
    changed, _ = import_file(put(tmp_path / "z.safetensors", altered))
    assert changed.content_hash != data.content_hash


@pytest.mark.parametrize("kind", ["npz", "pt", "zip"])
def test_what_is_exported_can_be_imported_again(tmp_path: Path, kind: str) -> None:
    data = made()
    path = put(tmp_path / f"x.{kind}", b"".join(exporters.export(data, kind)))
    again, _ = import_file(path, read_tensors=read_tensors)
    np.testing.assert_array_equal(again.images, data.images)
    for name, values in data.targets.items():
        np.testing.assert_allclose(again.targets[name], values, rtol=1e-6)
    if kind == "zip":
        assert again.target_specs[0].labels == data.target_specs[0].labels


def test_an_export_holds_a_piece_at_a_time_and_is_the_same_each_time() -> None:
    large = AccDataset(np.zeros((40_000, 1, 16, 16), np.uint8))
    pieces = list(exporters.export(large, "npz"))
    assert max(map(len, pieces)) <= 3 * exporters.PIECE_BYTES
    assert b"".join(pieces) == b"".join(exporters.export(large, "npz"))
    with pytest.raises(InvalidInput, match="'xls' is not a format; choose one of: npz, pt, zip, csv"):
        exporters.export(large, "xls")


def test_a_header_that_is_no_python_is_told(tmp_path: Path) -> None:
    whole = npy(IMAGES[:2])
    broken = whole[:10] + b"\x84" + whole[11:]
    with pytest.raises(InvalidInput, match="its header cannot be read"):
        import_file(put(tmp_path / "upload", broken), read_tensors=read_tensors)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_a_sentence(data: Any) -> None:
    buffer = io.BytesIO()
    torch.save({"images": torch.from_numpy(IMAGES[:2])}, buffer)
    with tempfile.TemporaryDirectory() as folder:
        made().save(Path(folder) / "own.safetensors")
        own = (Path(folder) / "own.safetensors").read_bytes()
        whole = data.draw(st.sampled_from([npy(IMAGES[:2]), buffer.getvalue(), own]))
        place = data.draw(st.integers(0, len(whole) - 1))
        broken = data.draw(
            st.sampled_from(
                [whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]]
            )
        )
        try:
            found, _ = import_file(put(Path(folder) / "upload", broken), read_tensors=read_tensors)
        except InvalidInput:
            return
        assert found.images.dtype == np.uint8
