"""Pictures hold the very pixels that they are made of, and colour maps are read by number."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acc.render import difference, heat, reconstruction_rows, sprite

RNG = np.random.default_rng(0)


def pixels(png: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png)))


def images(n: int, channels: int = 1) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 256, (n, channels, 5, 7), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_sprite_holds_every_pixel_in_its_cell(channels: int) -> None:
    source = images(5, channels)
    grid = pixels(sprite(source, columns=3)).reshape(10, 21, channels)
    for number in range(5):
        row, column = divmod(number, 3)
        cell = grid[row * 5 : row * 5 + 5, column * 7 : column * 7 + 7]
        np.testing.assert_array_equal(cell, np.moveaxis(source[number], 0, -1))
    assert (grid[5:, 14:] == 0).all()


def test_a_gap_lies_between_cells_and_not_around_them() -> None:
    grid = pixels(sprite(images(4), columns=2, gap=2, background=9))
    assert grid.shape == (12, 16)
    assert (grid[5:7] == 9).all()
    assert (grid[:, 7:9] == 9).all()


def test_images_of_another_number_of_channels_are_shown_as_their_mean() -> None:
    source = images(1, 2)
    np.testing.assert_array_equal(pixels(sprite(source, columns=1)), source[0].mean(axis=0).round())


def test_no_images_make_no_picture() -> None:
    with pytest.raises(ValueError, match="need"):
        sprite(images(0), columns=1)


def test_the_difference_is_the_absolute_one_pixel_by_pixel() -> None:
    a, b = np.array([[0, 255, 7]], np.uint8), np.array([[255, 0, 9]], np.uint8)
    assert difference(a, b).tolist() == [[255, 255, 2]]


def test_reconstructions_stand_in_three_rows() -> None:
    a, b = images(8), images(8)
    grid = pixels(reconstruction_rows(a, b))
    assert grid.shape == (15, 56)
    np.testing.assert_array_equal(grid[:5, 7:14], a[1, 0])
    np.testing.assert_array_equal(grid[5:10, 7:14], b[1, 0])
    np.testing.assert_array_equal(grid[10:, 7:14], np.abs(a[1, 0].astype(int) - b[1, 0].astype(int)))


def test_heat_goes_from_dark_violet_to_yellow_and_ever_brighter() -> None:
    ramp = heat(np.linspace(0, 1, 256)[None, None])
    assert ramp.shape == (1, 3, 1, 256)
    assert ramp[0, :, 0, 0].tolist() == [68, 1, 84]
    assert ramp[0, :, 0, -1].tolist() == [253, 231, 37]
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ ramp[0, :, 0].astype(float)
    assert (np.diff(luminance) > -0.6).all()


def test_values_beyond_the_range_and_no_numbers_take_the_ends() -> None:
    found = heat(np.array([[[-5.0, np.nan, 5.0]]]))
    assert found[0, :, 0].T.tolist() == [[68, 1, 84], [68, 1, 84], [253, 231, 37]]
