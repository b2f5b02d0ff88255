"""Grids of images as one PNG. Torch-free."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acc.render.colours import viridis

Pixels = NDArray[np.uint8]


def sprite(images: Pixels, *, columns: int, gap: int = 0, background: int = 0) -> bytes:
    """Return a PNG of images ``(N, C, H, W) uint8``, ``columns`` to a row, ``gap`` pixels between them.

    C = 1 is grey, 3 colour, 4 colour with alpha; of any other number the mean is shown in grey.
    """
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images of shape {images.shape} make no grid; need (N, C, H, W) with N >= 1")
    pictures = _as_pictures(images)
    n, height, width, depth = pictures.shape
    rows = -(-n // columns)
    grid = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, depth), background, dtype=np.uint8
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        grid[top : top + height, left : left + width] = picture
    return png(grid)


def difference(a: Pixels, b: Pixels) -> Pixels:
    """Return |a - b| of images ``(N, C, H, W) uint8`` pixel by pixel, ``(N, C, H, W) uint8``."""
    result: Pixels = np.abs(a.astype(np.int16) - b.astype(np.int16)).astype(np.uint8)
    return result


def heat(values: NDArray[np.floating], *, low: float = 0.0, high: float = 1.0) -> Pixels:
    """Return maps ``(N, H, W)`` as viridis pictures ``(N, 3, H, W) uint8``; low is dark, high bright."""
    span = (values - low) / (high - low) if high > low else np.zeros_like(values)
    index = (np.nan_to_num(span).clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(viridis()[index], -1, 1))


def reconstruction_rows(inputs: Pixels, outputs: Pixels) -> bytes:
    """Return a PNG of three rows: inputs, outputs, and |input - output|; ``(N, C, H, W) uint8`` each."""
    rows = np.concatenate([inputs, outputs, difference(inputs, outputs)])
    return sprite(rows, columns=len(inputs))


def png(pixels: Pixels) -> bytes:
    """Return ``(H, W, 1 | 3 | 4) uint8`` as PNG."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _as_pictures(images: Pixels) -> Pixels:
    if images.shape[1] in {1, 3, 4}:
        return np.moveaxis(images, 1, -1)
    grey: Pixels = images.mean(axis=1, keepdims=True).round().astype(np.uint8)
    return grey.transpose(0, 2, 3, 1)
