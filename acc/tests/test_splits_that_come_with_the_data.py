"""Rows are held out as the data says, as combinations of factors, or as they are drawn; units stay whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset, exporters
from acc.errors import InvalidInput
from acc.evaluation import evaluate_checkpoint
from acc.specs import EvalSpec, TargetSpec, TrainSpec
from acc.tests import helpers
from acc.training.split import split_indices, split_of
from acc.training.trainer import Trainer

HASH_WITHOUT = "1fd484477e41e931dd549f416592cad9f4f9e609f8f7006d2d018fd6fe8e1b55"
SHAPES = ("square", "ellipse", "heart")


def parted(n: int = 60, *, validation: bool = True, units: Any = None) -> AccDataset:
    """Return blobs of which every sixth row is for test and, with ``validation``, every sixth for that."""
    data = helpers.blobs(n)
    split = np.array([0, 0, 0, 0, 1 if validation else 0, 2] * (n // 6))
    return AccDataset(data.images, data.targets, data.target_specs, split=split, units=units)


def grid(copies: int = 4, *, units: bool = False) -> AccDataset:
    """Return shapes at four scales and three angles, each ``copies`` times; a unit has one copy of each cell."""
    shape, scale, angle, copy = (
        each.ravel() for each in np.meshgrid(range(3), range(4), range(3), range(copies), indexing="ij")
    )
    generator = np.random.default_rng(0)
    return AccDataset(
        generator.integers(0, 256, (len(shape), 1, 16, 16), np.uint8),
        {
            "shape": shape,
            "scale": (0.5 + 0.1 * scale).astype(np.float32),
            "angle": (90 * angle).astype(np.float32),
        },
        (
            TargetSpec(name="shape", kind="class", classes=3, labels=SHAPES),
            TargetSpec(name="scale", kind="real"),
            TargetSpec(name="angle", kind="real"),
        ),
        units=copy if units else None,
    )


def settings_of(**fields: Any) -> TrainSpec:
    return TrainSpec(steps=1, **fields)


def test_a_split_comes_back_from_the_file_and_is_part_of_the_content(tmp_path: Path) -> None:
    data = parted()
    data.save(tmp_path / "d")
    found = AccDataset.load(tmp_path / "d")
    assert found.split is not None
    assert found.split.tolist() == [0, 0, 0, 0, 1, 2] * 10
    assert found.content_hash == data.content_hash
    without = AccDataset(data.images, data.targets, data.target_specs)
    other = AccDataset(data.images, data.targets, data.target_specs, split=found.split[::-1].copy())
    assert len({data.content_hash, without.content_hash, other.content_hash}) == 3


def test_the_content_of_a_dataset_without_a_split_has_the_hash_that_it_always_had() -> None:
    images = np.arange(2 * 64, dtype=np.uint8).reshape(2, 1, 8, 8)
    specs = (TargetSpec(name="kind", kind="class", classes=2),)
    data = AccDataset(images, {"kind": np.array([0, 1])}, specs)
    assert data.content_hash == HASH_WITHOUT
    assert (
        AccDataset(images, {"kind": np.array([0, 1])}, specs, units=np.array([5, 5])).content_hash
        != HASH_WITHOUT
    )


@pytest.mark.parametrize("kind", ["npz", "pt", "csv"])
def test_a_split_is_in_every_format_of_export(tmp_path: Path, kind: str) -> None:
    text = b"".join(exporters.export(parted(), kind))
    if kind == "npz":
        (tmp_path / "d.npz").write_bytes(text)
        assert np.load(tmp_path / "d.npz")["split"].tolist() == [0, 0, 0, 0, 1, 2] * 10
    elif kind == "csv":
        lines = text.decode().splitlines()
        place = lines[0].split(",").index("split")
        assert [line.split(",")[place] for line in lines[4:7]] == ["training", "validation", "test"]
    else:
        assert b"split" in text


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (np.zeros(5, int), r"shape \(5,\)"),
        (np.zeros(6), "of float64 is refused"),
        (np.array([0, 0, 0, 0, 0, 3]), "image 5 has 3; need 0 for training, 1 for validation, 2 for test"),
        (np.ones(6, int), "no image is for training"),
        (np.zeros(6, int), "every image is for training; leave the split out"),
    ],
)
def test_a_split_that_is_none_is_refused(split: np.ndarray, words: str) -> None:
    data = helpers.blobs(6)
    with pytest.raises(InvalidInput, match=words):
        AccDataset(data.images, data.targets, data.target_specs, split=split)


def test_a_unit_on_two_sides_of_a_split_is_refused_by_its_number() -> None:
    units = np.arange(60) // 2 + 7
    with pytest.raises(
        InvalidInput, match="unit 9 has images in training and in validation|unit 9 has images in"
    ):
        parted(units=units)


def test_the_rows_that_the_data_says_are_trained_on_and_measured() -> None:
    data = parted()
    assert data.split is not None
    split = split_of(data, seed=0, train=settings_of())
    for rows, part in ((split.training, 0), (split.held_out, 1), (split.test, 2)):
        assert np.sort(rows).tolist() == np.flatnonzero(data.split == part).tolist()
    assert split.words == "validation rows of the split that came with the data"
    split = split_of(parted(validation=False), seed=0, train=settings_of())
    assert len(split.held_out) == 10
    assert len(split.test) == 0
    assert split.words == "test rows of the split that came with the data"


def test_a_split_may_be_drawn_all_the_same_and_one_that_is_not_there_is_not_given() -> None:
    data = parted()
    split = split_of(data, seed=0, train=settings_of(split="drawn"))
    expected = split_indices(data, seed=0, val_fraction=0.2)
    assert np.array_equal(split.training, expected[0])
    assert np.array_equal(split.held_out, expected[1])
    with pytest.raises(InvalidInput, match="split: the data comes with no split"):
        split_of(helpers.blobs(20), seed=0, train=settings_of(split="given"))


def test_rows_of_held_out_combinations_are_not_trained_on_and_apart_from_the_others() -> None:
    data = grid()
    train = settings_of(combinations="shape=heart & scale=0.5; shape=square & scale=0.6|0.7 & angle=90..180")
    split = split_of(data, seed=0, train=train)
    shape, scale, angle = (data.targets[name] for name in ("shape", "scale", "angle"))
    inside = (shape == 2) & (scale == np.float32(0.5))
    inside |= (shape == 0) & ((scale == np.float32(0.6)) | (scale == np.float32(0.7))) & (angle >= 90)
    assert inside.sum() == 4 * (3 + 4)
    assert np.array_equal(split.combinations, np.flatnonzero(inside))
    assert not inside[split.training].any()
    assert not inside[split.held_out].any()
    parts = [split.training, split.held_out, split.combinations]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.sets(st.sampled_from(SHAPES), min_size=1, max_size=2),
    fraction=st.floats(0.1, 0.7),
    seed=st.integers(0, 50),
    given_split=st.booleans(),
)
def test_no_unit_is_both_trained_on_and_measured(
    shapes: set[str], fraction: float, seed: int, given_split: bool
) -> None:
    data = grid(8, units=True)
    assert data.units is not None
    if given_split:
        parts = np.random.default_rng(seed).permutation([0, 0, 0, 0, 1, 1, 2, 2])[data.units]
        data = AccDataset(data.images, data.targets, data.target_specs, units=data.units, split=parts)
    assert data.units is not None
    text = ";".join(f"shape={shape} & angle=0" for shape in sorted(shapes))
    split = split_of(data, seed=seed, train=settings_of(combinations=text, val_fraction=fraction))
    trained = set(data.units[split.training].tolist())
    for rows in (split.held_out, split.test, split.combinations):
        assert not trained & set(data.units[rows].tolist())
    assert len(split.combinations)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shape", "'shape' is no factor with its values; write shape=heart"),
        ("shape= & scale=1", "is no factor with its values"),
        ("shape=heart & shape=square", "names 'shape' twice"),
    ],
)
def test_a_text_that_is_no_combination_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings_of(combinations=text)


def test_a_combination_that_no_row_has_or_that_leaves_nothing_is_a_sentence() -> None:
    data = grid()
    with pytest.raises(InvalidInput, match=r"no image has scale=0.55; it has: 0.5, 0.6, 0.7, 0.8"):
        split_of(data, seed=0, train=settings_of(combinations="shape=heart & scale=0.55"))
    with pytest.raises(InvalidInput, match="no image has shape=cross; it has: square, ellipse, heart"):
        split_of(data, seed=0, train=settings_of(combinations="shape=cross"))
    with pytest.raises(InvalidInput, match="hold out every row"):
        split_of(data, seed=0, train=settings_of(combinations="shape=0..2"))
    job = helpers.job({"data": data}, [helpers.task("reconstruction")], combinations="colour=red")
    with pytest.raises(
        InvalidInput, match="no dataset has all of colour as targets; there are: angle, scale, shape"
    ):
        Trainer(job, {"data": data}, classes=helpers.shipped_tasks())


def trained(data: AccDataset, start: Any = None, **fields: Any) -> Any:
    job = helpers.job({"data": data}, [helpers.task("reconstruction")], steps=2, **fields)
    return helpers.run(job, {"data": data}, **({} if start is None else {"start_from": start}))


def test_all_branches_of_an_experiment_hold_out_the_combinations_of_its_first_job() -> None:
    data, text = grid(), "shape=heart & scale=0.5"
    _, first = trained(data, combinations=text)
    start = first.last.checkpoint()
    trainer, second = trained(data, start)
    assert second.last.header.spec.train.combinations == text
    assert trainer.state.split("data").combinations.size == 12
    with pytest.raises(
        InvalidInput, match=r"combinations: .* starts from held out 'shape=heart & scale=0.5'"
    ):
        trained(data, start, combinations="shape=square")
    _, plain = trained(data)
    with pytest.raises(InvalidInput, match="was trained on all combinations"):
        trained(data, plain.last.checkpoint(), combinations=text)
    with pytest.raises(InvalidInput, match="split: 'drawn' is refused"):
        trained(data, plain.last.checkpoint(), split="drawn")


def test_an_evaluation_measures_combinations_beside_the_others_and_says_which_rows_it_used() -> None:
    data = grid()
    _, sink = trained(data, combinations="shape=heart & scale=0.5")
    checkpoint, classes = sink.last.checkpoint(), helpers.shipped_tasks()

    def measure(**options: Any) -> Any:
        return evaluate_checkpoint(checkpoint, {"data": data}, classes, EvalSpec(device="cpu", **options))

    found = measure()
    values = {metric.name: metric for metric in found.metrics}
    assert {"psnr", "psnr_combinations", "loss_combinations"} <= values.keys()
    assert values["psnr"].value != values["psnr_combinations"].value
    assert values["psnr"].sample != values["psnr_combinations"].sample
    assert found.rows == {"data": "28 held out from training; 12 of held-out combinations"}
    alone = measure(rows="combinations")
    assert alone.rows == {"data": "12 of held-out combinations"}
    alone_values = {metric.name: metric.value for metric in alone.metrics}
    assert alone_values["psnr"] == pytest.approx(values["psnr_combinations"].value)
    assert "psnr_combinations" not in alone_values
    with pytest.raises(InvalidInput, match="rows: this dataset came without test rows"):
        measure(rows="test")


def test_an_evaluation_may_look_at_the_test_rows_that_were_kept_apart() -> None:
    data = parted()
    trainer, sink = trained(data)
    assert (
        "trained on 40, 10 validation rows of the split that came with the data, 10 kept apart as test"
        in (trainer.state.data_in_words()["data"])
    )

    def measure(rows: Any) -> Any:
        spec = EvalSpec(device="cpu", rows=rows, suite=("metrics", "reconstructions"))
        return evaluate_checkpoint(sink.last.checkpoint(), {"data": data}, helpers.shipped_tasks(), spec)

    assert measure("held_out").rows == {"data": "10 validation rows of the split that came with the data"}
    found = measure("test")
    assert found.rows == {"data": "10 test rows of the split that came with the data"}
    assert data.split is not None
    assert set(data.split[list(found.reconstructions[0].indices)].tolist()) == {2}
    with pytest.raises(InvalidInput, match="rows: no combinations were held out"):
        measure("combinations")
