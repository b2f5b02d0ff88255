"""Samples chosen, counted and compared as a plain loop over all of them would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset, browse
from acc.data.browse import Filter
from acc.errors import InvalidInput
from acc.specs import TargetSpec


def made(n: int = 200, *, seed: int = 0, side: int = 8) -> AccDataset:
    rng = np.random.default_rng(seed)
    return AccDataset(
        rng.integers(0, 256, (n, 1, side, side), dtype=np.uint8),
        {"digit": rng.integers(0, 5, n), "slant": rng.normal(size=n)},
        (
            TargetSpec(name="digit", kind="class", classes=5, labels=tuple("abcde")),
            TargetSpec(name="slant", kind="real"),
        ),
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.sets(st.integers(0, 4)), st.booleans())
def test_samples_pass_filters_and_are_sorted(
    low: float, high: float, among: set[int], descending: bool
) -> None:
    data = made()
    filters = [Filter("slant", low, high), Filter("digit", among=tuple(among))]
    found = browse.select(data, filters, sort="slant", descending=descending).tolist()
    slant, digit = data.targets["slant"].astype(float), data.targets["digit"]
    expected = [row for row in range(len(data)) if low <= slant[row] <= high and digit[row] in among]
    assert found == sorted(expected, key=lambda row: slant[row], reverse=descending)


@pytest.mark.parametrize("target", ["digit", "slant"])
@pytest.mark.parametrize("bins", [1, 7, 200])
def test_the_counts_of_a_histogram_add_up(target: str, bins: int) -> None:
    data = made()
    found = browse.histogram(data, target, bins=bins)
    assert sum(found["counts"]) == len(data)
    assert len(found["edges"]) == len(found["counts"]) + 1
    part = browse.histogram(data, target, bins=bins, rows=np.arange(50))
    assert part["edges"] == found["edges"]
    assert sum(part["counts"]) == 50


def test_pairs_count_every_sample_where_it_is() -> None:
    data = made()
    found = browse.pairs(data, "digit", "slant", bins=6)
    counts = np.array(found["counts"])
    assert counts.shape == (6, 5)
    assert counts.sum() == len(data)
    assert counts.sum(axis=0).tolist() == np.bincount(data.targets["digit"], minlength=5).tolist()


def test_pixel_statistics_are_those_of_all_images() -> None:
    data = made()
    found = browse.pixel_statistics(data)
    unit = data.images / 255
    np.testing.assert_allclose(found["mean"], unit.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found["std"], unit.std(axis=0), atol=1e-6)
    assert found["images"] == len(data)


def test_the_nearest_image_is_the_one_that_a_search_finds() -> None:
    a, b = made(30, seed=1), made(70, seed=2)
    rows = np.array([3, 17])
    found, distances = browse.nearest(a, rows, b, neighbours=3)
    difference = a.images[rows][:, None] / 255 - b.images[None] / 255
    squares = (difference**2).mean(axis=(2, 3, 4))
    np.testing.assert_array_equal(found, np.argsort(squares, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(squares, axis=1)[:, :3]), atol=1e-4)
    same, zero = browse.nearest(a, rows, a)
    assert same[:, 0].tolist() == rows.tolist()
    np.testing.assert_allclose(zero, 0, atol=1e-2)


def test_two_datasets_are_counted_in_the_same_bins() -> None:
    a, b = made(50, seed=1), made(80, seed=2)
    found = browse.compare(a, b, bins=9)
    for target in found["targets"]:
        assert (sum(target["a"]), sum(target["b"])) == (50, 80)
    difference = found["pixels"]["mean_difference"]
    assert difference is not None
    assert difference > 0
    assert browse.compare(a, made(9, side=9))["pixels"]["mean_difference"] is None


def test_a_query_that_means_nothing_is_refused_by_its_field() -> None:
    targets = [spec.model_dump() for spec in made().target_specs]
    assert browse.filters_of({"digit.in": "b,4", "slant.min": "0.5"}, targets) == [
        Filter("digit", among=(1, 4)),
        Filter("slant", low=0.5),
    ]
    for field, text, words in (
        ("digit.in", "z", "'z' is not a class here; there are: a, b, c, d, e"),
        ("slant.max", "inf", "'inf' is not a finite number"),
        ("shape.min", "1", "'shape' is not a target here; there are: digit, slant"),
    ):
        with pytest.raises(InvalidInput, match=words) as refused:
            browse.filters_of({field: text}, targets)
        assert list(refused.value.fields) == [field]
    with pytest.raises(InvalidInput, match="sort: 'shape' is not a target of this dataset"):
        browse.select(made(), sort="shape")
    with pytest.raises(InvalidInput, match="b: its images are 1 x 9 x 9 and those of the other 1 x 8 x 8"):
        browse.nearest(made(), np.arange(2), made(side=9))
