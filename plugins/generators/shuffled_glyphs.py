"""Glyphs whose targets belong to other glyphs: what is learned from them is learned from chance."""

from __future__ import annotations

import numpy as np

from acc.api import AccDataset, Progress, WrittenImages, no_progress


class ShuffledGlyphs(WrittenImages):
    """The images of the thickness and slant sets with every target column shuffled, each in its own order.

    The control of an experiment that learns from synthetic targets: the same images and the same numbers, and
    nothing in common between them.
    """

    label = "Shuffled glyphs"
    version = 2

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return ``n`` images (4,000 if nobody says) with shuffled targets."""
        true = super().generate(n, seed, progress)
        rng = np.random.default_rng([seed, 1])
        return AccDataset(
            images=true.images,
            targets={
                name: np.asarray(values)[rng.permutation(len(true))] for name, values in true.targets.items()
            },
            target_specs=true.target_specs,
            units=true.units,
        )
