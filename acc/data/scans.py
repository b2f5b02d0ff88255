"""Real handwritten digits, and the same written thicker, thinner or at another slant. Torch-free.

The scans are the 1,797 that come with scikit-learn (UCI ML, Alpaydin & Kaynak 1998), 8 x 8 pixels of 0..16.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from acc.data import morphology
from acc.data.sampling import Labels, Values
from acc.errors import InvalidInput

Part = Literal["all", "train", "held_out"]
PARTS: tuple[Part, ...] = ("all", "train", "held_out")
DIGITS = tuple(map(str, range(10)))
COUNT = 1797
HELD_OUT = 397

_SIDE = 8
_AT_ONCE = 64
_FINE = 16  # places in a pixel of a scan where its rows are looked up
_FILL = 0.875  # of the frame, so that a slanted digit stays within
_LEVELS = (0.1, 0.9)  # of a scan's brightness: the edge of the thickest and of the thinnest stroke
_BLUR = (0.06, 0.88, 0.06)
_GRID = 2.0**20  # values are rounded to its parts, so that the order of a sum changes no byte of an image
_SLOPE = -1.6  # of the logarithm of a digit's thickness by the level of its edge, about
_ROUNDS = 4  # of finding level and shear


@functools.cache
def scans() -> tuple[NDArray[np.float32], Labels]:
    """Return all scans ``(1797, 8, 8)`` in 0..1 and the digit of each; read-only, since they are shared."""
    table = np.loadtxt(_table(), delimiter=",", dtype=np.float32)
    images: NDArray[np.float32] = table[:, :-1].reshape(-1, _SIDE, _SIDE) / np.float32(16)
    digits = table[:, -1].astype(np.int64)
    images.setflags(write=False)
    digits.setflags(write=False)
    return images, digits


def _table() -> Path:
    """Return scikit-learn's file of them: to import scikit-learn takes a second or two, and a form is not to wait."""
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise InvalidInput({"digits": "scikit-learn, which brings the scans, is not installed"})
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def rows_of(part: str, split_seed: int = 0) -> NDArray[np.intp]:
    """Return the rows of a part in order: ``held_out`` are 397 scans, ``train`` the other 1,400.

    Both keep the share of each digit; the seed alone decides which scans are held out.
    """
    _, digits = scans()
    if part == "all":
        return np.arange(COUNT)
    held_out = chosen(digits, HELD_OUT, split_seed)
    return held_out if part == "held_out" else np.setdiff1d(np.arange(COUNT), held_out)


def chosen(digits: NDArray[Any], n: int, seed: int) -> NDArray[np.intp]:
    """Return ``n`` row numbers in order, each digit with its share."""
    order = np.random.default_rng(seed).permutation(len(digits))
    place = np.empty(len(digits))
    for digit in np.unique(digits):
        own = order[digits[order] == digit]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    rows: NDArray[np.intp] = np.sort(np.argsort(place, kind="stable")[:n])
    return rows


def enlarge(scans: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Return scans ``(N, 8, 8)`` in 0..1 as images ``(N, 1, size, size) uint8``, by cubic splines."""
    side = scans.shape[1]
    matrix = _zoom(np.eye(side), size / side)
    images = np.empty((len(scans), 1, size, size), np.uint8)
    for start in range(0, len(scans), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        large = (matrix @ scans[rows].astype(np.float64) @ matrix.T).astype(np.float32)
        images[rows, 0] = (large.clip(0, 1) * 255).round()
    return images


def draw(
    scans: NDArray[np.float32], *, thickness: Values, slant: Values, size: int, softness: float = 1.0
) -> NDArray[np.uint8]:
    """Return scans ``(N, 8, 8)`` written again ``(N, 1, size, size) uint8``, within the frame.

    A scan is sheared until the slant measured is ``slant`` (radians), and what is brighter than a level is ink, with
    the level for which the thickness measured comes closest to ``thickness`` (pixels): no level makes a fat
    digit fine.
    """
    images = np.empty((len(scans), 1, size, size), np.uint8)
    for start in range(0, len(scans), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        images[rows] = _draw(scans[rows], thickness[rows], slant[rows], size, softness)
    return images


def _draw(
    scans: NDArray[np.float32], thickness: Values, slant: Values, size: int, softness: float
) -> NDArray[np.uint8]:
    rows = _fine_rows(scans, size)
    ramp = softness * _SIDE / (size * _FILL)  # a scan goes from black to white in about one of its pixels
    shear = np.tan(slant) - np.tan(morphology.slant((scans[:, None] * 255).astype(np.uint8)))
    search = _Search(thickness)
    for _ in range(_ROUNDS):
        images = _ink(_sheared(rows, shear, size), search.level, ramp)
        search.step(morphology.thickness(images).astype(np.float64))
        shear = shear + np.tan(slant) - np.tan(morphology.slant(images))
    return _ink(_sheared(rows, shear, size), search.level, ramp)


class _Search:
    """Finds the levels for thicknesses: secants, kept within what is known to be too thick and too thin."""

    def __init__(self, thickness: Values) -> None:
        n = len(thickness)
        self.wanted = thickness
        self.level = np.full(n, sum(_LEVELS) / 2)
        self.low, self.high = np.full(n, _LEVELS[0]), np.full(n, _LEVELS[1])
        self.before: tuple[Values, Values] | None = None

    def step(self, measured: Values) -> None:
        """Take in what the levels gave, and choose the next ones."""
        level, off = self.level, np.log(np.maximum(measured, 0.1) / self.wanted)
        self.low = np.where(off > 0, level, self.low)
        self.high = np.where(off > 0, self.high, level)
        slope = np.full_like(off, _SLOPE)
        if self.before is not None:
            moved, changed = level - self.before[0], off - self.before[1]
            steep = np.divide(changed, moved, out=slope.copy(), where=np.abs(moved) > 1e-6)
            slope = np.where(steep < _SLOPE / 5, steep, slope)
        self.before = level, off
        following = level - off / slope
        inside = (following > self.low) & (following < self.high)
        beyond = np.where(off > 0, self.high, self.low)
        # A secant that leaves the bracket goes half the way there.
        self.level = np.where(inside, following, (level + beyond) / 2)


def _fine_rows(scans: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return scans as high as the image is to be and with many columns ``(N, size, fine)``, by cubic splines."""
    inside = round(size * _FILL)
    above = (size - inside) // 2
    wide = np.rint(_GRID * (scans @ _spline(_FINE).T)) / _GRID
    tall = np.rint(_GRID * (_spline(inside / _SIDE) @ wide)) / _GRID
    fine = np.zeros((len(scans), size, tall.shape[2]), np.float32)
    fine[:, above : above + inside] = tall
    return fine


def _spline(factor: float) -> NDArray[np.float64]:
    """Return the matrix ``(8 * factor, 8)`` that enlarges a row of a scan as ``enlarge`` does.

    A little blur goes with it, so that levels tell how deep in the ink a place is where the pen pressed hard.
    """
    blurred = ndimage.convolve1d(np.eye(_SIDE), _BLUR, axis=0, mode="constant")
    return _zoom(blurred, factor)


def _zoom(rows: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return as many times more rows, by cubic splines."""
    large: NDArray[np.float64] = ndimage.zoom(
        rows, (factor, 1), order=3, grid_mode=True, mode="grid-constant"
    )
    return large


def _sheared(rows: NDArray[np.float32], shear: Values, size: int) -> NDArray[np.float32]:
    """Return fine rows ``(N, size, fine)`` sheared about their middle, ``(N, size, size)``."""
    fine = rows.shape[2]
    # How many fine columns one pixel of the image is wide.
    pitch = _SIDE * _FINE / (size * _FILL)
    about = (size - 1) / 2
    x, y = np.arange(size) - about, np.arange(size) - about
    columns = x * pitch + (fine - 1) / 2 + shear[:, None, None] * (y * pitch)[:, None]
    nearest = np.rint(columns).astype(np.intp)
    values = np.take_along_axis(rows, nearest.clip(0, fine - 1), axis=2)
    values[(nearest < 0) | (nearest >= fine)] = 0
    return values


def _ink(values: NDArray[np.float32], level: Values, ramp: float) -> NDArray[np.uint8]:
    """Return brightness ``(N, 1, H, W) uint8``: half of it at the level, black at 0, white at 1."""
    fade = np.minimum(ramp, 2 * np.minimum(level, 1 - level)).astype(np.float32)[:, None, None]
    bright = (values - level[:, None, None].astype(np.float32)) / fade
    ink: NDArray[np.uint8] = (bright * 255 + 128).clip(0, 255).astype(np.uint8)[:, None]
    return ink
