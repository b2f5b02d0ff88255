"""Images are sorted by how far they lie along a group's direction, or by one dimension."""

from __future__ import annotations

import numpy as np

from acc.tests import evaluated, helpers


def test_the_twenty_lowest_and_highest_of_a_dimension_with_their_targets() -> None:
    evaluator = evaluated.evaluator()
    found = evaluator.sort(direction="dimensions")[3]
    z, data = evaluator.encoded().z[:, 3], evaluated.data()
    assert found.lowest is not None
    assert found.highest is not None
    assert found.lowest.indices == tuple(np.argsort(z, kind="stable")[:20].tolist())
    np.testing.assert_array_equal(found.highest.activations, np.sort(z)[::-1][:20])
    rows = list(found.highest.indices)
    np.testing.assert_array_equal(found.highest.images, data.images[rows])
    np.testing.assert_array_equal(found.highest.targets["size"], data.targets["size"][rows])
    assert set(found.lowest.targets) == {"digit", "size"}


def test_along_the_pattern_of_size_the_highest_are_larger() -> None:
    found = {each.axis.name: each for each in evaluated.evaluator().sort(direction="pattern")}
    low, high = found["size"].lowest, found["size"].highest
    assert low is not None
    assert high is not None
    assert high.targets["size"].min() > low.targets["size"].max()
    assert found["free"].lowest is None
    assert "no concept" in found["free"].reason


def test_ends_do_not_overlap_where_there_are_few_images() -> None:
    few = helpers.blobs(9, seed=1)
    found = evaluated.evaluator(dataset=few).sort(count=20)[0]
    assert found.lowest is not None
    assert found.highest is not None
    assert not set(found.lowest.indices) & set(found.highest.indices)
    assert len(found.lowest.indices) == len(found.highest.indices) == 4
