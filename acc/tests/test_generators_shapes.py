"""Shapes are where, as large and turned as their labels say, and wholly in the frame."""

from __future__ import annotations

import numpy as np
import pytest

from acc.data import shapes, strokes
from acc.errors import InvalidInput
from acc.tests.generators import generator, made

ALL = len(shapes.KINDS)


def data(**params: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    found = made("shapes", "Shapes", 1200, 2, **{"classes": ALL, "scale_max": 5.0, **params})
    return found.images[:, 0] / 255, found.targets


def test_the_centre_of_mass_and_the_area_are_the_labels() -> None:
    images, targets = data()
    ink, places = images.sum(axis=(1, 2)), np.arange(32)
    np.testing.assert_allclose(images.sum(axis=1) @ places / ink, targets["x"], atol=0.12)
    np.testing.assert_allclose(images.sum(axis=2) @ places / ink, targets["y"], atol=0.12)
    np.testing.assert_allclose(np.sqrt(ink / np.pi), targets["scale"], atol=0.08)


def test_labels_are_exact_and_not_rounded_to_pixels() -> None:
    _, targets = data()
    for name in ("x", "y", "scale"):
        assert len(np.unique(targets[name])) > 1150
        assert np.histogram(targets[name] % 1, bins=4, range=(0, 1))[0].min() > 150


def test_shapes_never_touch_the_frame() -> None:
    for params in ({}, {"scale_min": 8.0, "scale_max": 8.0}):
        images, _ = data(**params)
        assert images[:, [0, -1]].max() == 0
        assert images[:, :, [0, -1]].max() == 0


@pytest.mark.parametrize("kind", range(1, ALL))
def test_a_rotation_can_be_seen_and_is_clockwise(kind: int) -> None:
    turns = np.linspace(-0.5, 0.5, 11)
    at = np.full(11, 63.5)
    large = np.full(11, 30.0)
    images = shapes.draw(np.full(11, kind), at, at, scale=large, rotation=turns, size=128).astype(float)
    apart = np.abs(images[:, None] - images[None]).mean(axis=(2, 3, 4))
    apart[np.eye(11, dtype=bool)] = np.inf
    assert apart.min() > 0.1
    # What is ink just within the outline is still ink where a clockwise turn, seen on a screen, takes it.
    x, y = shapes.outline(kind).T * 0.9 * 30
    for turn in (0, 10):
        cos, sin = np.cos(turns[turn]), np.sin(turns[turn])
        column, row = (np.rint(63.5 + v).astype(int) for v in (cos * x - sin * y, sin * x + cos * y))
        upright = images[5, 0][np.rint(63.5 + y).astype(int), np.rint(63.5 + x).astype(int)] > 250
        assert upright.sum() >= 3
        assert (images[turn, 0, row, column][upright] > 128).mean() > 0.9


def test_a_circle_has_no_rotation_and_is_labelled_so() -> None:
    _, targets = data()
    circles = targets["shape"] == shapes.CIRCLE
    assert (targets["rotation"][circles] == 0).all()
    assert targets["rotation"][~circles].std() > 0.25


def test_factors_are_independent() -> None:
    _, targets = data()
    names = ("x", "y", "scale", "rotation")
    found = np.corrcoef([targets[name] for name in names])
    assert np.abs(found - np.eye(4)).max() < 0.09
    assert abs(found[0, 1]) < 0.03


def test_each_class_is_another_shape() -> None:
    at = np.full(ALL, 31.5)
    images = (
        shapes.draw(np.arange(ALL), at, at, scale=np.full(ALL, 14.0), rotation=np.zeros(ALL), size=64) / 255
    )
    apart = np.abs(images[:, None] - images[None]).sum(axis=(2, 3, 4))
    apart[np.eye(ALL, dtype=bool)] = np.inf
    assert apart.min() > 20


def test_more_classes_than_are_drawn_are_refused() -> None:
    with pytest.raises(InvalidInput, match=f"params.classes: {ALL + 1} is above the most allowed, {ALL}"):
        generator("shapes", "Shapes")(classes=ALL + 1)


def test_a_scale_without_room_is_refused_with_the_one_that_has() -> None:
    with pytest.raises(InvalidInput, match=r"params.scale_max: 12 px leaves .* at most 9\.\d+ px"):
        generator("shapes", "Shapes")(scale_max=12.0)


def test_the_grid_has_each_combination_once() -> None:
    found = made("factor_grid", "ShapesGrid", None, position_levels=3)
    columns = ("shape", "x_level", "y_level", "scale_level", "rotation_level")
    cells = np.stack([found.targets[name] for name in columns], axis=1)
    assert len(np.unique(cells, axis=0)) == len(found) == 4 * 3 * 3 * 3 * 3
    labels = next(column.labels for column in found.target_specs if column.name == "shape")
    assert labels == ("square", "triangle", "star", "cross")
    upright = made("factor_grid", "ShapesGrid", None, position_levels=2, rotation_levels=1)
    assert upright.target_specs[0].labels == ("circle", "square", "triangle", "star")
    assert (upright.targets["rotation"] == 0).all()


@pytest.mark.parametrize("place", [(-2.0, 3.25), (15.5, 15.5), (29.75, 31.0)])
def test_a_disc_is_as_bright_as_its_distance_says_also_where_the_frame_cuts_it(
    place: tuple[float, float],
) -> None:
    centres, radii = np.array([place, (9.0, 20.5)], np.float32), np.array([5.5, 2.25], np.float32)
    y, x = np.mgrid[:32, :32]
    away = [np.hypot(x - cx, y - cy) - radius for (cx, cy), radius in zip(centres, radii, strict=True)]
    np.testing.assert_allclose(strokes.discs(centres, radii, 32)[:, 0], strokes.shade(np.array(away)), atol=1)


def test_a_shape_moved_by_whole_pixels_is_the_same_picture_moved() -> None:
    star = (shapes.outline(shapes.KINDS.index("star")) * 5 + 8.3).astype(np.float32)
    here, there = strokes.fill(np.stack([star, star + np.float32(13)]), 32)[:, 0]
    np.testing.assert_array_equal(here[:19, :19], there[13:, 13:])
    assert here.any()
    assert not here[19:].any()
