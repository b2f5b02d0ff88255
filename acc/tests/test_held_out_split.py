"""The held-out split is seeded, shuffled, stratified, and the same for every job of an experiment."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acc.data import AccDataset
from acc.specs import TargetSpec
from acc.tests import helpers
from acc.training.split import fixed_examples, split_indices


def labelled(labels: list[int]) -> AccDataset:
    array = np.asarray(labels, dtype=np.int64)
    images = np.arange(len(labels) * 64, dtype=np.int64).reshape(-1, 1, 8, 8).astype(np.uint8)
    spec = TargetSpec(name="digit", kind="class", classes=int(array.max()) + 1)
    return AccDataset(images=images, targets={"digit": array}, target_specs=(spec,))


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_row_is_in_exactly_one_part_and_training_is_never_empty(
    labels: list[int], fraction: float, seed: int
) -> None:
    train, held_out = split_indices(labelled(labels), seed=seed, val_fraction=fraction)
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    assert len(train) >= 1
    assert len(held_out) == min(round(len(labels) * fraction), len(labels) - 1)


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=200), fraction=st.floats(0.05, 0.9))
@example(labels=[0, 1, 2, 3, 3, 3, 3, 3], fraction=0.625)
def test_one_part_of_every_class_is_held_out_within_half_a_row(labels: list[int], fraction: float) -> None:
    _, held_out = split_indices(labelled(labels), seed=0, val_fraction=fraction)
    counts = {label: labels.count(label) for label in set(labels)}
    taken = {label: int((np.asarray(labels)[held_out] == label).sum()) for label in counts}
    least = max((taken[label] - 0.5) / count for label, count in counts.items())
    most = min((taken[label] + 0.5) / count for label, count in counts.items())
    assert least <= most + 1e-9  # some part lies within half a row of what was taken of each


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(2, 40), classes=st.integers(1, 6), fraction=st.floats(0.05, 0.9))
def test_classes_of_one_size_keep_their_shares_within_one_row(
    rows: int, classes: int, fraction: float
) -> None:
    labels = list(range(classes)) * rows
    _, held_out = split_indices(labelled(labels), seed=0, val_fraction=fraction)
    share = len(held_out) / len(labels)
    for label in range(classes):
        assert abs((np.asarray(labels)[held_out] == label).sum() - share * rows) <= 1.0 + 1e-9


def test_a_larger_fraction_holds_out_a_superset_of_a_smaller_one() -> None:
    dataset = helpers.blobs(100)
    small = set(split_indices(dataset, seed=0, val_fraction=0.1)[1].tolist())
    large = set(split_indices(dataset, seed=0, val_fraction=0.3)[1].tolist())
    assert small < large


def test_the_split_depends_on_the_seed_and_the_content_only() -> None:
    dataset, same = helpers.blobs(100), helpers.blobs(100)
    first = split_indices(dataset, seed=0, val_fraction=0.2)
    again = split_indices(same, seed=0, val_fraction=0.2)
    other = split_indices(dataset, seed=1, val_fraction=0.2)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert set(first[1].tolist()) != set(other[1].tolist())


def test_the_parts_are_shuffled() -> None:
    train, held_out = split_indices(helpers.blobs(100), seed=0, val_fraction=0.2)
    assert np.any(np.diff(train) < 0)
    assert np.any(np.diff(held_out) < 0)


def test_a_dataset_without_classes_is_split_all_the_same() -> None:
    full = helpers.blobs(50)
    dataset = AccDataset(
        images=full.images, targets={"size": full.targets["size"]}, target_specs=(full.target_specs[1],)
    )
    train, held_out = split_indices(dataset, seed=0, val_fraction=0.2)
    assert (len(train), len(held_out)) == (40, 10)


def test_fixed_examples_are_the_same_every_time_and_go_round_the_classes() -> None:
    dataset = helpers.blobs(100)
    _, held_out = split_indices(dataset, seed=0, val_fraction=0.4)
    chosen = fixed_examples(dataset, held_out, count=8, seed=0)
    again = fixed_examples(dataset, held_out[::-1].copy(), count=8, seed=0)
    assert chosen.tolist() == again.tolist()
    assert set(chosen.tolist()) <= set(held_out.tolist())
    assert dataset.targets["digit"][chosen].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(fixed_examples(dataset, held_out[:3], count=8, seed=0)) == 3
