"""Anti-aliased strokes and areas by signed distance: every pixel's distance to a path of straight segments. Torch-free.

Coordinates are in pixels: the centre of the first pixel is (0, 0), x goes right and y goes down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
_VALUES_AT_ONCE = 1 << 16  # float32 values of one working array, so that all of them stay in the cache
_LEAST_AT_ONCE = 16  # images; fewer leave numpy nothing to do at a stroke
_MIN_LENGTH = 1e-3
# Coordinates are rounded to it, so that a processor's own sine changes no byte of an image.
_GRID = 4096.0


def draw(segments: Floats, widths: Floats, size: int, softness: float = 1.0) -> Images:
    """Return strokes as images ``(N, 1, size, size) uint8``, 255 inside and 0 outside.

    segments: ``(N, K, 4)``, x and y of both ends in pixels; ends are round. widths: ``(N,)`` pixels between the
    places where an edge has half its brightness. softness: pixels in which an edge goes from 0 to 255.
    """
    images = np.empty((len(segments), 1, size, size), np.uint8)
    step = max(_LEAST_AT_ONCE, _VALUES_AT_ONCE // size**2)
    for start in range(0, len(segments), step):
        rows = slice(start, start + step)
        distance = np.sqrt(_squared_distance(segments[rows], widths[rows], size, softness))
        images[rows, 0] = shade(distance - widths[rows] / np.float32(2), softness).transpose(2, 0, 1)
    return images


def fill(outlines: Floats, size: int, softness: float = 1.0) -> Images:
    """Return areas as images ``(N, 1, size, size) uint8``, 255 inside.

    outlines: ``(N, K, 2)``, the corners of closed polygons in pixels, which may be hollow but not cross themselves.
    """
    corner, side = _boxes(outlines.min(axis=1), outlines.max(axis=1), size, softness)
    moved = outlines - corner[:, None].astype(np.float32)
    segments = np.concatenate([moved, np.roll(moved, -1, axis=1)], axis=2)
    no_width = np.zeros(len(outlines), np.float32)

    def draw(rows: slice) -> Images:
        distance = np.sqrt(_squared_distance(segments[rows], no_width[rows], side, softness))
        np.negative(distance, out=distance, where=_inside(segments[rows], side))
        return shade(distance, softness)

    return _placed(draw, corner, side, size)


def discs(centres: Floats, radii: Floats, size: int, softness: float = 1.0) -> Images:
    """Return discs as images ``(N, 1, size, size) uint8``, 255 inside.

    centres: ``(N, 2)``, x and y in pixels. radii: ``(N,)`` pixels.
    """
    reach = radii[:, None]
    corner, side = _boxes(centres - reach, centres + reach, size, softness)
    x, y = (np.rint((centres - corner).astype(np.float64) * _GRID) / _GRID).T.astype(np.float32)
    pixels = np.arange(side, dtype=np.float32)[:, None]

    def draw(rows: slice) -> Images:
        across, down = np.square(pixels - x[rows]), np.square(pixels - y[rows])
        return shade(np.sqrt(across[None] + down[:, None]) - radii[rows], softness)

    return _placed(draw, corner, side, size)


def _boxes(low: Floats, high: Floats, size: int, softness: float) -> tuple[NDArray[np.intp], int]:
    """Return where in the frame each image's box begins ``(N, 2)``, x and y, and the side that all boxes have.

    low, high: ``(N, 2)`` the least and the greatest x and y of what is drawn. Beyond its box an image is black.
    """
    first = np.floor(low - softness).astype(np.intp)
    last = np.ceil(high + softness).astype(np.intp)
    side = min(size, int((last - first).max()) + 1) if len(low) else size
    return first.clip(0, size - side), side


def _placed(draw: Callable[[slice], Images], corner: NDArray[np.intp], side: int, size: int) -> Images:
    """Return images ``(N, 1, size, size)``, black but for their boxes; ``draw`` returns ``(side, side, n)`` of rows."""
    n = len(corner)
    step = max(_LEAST_AT_ONCE, _VALUES_AT_ONCE // side**2)
    make = np.empty if side == size else np.zeros
    images: Images = make((n, 1, size, size), np.uint8)
    windows = sliding_window_view(images[:, 0], (side, side), axis=(1, 2), writeable=True)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        at = np.arange(n)[rows]
        windows[at, corner[rows, 1], corner[rows, 0]] = draw(rows).transpose(2, 0, 1)
    return images


def shade(distance: NDArray[Any], softness: float = 1.0) -> Images:
    """Return the brightness of signed distances in pixels, negative inside; any shape, uint8."""
    level = distance * np.float32(-255 / softness)
    level += np.float32(127.5 + 0.5)  # and a half, for the cast to round
    return np.clip(level, 0, 255, out=level).astype(np.uint8)


def _squared_distance(segments: Floats, widths: Floats, size: int, softness: float) -> Floats:
    """Return the squared distance of each pixel to the nearest segment ``(size, size, N)``; far ones are huge."""
    places = np.rint(segments.astype(np.float64) * _GRID).transpose(1, 2, 0) / _GRID
    x0, y0, x1, y1 = places.transpose(1, 0, 2).astype(np.float32)
    dx, dy = x1 - x0, y1 - y0
    length = np.sqrt(dx * dx + dy * dy)
    safe = np.maximum(length, np.float32(_MIN_LENGTH))
    cos, sin = np.where(length > _MIN_LENGTH, dx / safe, np.float32(1)), dy / safe
    half = length / 2
    pixels = np.arange(size, dtype=np.float32)[:, None, None]
    x, y = pixels - (x0 + x1) / 2, pixels - (y0 + y1) / 2  # (size, K, N)
    reach = float(widths.max()) / 2 + softness
    first = np.floor(np.minimum(y0, y1).min(axis=1) - reach).clip(0, size).astype(int)
    last = np.ceil(np.maximum(y0, y1).max(axis=1) + reach).clip(-1, size - 1).astype(int) + 1
    n = len(segments)
    nearest = np.full((size, size, n), np.float32(4 * size * size))
    along, across = np.empty_like(nearest), np.empty_like(nearest)
    for k in range(segments.shape[1]):
        top, bottom = int(first[k]), int(last[k])
        if top >= bottom:
            continue
        u, v = along[top:bottom], across[top:bottom]
        yk = y[top:bottom, k]
        np.add((x[:, k] * cos[k])[None], (yk * sin[k])[:, None], out=u)
        np.abs(u, out=u)
        np.subtract(u, half[k], out=u)
        np.maximum(u, np.float32(0), out=u)
        np.multiply(u, u, out=u)
        np.add((x[:, k] * sin[k])[None], (yk * -cos[k])[:, None], out=v)
        np.multiply(v, v, out=v)
        np.add(u, v, out=u)
        np.minimum(nearest[top:bottom], u, out=nearest[top:bottom])
    return nearest


def _inside(segments: Floats, size: int) -> NDArray[np.bool_]:
    """Return which pixels ``(size, size, N)`` have an odd number of edges to their left."""
    inside = np.zeros((size, size, len(segments)), bool)
    pixels = np.arange(size, dtype=np.float32)[:, None]
    x = pixels[None]
    for x0, y0, x1, y1 in segments.transpose(1, 2, 0):
        crosses = (y0 > pixels) != (y1 > pixels)  # (row, image)
        rows = np.flatnonzero(crosses.any(axis=1))
        if len(rows):
            band = slice(int(rows[0]), int(rows[-1]) + 1)
            rise = np.where(y1 == y0, np.float32(1), y1 - y0)
            where = x0 + (pixels[band] - y0) * ((x1 - x0) / rise)
            inside[band] ^= crosses[band, None] & (x > where[:, None])
    return inside
