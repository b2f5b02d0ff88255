"""Every combination of chosen factors, so that each cell of concept and context holds the same number of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from acc.api import (
    AccDataset,
    DatasetGenerator,
    InvalidInput,
    Param,
    Progress,
    no_progress,
    sampling,
    scans,
    shapes,
    written,
)

GLYPHS_IN_A_CELL = 20


class FactorGrid(DatasetGenerator):
    """Real digits (or glyphs) written at every combination of thickness and slant.

    The same pieces are in every cell, and what is written of one piece is one unit. Targets: the kind (``digit`` or
    ``glyph``), ``thickness_level`` and ``slant_level`` as classes, and ``thickness`` and ``slant`` as measured on the
    image. Without a number of images, each scan of the part is written once for each combination; of glyphs, 20 of
    each kind.
    """

    label = "Factor grid"
    version = 2

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")
    source = Param(
        "digits", choices=written.SOURCES, help="scikit-learn's scans written again, or made-up glyphs"
    )
    thickness_levels = Param(3, min=1, max=10, help="how many thicknesses")
    thickness_min = Param(4.0, min=1, max=32, unit="px", help="thinnest strokes")
    thickness_max = Param(
        6.0, min=1, max=32, unit="px", help="thickest strokes; at most a quarter of the size"
    )
    slant_levels = Param(3, min=1, max=10, help="how many slants")
    slant_min = Param(
        -0.3, min=-0.8, max=0.8, unit="rad", help="lean to the left of the vertical, if below 0"
    )
    slant_max = Param(0.3, min=-0.8, max=0.8, unit="rad", help="lean to the right at the top")
    softness = Param(2.0, min=0.5, max=4, unit="px", help="how far an edge fades from white to black")
    part = Param(
        "all", choices=scans.PARTS, help="of the digits: all, 397 held out, or the other 1,400 to train"
    )
    split_seed = Param(0, min=0, help="decides which digits are held out")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        written.check_ranges(
            self.size,
            thickness=(self.thickness_min, self.thickness_max),
            slant=(self.slant_min, self.slant_max),
        )

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return all cells; raises InvalidInput (n) for a number that does not fill each with as many images."""
        rng = np.random.default_rng(seed)
        source = written.source_of(self.source, self.part, self.split_seed)
        combinations = self.thickness_levels * self.slant_levels
        kinds, pieces = self._pieces(source, n, combinations, rng)
        sampling.count(len(kinds) * combinations, 0, self.size)
        piece, thickness_level, slant_level = sampling.combinations(
            len(kinds), self.thickness_levels, self.slant_levels
        )
        thickness = sampling.levels(self.thickness_min, self.thickness_max, self.thickness_levels)
        slant = sampling.levels(self.slant_min, self.slant_max, self.slant_levels)
        images, measured = written.write(
            source,
            kinds[piece],
            pieces[piece],
            thickness=thickness[thickness_level],
            slant=slant[slant_level],
            size=self.size,
            softness=self.softness,
            progress=progress,
        )
        return AccDataset(
            images=images,
            targets={
                source.column: kinds[piece],
                "thickness_level": thickness_level,
                "slant_level": slant_level,
                **measured,
            },
            target_specs=(
                sampling.class_column(source.column, source.kinds),
                sampling.class_column("thickness_level", sampling.named(thickness, "px")),
                sampling.class_column("slant_level", sampling.named(slant, "rad")),
                *written.measured_columns(measured),
            ),
            units=piece if combinations > 1 else None,
        )

    def preview(self, n: int, seed: int) -> AccDataset:
        """Return one piece of each kind in each combination."""
        source = written.source_of(self.source, self.part, self.split_seed)
        return self.generate(len(source.kinds) * self.thickness_levels * self.slant_levels, seed)

    def _pieces(
        self, source: written.Source, n: int | None, combinations: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the kind ``(P,)`` and the piece ``(P, ...)`` of all that is written in each combination."""
        if n is None and isinstance(source, written.Digits):
            return scans.scans()[1][source.rows], source.rows
        in_a_cell = GLYPHS_IN_A_CELL if n is None else sampling.in_each(n, len(source.kinds) * combinations)
        sampling.count(in_a_cell * len(source.kinds) * combinations, 0, self.size)
        if isinstance(source, written.Digits):
            fewest = min(len(source.of(kind)) for kind in range(len(source.kinds)))
            if in_a_cell > fewest:
                most = fewest * len(source.kinds) * combinations
                raise InvalidInput(
                    n=f"{n:,} is refused: it takes {in_a_cell} scans of each digit, and of one there are "
                    f"{fewest}; ask for at most {most:,}, or leave n out to write all"
                )
        kinds = np.repeat(np.arange(len(source.kinds), dtype=np.int64), in_a_cell)
        return kinds, source.pieces(rng, kinds)


class ShapesGrid(DatasetGenerator):
    """Plain shapes at every combination of class, place, scale and rotation, each once.

    Targets: the class ``shape``, a class for the level of each factor, and the exact ``x``, ``y`` (pixels),
    ``scale`` (pixels) and ``rotation`` (radians, clockwise). Where rotations differ the circle is left out.
    """

    label = "Shapes grid"
    version = 2

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")
    classes = Param(
        4, min=1, max=len(shapes.KINDS) - 1, help=f"the first so many of: {', '.join(shapes.KINDS)}"
    )
    position_levels = Param(4, min=1, max=32, help="how many places across, and as many down")
    scale_levels = Param(3, min=1, max=16, help="how many scales")
    scale_min = Param(3.5, min=1, max=64, unit="px", help="radius of the disc of the same area, at the least")
    scale_max = Param(6.5, min=1, max=64, unit="px", help="radius of the disc of the same area, at the most")
    rotation_levels = Param(3, min=1, max=32, help="how many rotations; 1: none is turned")
    rotation_max = Param(0.5, min=0.01, max=shapes.MAX_ROTATION, unit="rad", help="turn to either side")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        sampling.ordered(self.scale_min, self.scale_max, "scale")
        first = shapes.CIRCLE + 1 if self.rotation_levels > 1 else shapes.CIRCLE
        self._kinds = np.arange(first, first + self.classes)
        self._room = shapes.room(first + self.classes, self.scale_max, self.size)

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return each combination once, whatever the seed; raises InvalidInput (n) for any other number."""
        counts = (
            self.classes,
            self.position_levels,
            self.position_levels,
            self.scale_levels,
            self.rotation_levels,
        )
        cells = int(np.prod(counts))
        if n is not None and n != cells:
            raise InvalidInput(
                {"n": f"{n:,} is refused; the grid has {cells:,} combinations, each drawn once: leave n out"}
            )
        sampling.count(cells, 0, self.size)
        level = dict(
            zip(("shape", "x", "y", "scale", "rotation"), sampling.combinations(*counts), strict=True)
        )
        place = sampling.levels(*self._room, self.position_levels)
        turn = self.rotation_max if self.rotation_levels > 1 else 0.0
        value = {
            "x": (place, "px"),
            "y": (place, "px"),
            "scale": (sampling.levels(self.scale_min, self.scale_max, self.scale_levels), "px"),
            "rotation": (sampling.levels(-turn, turn, self.rotation_levels), "rad"),
        }
        exact = {name: values[level[name]] for name, (values, _) in value.items()}
        images = np.empty((cells, 1, self.size, self.size), np.uint8)
        for start in range(0, cells, written.AT_ONCE):
            progress(start / cells)
            rows = slice(start, start + written.AT_ONCE)
            images[rows] = shapes.draw(
                self._kinds[level["shape"][rows]],
                exact["x"][rows],
                exact["y"][rows],
                scale=exact["scale"][rows],
                rotation=exact["rotation"][rows],
                size=self.size,
            )
        progress(1.0)
        names = tuple(shapes.KINDS[kind] for kind in self._kinds)
        return AccDataset(
            images=images,
            targets={"shape": level["shape"], **exact, **{f"{name}_level": level[name] for name in value}},
            target_specs=(
                sampling.class_column("shape", names),
                *(sampling.real_column(name, exact[name], unit) for name, (_, unit) in value.items()),
                *(
                    sampling.class_column(f"{name}_level", sampling.named(values, unit))
                    for name, (values, unit) in value.items()
                ),
            ),
        )
