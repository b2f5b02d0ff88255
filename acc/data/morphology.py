"""Thickness and slant measured on images, as Morpho-MNIST does (Castro et al. 2019). Torch-free.

Thickness: twice the mean distance to the background along the skeleton, in pixels.
Slant: atan(-u11 / u02), the lean from the vertical in radians; positive leans to the right at the top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Images = NDArray[np.uint8]
_MAX_SCALE = 4
_SIDE_PIXELS = 112  # 28 times 4, as Morpho-MNIST measures


def slant(images: Images) -> NDArray[np.float32]:
    """Return the slant of each image ``(N, 1, H, W) uint8`` in radians; 0 for an empty one."""
    height, width = images.shape[2:]
    mass = images.astype(np.float64).sum(axis=1)
    total = mass.sum(axis=(1, 2))
    safe = np.where(total > 0, total, 1.0)
    y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    by_row, by_column = mass.sum(axis=2), mass.sum(axis=1)
    mean_y, mean_x = by_row @ y / safe, by_column @ x / safe
    u02 = by_row @ y**2 / safe - mean_y**2
    u11 = np.einsum("nhw,h,w->n", mass, y, x) / safe - mean_y * mean_x
    angle = np.where((total > 0) & (u02 > 1e-9), np.arctan2(-u11, np.where(u02 > 1e-9, u02, 1.0)), 0.0)
    return angle.astype(np.float32)


def thickness(images: Images) -> NDArray[np.float32]:
    """Return the mean stroke thickness of each image ``(N, 1, H, W) uint8`` in pixels; 0 for an empty one."""
    return np.array([_thickness(image[0]) for image in images], dtype=np.float32)


def _thickness(image: NDArray[np.uint8]) -> float:
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if len(rows) == 0:
        return 0.0
    # Only the ink with a border of background counts, and is a third of the image or less.
    scale = _scale(max(image.shape))
    inked = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32), 1)
    large = ndimage.zoom(inked, scale, order=1, grid_mode=True, mode="grid-constant")
    ink = np.pad(large >= 0.5 * large.max(), 1)
    distance = ndimage.distance_transform_edt(ink)
    # The ridge of the distance map is the medial axis; its values are half the stroke's thickness.
    ridge = ink & (distance >= ndimage.maximum_filter(distance, size=3) - 1e-6) & (distance > 1)
    values = distance[ridge] if ridge.any() else distance[ink]
    return 2.0 * float(values.mean()) / scale


def _scale(side: int) -> int:
    """Return how much an image is enlarged: the skeleton of a thin stroke is only found between pixels."""
    return max(1, min(_MAX_SCALE, round(_SIDE_PIXELS / side)))
