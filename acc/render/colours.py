"""Colour maps for numbers. Torch-free."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

# Viridis at nine even places, sRGB 0..255; the eye cannot tell straight lines between them from the map.
_VIRIDIS = (
    (68, 1, 84),
    (72, 40, 120),
    (62, 74, 137),
    (49, 104, 142),
    (38, 130, 142),
    (31, 158, 137),
    (74, 193, 109),
    (160, 218, 57),
    (253, 231, 37),
)


@functools.cache
def viridis() -> NDArray[np.uint8]:
    """Return the 256 colours of the map, ``(256, 3) uint8``."""
    anchors = np.asarray(_VIRIDIS, dtype=np.float64)
    places = np.linspace(0, len(anchors) - 1, 256)
    columns = [np.interp(places, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)
