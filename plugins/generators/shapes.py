"""Plain shapes, whose place, scale, rotation and class are known exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from acc.api import AccDataset, DatasetGenerator, Param, Progress, no_progress, sampling, shapes

PIXELS_AT_ONCE = 1 << 20
PARTS = 8  # words of progress, at the least


class Shapes(DatasetGenerator):
    """One white shape on black, wholly in the frame, its edges anti-aliased.

    Class, place, scale and rotation are drawn independently, each evenly. ``x`` and ``y`` are the centre of mass in
    pixels from the middle of the first one, ``scale`` the radius of the disc of the same area, ``rotation`` the turn
    clockwise. Rotations stay within half of a hexagon's symmetry, so that each can be seen; a circle's is 0.
    """

    label = "Shapes"
    version = 2

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")
    classes = Param(5, min=1, max=len(shapes.KINDS), help=f"the first so many of: {', '.join(shapes.KINDS)}")
    scale_min = Param(3.5, min=1, max=64, unit="px", help="radius of the disc of the same area, at the least")
    scale_max = Param(6.5, min=1, max=64, unit="px", help="radius of the disc of the same area, at the most")
    rotation_max = Param(0.5, min=0, max=shapes.MAX_ROTATION, unit="rad", help="turn to either side")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        sampling.ordered(self.scale_min, self.scale_max, "scale")
        self._room = shapes.room(self.classes, self.scale_max, self.size)

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return ``n`` images (4,000 if nobody says); raises InvalidInput (n) if that is too many."""
        n = sampling.count(n, 4000, self.size)
        rng = np.random.default_rng(seed)
        kinds = sampling.balanced(rng, n, self.classes)
        x = sampling.evenly(rng, n, *self._room)
        y = sampling.evenly(rng, n, *self._room, apart_from=x)
        scale = sampling.evenly(rng, n, self.scale_min, self.scale_max)
        rotation = sampling.evenly(rng, n, -self.rotation_max, self.rotation_max, apart_from=scale)
        rotation[kinds == shapes.CIRCLE] = 0
        images = np.empty((n, 1, self.size, self.size), np.uint8)
        step = max(1, min(PIXELS_AT_ONCE // self.size**2, n // PARTS))
        for start in range(0, n, step):
            progress(start / n)
            rows = slice(start, start + step)
            images[rows] = shapes.draw(
                kinds[rows], x[rows], y[rows], scale=scale[rows], rotation=rotation[rows], size=self.size
            )
        progress(1.0)
        return AccDataset(
            images=images,
            targets={"shape": kinds, "x": x, "y": y, "scale": scale, "rotation": rotation},
            target_specs=(
                sampling.class_column("shape", shapes.KINDS[: self.classes]),
                sampling.real_column("x", x, "px"),
                sampling.real_column("y", y, "px"),
                sampling.real_column("scale", scale, "px"),
                sampling.real_column("rotation", rotation, "rad"),
            ),
        )
