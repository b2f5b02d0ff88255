"""Written images with a chosen thickness and slant: the base of the generators of both. Torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np

from acc.data import glyphs, morphology, sampling
from acc.data.dataset import AccDataset
from acc.data.generator import DatasetGenerator, Progress, no_progress
from acc.params import Param

AT_ONCE = 256  # images between two words of progress


class WrittenImages(DatasetGenerator):
    """Glyphs whose thickness, slant and kind are drawn independently of each other, each evenly over its range.

    Targets: ``thickness`` and ``slant`` as measured on the image (``acc.api.measure``), what was asked for of
    either, and the kind of glyph.
    """

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")
    thickness_min = Param(2.5, min=1, max=32, unit="px", help="thinnest stroke")
    thickness_max = Param(
        6.5, min=1, max=32, unit="px", help="thickest stroke; at most a quarter of the size"
    )
    slant_min = Param(
        -0.5, min=-0.8, max=0.8, unit="rad", help="lean to the left of the vertical, if below 0"
    )
    slant_max = Param(0.5, min=-0.8, max=0.8, unit="rad", help="lean to the right at the top")
    softness = Param(2.0, min=0.5, max=4, unit="px", help="how far an edge fades from white to black")

    NATURAL = 4000

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        sampling.ordered(self.thickness_min, self.thickness_max, "thickness")
        sampling.ordered(self.slant_min, self.slant_max, "slant")
        glyphs.check(self.size, self.thickness_max)

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return ``n`` images (4,000 if nobody says); raises InvalidInput (n) if that is too many."""
        n = sampling.count(n, self.NATURAL, self.size)
        rng = np.random.default_rng(seed)
        thickness = sampling.evenly(rng, n, self.thickness_min, self.thickness_max)
        slant = sampling.evenly(rng, n, self.slant_min, self.slant_max, apart_from=thickness)
        kinds = sampling.balanced(rng, n, len(glyphs.KINDS))
        images = np.empty((n, 1, self.size, self.size), np.uint8)
        measured = np.empty((2, n), np.float32)
        for start in range(0, n, AT_ONCE):
            progress(start / n)
            rows = slice(start, start + AT_ONCE)
            shapes = glyphs.shapes(rng, len(kinds[rows]))
            images[rows] = glyphs.draw(
                kinds[rows],
                shapes,
                thickness=thickness[rows],
                slant=slant[rows],
                size=self.size,
                softness=self.softness,
            )
            measured[0, rows] = morphology.thickness(images[rows])
            measured[1, rows] = morphology.slant(images[rows])
        progress(1.0)
        real = {
            "thickness": (measured[0], "px"),
            "slant": (measured[1], "rad"),
            "asked_thickness": (thickness, "px"),
            "asked_slant": (slant, "rad"),
        }
        return AccDataset(
            images=images,
            targets={**{name: values for name, (values, _) in real.items()}, "glyph": kinds},
            target_specs=(
                *(sampling.real_column(name, values, unit) for name, (values, unit) in real.items()),
                sampling.class_column("glyph", glyphs.KINDS),
            ),
        )
