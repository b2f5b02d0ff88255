"""Written images with a chosen thickness and slant, from made-up glyphs or from real digits. Torch-free."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acc.data import glyphs, morphology, sampling, scans
from acc.data.dataset import AccDataset
from acc.data.generator import DatasetGenerator, Progress, no_progress
from acc.data.sampling import Labels, Values
from acc.params import Param
from acc.specs import TargetSpec

AT_ONCE = 256  # images between two words of progress
_BLOT = 1.15  # times the thickness asked for is more than a stroke is thick
_TRIES = 3


class Source(Protocol):
    """What is written: kinds of it by number, and single pieces of each kind."""

    @property
    def column(self) -> str:
        """Name of the column of kinds."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds."""

    def pieces(self, rng: np.random.Generator, kinds: Labels) -> NDArray[Any]:
        """Return a piece ``(N, ...)`` of each kind asked for."""

    def draw(
        self,
        kinds: Labels,
        pieces: NDArray[Any],
        *,
        thickness: Values,
        slant: Values,
        size: int,
        softness: float,
    ) -> NDArray[np.uint8]:
        """Return them as images ``(N, 1, size, size) uint8``; thickness in pixels, slant in radians."""

    def units(self, pieces: NDArray[Any]) -> Labels | None:
        """Return for each piece the number of the original that it is, or None where no two have one in common."""

    def opened(self, pieces: NDArray[Any]) -> NDArray[Any] | None:
        """Return pieces that leave more room between their strokes, or None if they are what they are."""


class Glyphs:
    """Made-up glyphs, no two alike."""

    column = "glyph"
    kinds = glyphs.KINDS

    def pieces(self, rng: np.random.Generator, kinds: Labels) -> NDArray[Any]:
        return glyphs.shapes(rng, len(kinds))

    def draw(self, kinds: Labels, pieces: NDArray[Any], **how: Any) -> NDArray[np.uint8]:
        """Return glyphs; see ``acc.data.glyphs``."""
        return glyphs.draw(kinds, pieces, **how)

    def units(self, pieces: NDArray[Any]) -> None:
        """Return None: no two glyphs are alike."""

    def opened(self, pieces: NDArray[Any]) -> NDArray[Any]:
        """Return wider and taller shapes."""
        return glyphs.opened(pieces)


class Digits:
    """Scans of handwritten digits, or of a part of them."""

    column = "digit"
    kinds = scans.DIGITS

    def __init__(self, part: str = "all", split_seed: int = 0) -> None:
        self.rows = scans.rows_of(part, split_seed)

    def of(self, kind: int) -> NDArray[np.intp]:
        own: NDArray[np.intp] = self.rows[scans.scans()[1][self.rows] == kind]
        return own

    def pieces(self, rng: np.random.Generator, kinds: Labels) -> NDArray[Any]:
        """Return rows of scans, each scan of a digit as often as any other of it, give or take one."""
        rows = np.empty(len(kinds), np.intp)
        for kind in np.unique(kinds):
            own, place = self.of(kind), kinds == kind
            rows[place] = rng.permutation(own)[sampling.balanced(rng, int(place.sum()), len(own))]
        return rows

    def draw(self, kinds: Labels, pieces: NDArray[Any], **how: Any) -> NDArray[np.uint8]:
        """Return the scans written again; see ``acc.data.scans``."""
        return scans.draw(scans.scans()[0][pieces], **how)

    def units(self, pieces: NDArray[Any]) -> Labels | None:
        """Return the rows of the scans, where one is written more than once."""
        return pieces.astype(np.int64) if len(np.unique(pieces)) < len(pieces) else None

    def opened(self, pieces: NDArray[Any]) -> None:
        """Return None: a scan is what it is."""


SOURCES = ("glyphs", "digits")


def source_of(name: str, part: str, split_seed: int) -> Source:
    return Digits(part, split_seed) if name == "digits" else Glyphs()


def write(
    source: Source,
    kinds: Labels,
    pieces: NDArray[Any],
    *,
    thickness: Values,
    slant: Values,
    size: int,
    softness: float,
    progress: Progress,
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]]:
    """Return images ``(N, 1, size, size) uint8``, and ``thickness`` and ``slant`` as measured on them."""
    n = len(kinds)
    images = np.empty((n, 1, size, size), np.uint8)
    measured = {name: np.empty(n, np.float32) for name in ("thickness", "slant")}
    pieces = pieces.copy()
    alike = np.argsort(kinds, kind="stable")  # pieces of a kind are drawn together
    for start in range(0, n, AT_ONCE):
        progress(start / n)
        rows = alike[start : start + AT_ONCE]
        for _ in range(1 + _TRIES):
            images[rows] = source.draw(
                kinds[rows],
                pieces[rows],
                thickness=thickness[rows],
                slant=slant[rows],
                size=size,
                softness=softness,
            )
            measured["thickness"][rows] = morphology.thickness(images[rows])
            measured["slant"][rows] = morphology.slant(images[rows])
            # Where strokes ran together, no thickness can be seen: a hand would have left more room.
            rows = rows[measured["thickness"][rows] > thickness[rows] * _BLOT]
            opened = source.opened(pieces[rows]) if len(rows) else None
            if opened is None:
                break
            pieces[rows] = opened
    progress(1.0)
    return images, measured


def measured_columns(measured: dict[str, NDArray[np.float32]]) -> tuple[TargetSpec, TargetSpec]:
    """Return the descriptions of ``thickness`` in pixels and ``slant`` in radians."""
    return (
        sampling.real_column("thickness", measured["thickness"], "px"),
        sampling.real_column("slant", measured["slant"], "rad"),
    )


def check_ranges(size: int, *, thickness: tuple[float, float], slant: tuple[float, float]) -> None:
    """Raise InvalidInput (params.thickness_max, params.slant_max) for a range that is none, and for blots."""
    sampling.ordered(*thickness, "thickness")
    sampling.ordered(*slant, "slant")
    glyphs.check(size, thickness[1])


class WrittenImages(DatasetGenerator):
    """Glyphs or digits whose thickness, slant and kind are drawn independently, each evenly over its range.

    Targets: ``thickness`` and ``slant`` as measured on the image (``acc.api.measure``), ``asked_thickness`` and
    ``asked_slant``, and the kind, ``glyph`` or ``digit``. Images of one scan are one unit.
    """

    size = Param(32, min=16, max=128, unit="px", help="height and width of an image")
    source = Param("glyphs", choices=SOURCES, help="made-up glyphs, or scikit-learn's scans written again")
    thickness_min = Param(3.0, min=1, max=32, unit="px", help="thinnest stroke")
    thickness_max = Param(
        7.0, min=1, max=32, unit="px", help="thickest stroke; at most a quarter of the size"
    )
    slant_min = Param(
        -0.5, min=-0.8, max=0.8, unit="rad", help="lean to the left of the vertical, if below 0"
    )
    slant_max = Param(0.5, min=-0.8, max=0.8, unit="rad", help="lean to the right at the top")
    softness = Param(2.0, min=0.5, max=4, unit="px", help="how far an edge fades from white to black")
    part = Param(
        "all", choices=scans.PARTS, help="of the digits: all, 397 held out, or the other 1,400 to train"
    )
    split_seed = Param(0, min=0, help="decides which digits are held out")

    NATURAL = 4000

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        check_ranges(
            self.size,
            thickness=(self.thickness_min, self.thickness_max),
            slant=(self.slant_min, self.slant_max),
        )

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return ``n`` images (4,000 if nobody says); raises InvalidInput (n) if that is too many."""
        n = sampling.count(n, self.NATURAL, self.size)
        rng = np.random.default_rng(seed)
        source = source_of(self.source, self.part, self.split_seed)
        thickness = sampling.evenly(rng, n, self.thickness_min, self.thickness_max)
        slant = sampling.evenly(rng, n, self.slant_min, self.slant_max, apart_from=thickness)
        kinds = sampling.balanced(rng, n, len(source.kinds))
        pieces = source.pieces(rng, kinds)
        images, measured = write(
            source,
            kinds,
            pieces,
            thickness=thickness,
            slant=slant,
            size=self.size,
            softness=self.softness,
            progress=progress,
        )
        return AccDataset(
            images=images,
            targets={**measured, "asked_thickness": thickness, "asked_slant": slant, source.column: kinds},
            target_specs=(
                *measured_columns(measured),
                sampling.real_column("asked_thickness", thickness, "px"),
                sampling.real_column("asked_slant", slant, "rad"),
                sampling.class_column(source.column, source.kinds),
            ),
            units=source.units(pieces),
        )
