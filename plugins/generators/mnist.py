"""MNIST, fetched once and checked, or read from files on disk."""

from __future__ import annotations

import numpy as np

from acc.api import (
    AccDataset,
    DatasetGenerator,
    InvalidInput,
    Param,
    Progress,
    measure,
    mnist,
    no_progress,
    sampling,
    scans,
)

MEASURED_AT_ONCE = 500


class Mnist(DatasetGenerator):
    """The handwritten digits of MNIST (LeCun, Cortes & Burges): 60,000 to train and 10,000 to test.

    Targets: the digit, and thickness and slant of its strokes as measured on the image. Asked for fewer images
    than there are, a seeded choice that keeps the share of each digit.
    """

    label = "MNIST"
    version = 1

    part = Param("train", choices=tuple(mnist.PARTS), help="60,000 to train, 10,000 to test, or all")
    size = Param(28, choices=(28, 32), unit="px", help="as they are, or with a border of two pixels")
    folder = Param(
        "",
        help="folder with the four IDX files in the platform's data folder; empty: fetched from the network",
    )

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return up to 70,000 images; raises InvalidInput (n, params.folder, download, file)."""
        images, digits = mnist.load(self.part, self.folder, lambda fraction: progress(fraction / 2))
        if n is not None and not 1 <= n <= len(images):
            raise InvalidInput(
                {"n": f"{n} is refused; there are {len(images):,} images, ask for 1 to {len(images):,}"}
            )
        if n is not None and n < len(images):
            chosen = scans.chosen(digits, n, seed)
            images, digits = images[chosen], digits[chosen]
        images = images[:, None]
        if self.size > mnist.SIDE:
            border = (self.size - mnist.SIDE) // 2
            images = np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))
        thickness = np.empty(len(images), np.float32)
        for start in range(0, len(images), MEASURED_AT_ONCE):
            progress((1 + start / len(images)) / 2)
            rows = slice(start, start + MEASURED_AT_ONCE)
            thickness[rows] = measure.thickness(images[rows])
        slant = measure.slant(images)
        progress(1.0)
        return AccDataset(
            images=images,
            targets={"digit": digits, "thickness": thickness, "slant": slant},
            target_specs=(
                sampling.class_column("digit", mnist.DIGITS),
                sampling.real_column("thickness", thickness, "px"),
                sampling.real_column("slant", slant, "rad"),
            ),
        )

    def preview(self, n: int, seed: int) -> AccDataset:
        """Return a few; raises InvalidInput (preview) if they would have to be fetched first."""
        if not self.folder:
            mnist.check_here(self.part)
        return self.generate(n, seed)
