"""Thickness and slant measured on images, as Morpho-MNIST does (Castro et al. 2019). Torch-free.

Thickness: twice the mean distance to the background along the skeleton, in pixels.
Slant: atan(-u11 / u02), the lean from the vertical in radians; positive leans to the right at the top.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Images = NDArray[np.uint8] | NDArray[np.float32]
_MAX_SCALE = 4
_SIDE_PIXELS = 112  # 28 times 4, as Morpho-MNIST measures
_VALUES_AT_ONCE = 1 << 19  # pixels of the enlarged images that are worked on together
_ROW_VALUES = 1 << 16  # of which those of a few rows, that stay in the cache
_BOXED_AT_ONCE = 1 << 20  # pixels of images that are put into order by the width of their ink
_BORDER = 2  # pixels about the ink: half of one may be ink when enlarged, and another is its neighbour
_LOOK_EVERY = 4  # shifts; to look for the greatest distance costs as much as a third of one
_UINT16_SIDE = 256  # the squares of distances within it fit into 16 bits


def slant(images: Images) -> NDArray[np.float32]:
    """Return the slant of each image ``(N, 1, H, W)``, uint8 or float32 in 0..1, in radians; 0 for an empty one."""
    step = max(1, _VALUES_AT_ONCE // (images.shape[2] * images.shape[3]))
    angles = np.empty(len(images), dtype=np.float32)
    for start in range(0, len(images), step):
        angles[start : start + step] = _slant(images[start : start + step].sum(axis=1, dtype=np.float64))
    return angles


def _slant(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = mass.shape[1:]
    total = mass.sum(axis=(1, 2))
    safe = np.where(total > 0, total, 1.0)
    y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    by_row, by_column = mass.sum(axis=2), mass.sum(axis=1)
    mean_y, mean_x = by_row @ y / safe, by_column @ x / safe
    u02 = by_row @ y**2 / safe - mean_y**2
    u11 = np.einsum("nhw,h,w->n", mass, y, x) / safe - mean_y * mean_x
    angle: NDArray[np.float64] = np.where(
        (total > 0) & (u02 > 1e-9), np.arctan2(-u11, np.where(u02 > 1e-9, u02, 1.0)), 0.0
    )
    return angle


def thickness(images: Images) -> NDArray[np.float32]:
    """Return the mean stroke thickness of each image ``(N, 1, H, W)`` in pixels; 0 for an empty one.

    uint8, or float32 in 0..1 (rounded to 255ths).
    """
    scale = _scale(max(images.shape[2:]))
    measured = np.zeros(len(images), dtype=np.float32)
    step = max(1, _BOXED_AT_ONCE // (images.shape[2] * images.shape[3]))
    for start in range(0, len(images), step):
        block = _as_uint8(images[start : start + step, 0])
        for rows, cropped in _cropped(block, scale):
            squared = _squared_distance(_enlarged_ink(cropped, scale))
            measured[start + rows] = 2.0 * _mean_on_the_ridge(squared) / scale
    return measured


def _cropped(images: NDArray[np.uint8], scale: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield images ``(N, H, W)`` by their numbers, those of like width together, cut to ink: ``(h, w, n)``.

    What is left out is never ink, however much it is enlarged: less than a quarter of the greatest brightness, and two
    pixels away from all that is brighter. Beyond the frame there is none.
    """
    n, height, width = images.shape
    bright = images >= np.maximum(images.max(axis=(1, 2), keepdims=True) // 4, 1)
    top, high = _extent(bright.any(axis=2))
    left, wide = _extent(bright.any(axis=1))
    padded = np.pad(images, ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER)))
    order = np.argsort(-wide, kind="stable")
    start = 0
    while start < n:
        step = max(1, _VALUES_AT_ONCE // (int(high.max()) * int(wide[order[start]]) * scale * scale))
        rows = order[start : start + step]
        h, w = int(high[rows].max()), int(wide[rows].max())
        windows = sliding_window_view(padded, (h + 2 * _BORDER, w + 2 * _BORDER), axis=(1, 2))
        at = windows[rows, np.minimum(top[rows], height - h), np.minimum(left[rows], width - w)]
        yield rows, at.transpose(1, 2, 0)
        start += step


def _extent(occupied: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the first of ``(N, L)`` is, and how many it is to the last; 0 and 1 without any."""
    first, last = occupied.argmax(axis=1), occupied.shape[1] - 1 - occupied[:, ::-1].argmax(axis=1)
    empty = ~occupied.any(axis=1)
    return np.where(empty, 0, first), np.where(empty, 1, last - first + 1)


def _scale(side: int) -> int:
    """Return how much an image is enlarged: the skeleton of a thin stroke is only found between pixels."""
    return max(1, min(_MAX_SCALE, round(_SIDE_PIXELS / side)))


def _as_uint8(images: Images) -> NDArray[np.uint8]:
    whole = images if images.dtype == np.uint8 else np.rint(images.clip(0, 1) * 255)
    return whole.astype(np.uint8, copy=False)


def _enlarged_ink(images: NDArray[np.uint8], scale: int) -> NDArray[np.bool_]:
    """Return where images ``(H, W, N)``, less their border of two pixels, have half the greatest brightness, enlarged.

    The straight line between pixels, in whole numbers: no rounding decides what is ink.
    """
    large = _between(_between(np.ascontiguousarray(images, dtype=np.uint16), scale, 1), scale, 0)
    brightest: NDArray[np.uint16] = large.max(axis=(0, 1))
    large *= 2
    ink: NDArray[np.bool_] = large >= np.maximum(brightest, 1)
    return ink


def _between(values: NDArray[np.uint16], scale: int, axis: int) -> NDArray[np.uint16]:
    """Return values at ``scale`` places in each but the first and the last row of an axis, times ``2 * scale``."""
    first, middle, last = (
        (slice(None),) * axis + (slice(start, stop),) for start, stop in ((0, -2), (1, -1), (2, None))
    )
    inner = values[middle]
    large = np.empty((*inner.shape[: axis + 1], scale, *inner.shape[axis + 1 :]), dtype=np.uint16)
    for phase in range(scale):
        # In halves of an enlarged pixel: the place is so far before (below 0) or behind the middle of its row.
        off = 2 * phase + 1 - scale
        place = large[(slice(None),) * (axis + 1) + (phase,)]
        np.multiply(inner, np.uint16(2 * scale - abs(off)), out=place)
        place += values[first if off < 0 else last] * np.uint16(abs(off))
    return large.reshape(*inner.shape[:axis], inner.shape[axis] * scale, *inner.shape[axis + 1 :])


def _squared_distance(ink: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the squared distance of ink to the nearest background, ``(H, W, N)``, exact.

    First along columns, then the lower envelope along rows (Felzenszwalb & Huttenlocher 2012); since strokes are
    thin, the envelope is found by shifts, for all images at once.
    """
    height = len(ink)
    kind = np.uint16 if max(ink.shape[:2]) < _UINT16_SIDE else np.uint32
    column: NDArray[Any] = ink.astype(kind)
    for y in range(1, height):
        column[y] *= column[y - 1] + column.dtype.type(1)
    for y in range(height - 2, -1, -1):
        np.minimum(column[y], column[y + 1] + column.dtype.type(1), out=column[y])
    column *= column
    nearest = np.empty_like(column)
    block = max(1, _ROW_VALUES // column[0].size)
    for top in range(0, height, block):
        _lower_envelope(column[top : top + block], nearest[top : top + block])
    return nearest


def _lower_envelope(column: NDArray[Any], nearest: NDArray[Any]) -> None:
    """Put min over x' of ``column[:, x'] + (x - x')**2`` into ``nearest``, both ``(rows, W, N)``."""
    nearest[...] = column
    moved = np.empty_like(column)
    greatest, shift = int(nearest.max()), 1
    while shift * shift < greatest:
        np.add(column, column.dtype.type(shift * shift), out=moved)
        np.minimum(nearest[:, :-shift], moved[:, shift:], out=nearest[:, :-shift])
        np.minimum(nearest[:, shift:], moved[:, :-shift], out=nearest[:, shift:])
        if shift % _LOOK_EVERY == 0:
            greatest = int(nearest.max())
        shift += 1


def _mean_on_the_ridge(squared: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean distance ``(N,)`` on the ridge of squared distances ``(H, W, N)``.

    The ridge is the medial axis, where no neighbour is further from the background.
    """
    inner = squared[1:-1, 1:-1]
    around = np.maximum(np.maximum(squared[:-2], squared[1:-1]), squared[2:])
    around = np.maximum(np.maximum(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    total, count = _sums(inner, (inner >= around) & (inner > 1))
    without = count == 0
    if without.any():  # ink so thin that it is nothing but edge
        all_total, all_count = _sums(inner, inner > 0)
        total += np.where(without, all_total, 0.0)
        count += np.where(without, all_count, 0)
    mean: NDArray[np.float64] = total / np.maximum(count, 1)
    return mean


def _sums(squared: NDArray[Any], where: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    n = squared.shape[2]
    image = np.flatnonzero(where) % n
    distance = np.sqrt(squared[where].astype(np.float64))
    total = np.bincount(image, distance, minlength=n).astype(np.float64)
    count = np.bincount(image, minlength=n).astype(np.int64)
    return total, count
