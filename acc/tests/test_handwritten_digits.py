"""The digits are scikit-learn's scans, the same every time, with thickness and slant as measured on them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from acc.data import AccDataset, DatasetGenerator, morphology
from acc.errors import InvalidInput
from acc.plugins.load import load_source

FILE = Path(__file__).parents[2] / "plugins" / "generators" / "handwritten_digits.py"


@functools.cache
def generator() -> type[DatasetGenerator]:
    (found,) = load_source(FILE.read_text(), "generators/handwritten_digits.py")
    assert issubclass(found.cls, DatasetGenerator)
    return found.cls


@functools.cache
def digits(n: int | None, seed: int = 0, **params: Any) -> AccDataset:
    return generator()(**params).generate(n=n, seed=seed)


def bar(width: float, lean: float, *, side: int = 32, length: float = 18) -> np.ndarray[Any, Any]:
    """Return a picture (1, side, side) of an anti-aliased bar ``width`` pixels thick, leaning by ``lean`` radians."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    across = np.abs(x + np.tan(lean) * y) * np.cos(lean)
    ink = np.clip(width / 2 - across + 0.5, 0, 1) * np.clip(length / 2 - np.abs(y) + 0.5, 0, 1)
    return (ink * 255).round().astype(np.uint8)[None]


@pytest.mark.parametrize("side", [28, 32, 64])
def test_the_measured_thickness_of_a_bar_is_its_width(side: int) -> None:
    widths = np.array([2.0, 3.0, 4.0, 5.0])
    measured = morphology.thickness(np.stack([bar(width, 0.2, side=side) for width in widths]))
    np.testing.assert_allclose(measured, widths, rtol=0.05)


def test_the_measured_slant_of_a_bar_is_its_lean_from_the_vertical_to_the_right() -> None:
    leans = np.array([-0.5, -0.2, 0.0, 0.2, 0.5])
    for width in (2.0, 4.0):
        measured = morphology.slant(np.stack([bar(width, lean) for lean in leans]))
        np.testing.assert_allclose(measured, leans, atol=0.01)


def test_an_empty_picture_has_neither_thickness_nor_slant() -> None:
    empty = np.zeros((1, 1, 32, 32), np.uint8)
    assert morphology.thickness(empty).tolist() == [0.0]
    assert morphology.slant(empty).tolist() == [0.0]


def test_all_scans_are_there_in_their_order_with_their_labels() -> None:
    data = digits(None, size=16)
    assert data.images.shape == (1797, 1, 16, 16)
    bunch = load_digits()
    np.testing.assert_array_equal(data.targets["digit"], bunch.target)
    back = data.images[:, 0].reshape(1797, 8, 2, 8, 2).mean(axis=(2, 4)) / 255
    assert np.corrcoef(back.ravel(), bunch.images.ravel())[0, 1] > 0.98


def test_the_same_parameters_and_seed_give_the_same_bytes() -> None:
    again = generator()(size=32).generate(n=60, seed=3)
    assert again.content_hash == digits(60, 3, size=32).content_hash
    assert digits(60, 4, size=32).content_hash != again.content_hash


def test_fewer_digits_keep_the_share_of_each() -> None:
    counts = np.bincount(digits(60, 3, size=32).targets["digit"], minlength=10)
    assert counts.sum() == 60
    assert counts.min() >= 5
    assert counts.max() <= 7


def test_thickness_and_slant_vary_and_lie_in_their_declared_range() -> None:
    data = digits(60, 3, size=32)
    for column in data.target_specs[1:]:
        values = data.targets[column.name]
        assert column.kind == "real"
        assert values.std() > 0.05
        assert (column.min, column.max) == (values.min(), values.max())


@pytest.mark.parametrize("n", [0, -1, 1798])
def test_a_number_of_digits_that_is_not_there_is_refused(n: int) -> None:
    with pytest.raises(InvalidInput, match=f"n: {n} is refused; there are 1797 scans"):
        generator()().generate(n=n, seed=0)


def test_progress_is_told_and_can_stop_the_work() -> None:
    told: list[float] = []
    generator()(size=16).generate(n=250, seed=0, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 2

    def stop(fraction: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        generator()(size=16).generate(n=250, seed=0, progress=stop)
