"""Rows that belong together are told by the dataset, survive every way through it, and are never split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset, exporters
from acc.data.tensor_files import read as read_tensors
from acc.errors import InvalidInput
from acc.evaluation.encoding import whole_units
from acc.specs import TargetSpec
from acc.tests.generators import made
from acc.tests.importing import import_file
from acc.training.split import split_indices


def dataset(units: Any, labels: Any = None) -> AccDataset:
    """Return images that are all different, in the units asked for."""
    n = len(units) if units is not None else len(labels)
    images = np.random.default_rng(n).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    if labels is None:
        return AccDataset(images, units=units)
    labels = np.asarray(labels)
    spec = TargetSpec(name="digit", kind="class", classes=int(labels.max()) + 1)
    return AccDataset(images, {"digit": labels}, (spec,), units=units)


def test_units_are_kept_in_the_file_and_part_of_the_content(tmp_path: Path) -> None:
    data = dataset(np.array([7, 7, 3, 3]))
    data.save(tmp_path / "d.safetensors")
    again = AccDataset.load(tmp_path / "d.safetensors")
    assert again.units is not None
    assert again.units.tolist() == [7, 7, 3, 3]
    assert again.unit_count == 2
    again = AccDataset(again.images, units=again.units)
    assert again.content_hash == data.content_hash
    others = {AccDataset(data.images, units=units).content_hash for units in (None, np.array([7, 7, 7, 3]))}
    assert len(others | {data.content_hash}) == 3


def test_without_units_the_content_is_what_it_was_before_there_were_any() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    spec = TargetSpec(name="digit", kind="class", classes=2)
    data = AccDataset(images, {"digit": np.array([0, 1, 0, 1])}, (spec,))
    assert data.content_hash == "dec7b68531de51da05dd92a76438c3070d951a647ae068ed550fbdd97c3e14e7"
    assert data.units is None
    assert data.spec("d").units is None
    train, held_out = split_indices(data, seed=3, val_fraction=0.5)
    assert (train.tolist(), held_out.tolist()) == ([2, 1], [0, 3])


@pytest.mark.parametrize(
    "units", [np.array([0, 1, 2]), np.array([0.0, 1, 2, 3]), np.array([[0, 1, 2, 3]]), np.array(list("abcd"))]
)
def test_units_that_do_not_name_one_for_each_image_are_refused(units: Any) -> None:
    images = np.zeros((4, 1, 8, 8), np.uint8)
    with pytest.raises(InvalidInput, match=r"one whole number for each of the 4 images") as refused:
        AccDataset(images, units=units)
    assert set(refused.value.fields) == {"units"}


def test_no_target_takes_the_name_of_the_units_or_the_images() -> None:
    for name in ("units", "images"):
        spec = TargetSpec(name=name, kind="real")
        with pytest.raises(InvalidInput, match="call the target something else"):
            AccDataset(np.zeros((2, 1, 8, 8), np.uint8), {name: np.zeros(2)}, (spec,))


@pytest.mark.parametrize("kind", ["npz", "pt", "zip", "safetensors"])
def test_units_come_back_from_every_format_of_export(tmp_path: Path, kind: str) -> None:
    data = dataset(np.array([4, 4, 9, 9, 9]), [0, 0, 1, 1, 1])
    path = tmp_path / f"d.{kind}"
    if kind == "safetensors":
        data.save(path)
    else:
        path.write_bytes(b"".join(exporters.export(data, kind)))
    found, _ = import_file(path, read_tensors=read_tensors)
    assert found.units is not None
    assert found.units.tolist() == [4, 4, 9, 9, 9]
    assert [column.name for column in found.target_specs] == ["digit"]
    np.testing.assert_array_equal(found.images, data.images)


def test_units_of_a_table_may_be_names(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8))
    (tmp_path / "table.csv").write_text("units,size\nscan 10,1.5\nscan 9,2\nscan 10,3\n")
    data, _ = import_file(tmp_path / "images.npy", labels=tmp_path / "table.csv")
    assert data.units is not None
    assert data.units.tolist() == [1, 0, 1]
    assert list(data.targets) == ["size"]


def test_an_array_called_units_that_is_none_is_left_out_or_called_something_else(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    np.savez(tmp_path / "d.npz", images=images, units=np.array([0.5, 1, 2]))
    data, provenance = import_file(tmp_path / "d.npz")
    assert (data.units, data.target_specs, provenance["mapping"]["left_out"]) == (None, (), ["units"])
    target = {"source": "units", "name": "dose", "kind": "real"}
    data, _ = import_file(tmp_path / "d.npz", changes={"targets": [target]})
    assert data.targets["dose"].tolist() == [0.5, 1, 2]
    with pytest.raises(InvalidInput, match="one whole number for each image") as refused:
        import_file(tmp_path / "d.npz", changes={"units": "units"})
    assert set(refused.value.fields) == {"units"}


def test_what_is_written_of_one_scan_in_a_grid_is_one_unit() -> None:
    data = made("factor_grid", "FactorGrid", 360)
    assert data.units is not None
    assert np.bincount(data.units).tolist() == [9] * 40
    for unit in range(40):
        assert len(set(data.targets["digit"][data.units == unit].tolist())) == 1
    assert data.spec("grid").units == 40


@pytest.mark.parametrize(("file", "name"), [("slant", "Slant"), ("thickness", "Thickness")])
def test_digits_of_one_scan_are_one_unit_and_glyphs_stand_for_themselves(file: str, name: str) -> None:
    digits = made(
        file, name, 900, source="digits", part="held_out", size=16, thickness_min=1, thickness_max=3
    )
    assert digits.units is not None
    assert digits.unit_count == 397
    assert made(file, name, 20).units is None


def test_shuffled_targets_leave_the_units_of_the_images() -> None:
    params: dict[str, Any] = {
        "source": "digits",
        "part": "held_out",
        "size": 16,
        "thickness_min": 1,
        "thickness_max": 3,
    }
    shuffled = made("shuffled_glyphs", "ShuffledGlyphs", 900, **params)
    assert shuffled.units is not None
    assert shuffled.unit_count == 397


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 1000),
)
def test_no_unit_is_on_both_sides_of_the_split(sizes: list[int], fraction: float, seed: int) -> None:
    units = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 5, sizes))
    train, held_out = split_indices(dataset(units), seed=seed, val_fraction=fraction)
    assert sorted([*train, *held_out]) == list(range(len(units)))
    assert len(train) >= 1
    assert not set(units[train].tolist()) & set(units[held_out].tolist())
    wanted = min(round(len(units) * fraction), len(units) - 1)
    if wanted and len(sizes) > 1:
        assert len(held_out) >= 1
        most_left = len(units) - min(sizes)
        assert abs(len(held_out) - min(wanted, most_left)) <= max(sizes)


def test_classes_keep_their_shares_while_units_stay_whole() -> None:
    data = made("factor_grid", "FactorGrid", 1800)
    assert data.units is not None
    train, held_out = split_indices(data, seed=0, val_fraction=0.2)
    assert len(held_out) == 360
    assert np.bincount(data.targets["digit"][held_out]).tolist() == [36] * 10
    assert not set(data.units[train].tolist()) & set(data.units[held_out].tolist())


def test_a_target_that_changes_within_units_does_not_decide_the_split() -> None:
    units = np.repeat(np.arange(50), 4)
    changing, constant = np.arange(200) % 4, np.repeat(np.arange(50) % 5, 4)
    images = dataset(units).images
    specs = (
        TargetSpec(name="view", kind="class", classes=4),
        TargetSpec(name="kind", kind="class", classes=5),
    )
    data = AccDataset(images, {"view": changing, "kind": constant}, specs, units=units)
    _, held_out = split_indices(data, seed=0, val_fraction=0.2)
    assert np.bincount(constant[held_out]).tolist() == [8] * 5
    assert np.bincount(changing[held_out]).tolist() == [10] * 4


def test_one_unit_alone_is_all_for_training() -> None:
    train, held_out = split_indices(dataset(np.zeros(9, np.int64)), seed=0, val_fraction=0.5)
    assert (len(train), len(held_out)) == (9, 0)


def test_a_choice_of_rows_takes_whole_units_as_far_as_they_fit() -> None:
    rows = np.array([5, 1, 0, 4, 2, 3])
    units = np.array([0, 0, 1, 1, 2, 2])
    assert whole_units(rows, units, 5).tolist() == [5, 1, 0, 4]
    assert whole_units(rows, units, 1).tolist() == [5]
    assert whole_units(rows, None, 3).tolist() == [5, 1, 0]
