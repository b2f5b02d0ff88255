"""Glyphs and digits have the thickness and slant that were asked for, and the labels are what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acc.data import AccDataset, glyphs, morphology, scans, strokes
from acc.tests.generators import made

N = 2000


def glyph_set(name: str, **params: Any) -> AccDataset:
    return made(name.lower(), name, N, 3, **params)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("name", ["Thickness", "Slant"])
def test_labels_are_measured_on_the_very_images(name: str) -> None:
    data = glyph_set(name)
    rows = slice(100, 160)
    np.testing.assert_array_equal(data.targets["thickness"][rows], morphology.thickness(data.images[rows]))
    np.testing.assert_array_equal(data.targets["slant"][rows], morphology.slant(data.images[rows]))


@pytest.mark.parametrize("name", ["Thickness", "Slant"])
def test_what_is_measured_follows_what_was_asked(name: str) -> None:
    targets = glyph_set(name).targets
    assert correlation(targets["thickness"], targets["asked_thickness"]) > 0.95
    assert correlation(targets["slant"], targets["asked_slant"]) > 0.99
    off = targets["slant"] - targets["asked_slant"]
    assert abs(float(off.mean())) < 0.005
    assert float(off.std()) < 0.02


@pytest.mark.parametrize("name", ["Thickness", "Slant"])
def test_thickness_slant_and_kind_are_independent(name: str) -> None:
    targets = glyph_set(name).targets
    assert abs(correlation(targets["thickness"], targets["slant"])) < 0.05
    assert abs(correlation(targets["asked_thickness"], targets["asked_slant"])) < 0.02
    for factor in ("asked_thickness", "asked_slant", "slant"):
        values = targets[factor]
        means = [values[targets["glyph"] == kind].mean() for kind in range(len(glyphs.KINDS))]
        assert np.ptp(means) < 0.3 * values.std()


def test_the_wide_factor_of_each_fills_its_range() -> None:
    thick, slanted = glyph_set("Thickness").targets, glyph_set("Slant").targets
    assert np.histogram(thick["asked_thickness"], bins=10, range=(3, 7))[0].tolist() == [N // 10] * 10
    assert np.histogram(slanted["asked_slant"], bins=10, range=(-0.5, 0.5))[0].tolist() == [N // 10] * 10


def test_glyphs_lie_wholly_in_the_frame() -> None:
    images = glyph_set("Slant").images[:, 0]
    edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert edge.max() < 128
    assert (edge.max(axis=1) > 0).mean() < 0.01
    assert images.max(axis=(1, 2)).min() > 200


def test_digits_written_again_have_the_thickness_and_slant_asked_for() -> None:
    data = made("thickness", "Thickness", 600, 1, source="digits", thickness_min=3.5, thickness_max=6.5)
    targets = data.targets
    # A level set cannot make each scan as thin as asked; what is labelled is what is seen.
    assert correlation(targets["thickness"], targets["asked_thickness"]) > 0.93
    assert np.median(np.abs(targets["thickness"] - targets["asked_thickness"])) < 0.15
    assert np.abs(targets["slant"] - targets["asked_slant"]).mean() < 0.01
    np.testing.assert_array_equal(targets["slant"], morphology.slant(data.images))


def test_a_digit_written_again_is_still_that_digit() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    images, digits = scans.scans()
    train, held_out = scans.rows_of("train"), scans.rows_of("held_out")
    reference = scans.enlarge(images[train], 32).reshape(len(train), -1)
    judge = KNeighborsClassifier(3).fit(reference, digits[train])
    again = made("thickness", "Thickness", 300, 0, source="digits", part="held_out", thickness_min=4.0,
                 thickness_max=6.5, slant_min=-0.1, slant_max=0.1)  # fmt: skip
    assert judge.score(again.images.reshape(300, -1), again.targets["digit"]) > 0.8
    assert len(held_out) == 397


def test_held_out_scans_are_never_trained_on() -> None:
    train, held_out = scans.rows_of("train", 5), scans.rows_of("held_out", 5)
    assert (len(train), len(held_out)) == (1400, 397)
    assert np.array_equal(np.sort(np.concatenate([train, held_out])), np.arange(1797))
    assert not np.array_equal(held_out, scans.rows_of("held_out", 6))
    counts = np.bincount(scans.scans()[1][held_out])
    assert np.ptp(counts) <= 3


def test_handwritten_digits_are_the_same_bytes_as_ever_and_can_be_parted() -> None:
    whole = made("handwritten_digits", "HandwrittenDigits", None)
    assert whole.content_hash.startswith("0999935468d0ef95")
    held_out = made("handwritten_digits", "HandwrittenDigits", None, part="held_out")
    assert len(held_out) == 397
    np.testing.assert_array_equal(held_out.images, whole.images[scans.rows_of("held_out")])


@pytest.mark.parametrize("width", [2.0, 3.3, 6.0])
def test_a_drawn_stroke_is_as_wide_as_asked_at_any_angle(width: float) -> None:
    angles = np.linspace(0, np.pi, 7)
    half = 9 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    segments = np.concatenate([15.5 - half, 15.5 + half], axis=1)[:, None].astype(np.float32)
    images = strokes.draw(segments, np.full(7, width, np.float32), 32)
    # Ink is the stroke and half a disc at either end.
    np.testing.assert_allclose(images.sum(axis=(1, 2, 3)) / 255, 18 * width + np.pi * width**2 / 4, rtol=0.02)
    np.testing.assert_allclose(morphology.thickness(images), width, rtol=0.08)


def test_thickness_of_many_is_the_thickness_of_each() -> None:
    images = np.concatenate([glyph_set("Thickness").images[:70], np.zeros((1, 1, 32, 32), np.uint8)])
    together = morphology.thickness(images)
    np.testing.assert_array_equal(
        together, np.concatenate([morphology.thickness(images[[k]]) for k in range(71)])
    )
    assert together[-1] == 0


def test_brightness_in_0_to_1_is_measured_alike() -> None:
    images = glyph_set("Thickness").images[:20]
    unit = (images / 255).astype(np.float32)
    np.testing.assert_array_equal(morphology.thickness(unit), morphology.thickness(images))
    np.testing.assert_allclose(morphology.slant(unit), morphology.slant(images), atol=1e-5)


def test_thickness_is_that_of_scipys_exact_distance_transform() -> None:
    from scipy import ndimage

    image = glyph_set("Thickness").images[7, 0]
    large = ndimage.zoom(
        np.pad(image, 1).astype(np.float32), 4, order=1, grid_mode=True, mode="grid-constant"
    )
    ink = np.pad(large >= 0.5 * large.max(), 1)
    distance = ndimage.distance_transform_edt(ink)
    ridge = ink & (distance >= ndimage.maximum_filter(distance, size=3) - 1e-6) & (distance > 1)
    measured = morphology.thickness(image[None, None])[0]
    assert measured == np.float32(2 * distance[ridge].mean() / 4)
