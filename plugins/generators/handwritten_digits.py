"""Handwritten digits: the 1,797 scans that come with scikit-learn, enlarged."""

from __future__ import annotations

import numpy as np

from acc.api import (
    AccDataset,
    DatasetGenerator,
    InvalidInput,
    Param,
    Progress,
    measure,
    no_progress,
    sampling,
    scans,
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
    part = Param("all", choices=scans.PARTS, help="all of them, 397 held out, or the other 1,400 to train")
    split_seed = Param(0, min=0, help="decides which digits are held out")

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return up to 1,797 images; raises InvalidInput (n) if more are asked for than the part has."""
        images_8x8, digits = scans.scans()
        part = scans.rows_of(self.part, self.split_seed)
        if n is not None and not 1 <= n <= len(part):
            raise InvalidInput(n=f"{n} is refused; there are {len(part)} scans, ask for 1 to {len(part)}")
        rows = part if n is None or n == len(part) else part[scans.chosen(digits[part], n, seed)]
        images = scans.enlarge(images_8x8[rows], self.size)
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
                sampling.class_column("digit", scans.DIGITS),
                sampling.real_column("thickness", thickness, "px"),
                sampling.real_column("slant", slant, "rad"),
            ),
        )
