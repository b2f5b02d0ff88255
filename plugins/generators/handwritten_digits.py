"""Handwritten digits: the 1,797 scans that come with scikit-learn, enlarged."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from acc.api import (
    AccDataset,
    DatasetGenerator,
    InvalidInput,
    Param,
    Progress,
    TargetSpec,
    measure,
    no_progress,
)

MEASURED_AT_ONCE = 100


class HandwrittenDigits(DatasetGenerator):
    """Real scans of handwritten digits (UCI ML, Alpaydin & Kaynak 1998), 8 x 8 pixels enlarged smoothly.

    Targets: the digit, and the thickness and slant of its strokes as measured on the enlarged image.
    Asked for fewer images than there are, a seeded choice that keeps the share of each digit.
    """

    label = "Handwritten digits"
    version = 1

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return up to 1,797 images; raises InvalidInput (n) if more are asked for."""
        from sklearn.datasets import load_digits  # half a second that a form need not wait for

        bunch = load_digits()
        scans, digits = np.asarray(bunch.images, dtype=np.float32), np.asarray(bunch.target, dtype=np.int64)
        if n is not None and not 1 <= n <= len(scans):
            raise InvalidInput(
                {"n": f"{n} is refused; there are {len(scans)} scans, ask for 1 to {len(scans)}"}
            )
        rows = np.arange(len(scans)) if n is None or n == len(scans) else chosen(digits, n, seed)
        images = enlarge(scans[rows] / 16, self.size)
        measured = []
        for start in range(0, len(images), MEASURED_AT_ONCE):
            progress(start / len(images))
            measured.append(measure.thickness(images[start : start + MEASURED_AT_ONCE]))
        thickness, slant = np.concatenate(measured), measure.slant(images)
        progress(1.0)
        return AccDataset(
            images=images,
            targets={"digit": digits[rows], "thickness": thickness, "slant": slant},
            target_specs=(
                TargetSpec(name="digit", kind="class", classes=10, labels=tuple(map(str, range(10)))),
                TargetSpec(
                    name="thickness",
                    kind="real",
                    unit="px",
                    min=float(thickness.min()),
                    max=float(thickness.max()),
                ),
                TargetSpec(
                    name="slant", kind="real", unit="rad", min=float(slant.min()), max=float(slant.max())
                ),
            ),
        )


def chosen(digits: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return ``n`` row numbers in order, each digit with its share."""
    order = np.random.default_rng(seed).permutation(len(digits))
    place = np.empty(len(digits))
    for digit in np.unique(digits):
        own = order[digits[order] == digit]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    rows: np.ndarray = np.sort(np.argsort(place, kind="stable")[:n])
    return rows


def enlarge(scans: np.ndarray, size: int) -> np.ndarray:
    """Return scans ``(N, 8, 8)`` in 0..1 as images ``(N, 1, size, size) uint8``, by cubic splines."""
    factor = size / scans.shape[1]
    large = ndimage.zoom(scans, (1, factor, factor), order=3, grid_mode=True, mode="grid-constant")
    images: np.ndarray = (large.clip(0, 1) * 255).round().astype(np.uint8)[:, None]
    return images
