"""Pixel values as bytes, for whoever shows or exports images. Torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as uint8, 0 to 255: those that are float32 in 0..1 scaled and rounded, others as they are."""
    if images.dtype == np.uint8:
        return images
    return np.rint(images * np.float32(255)).astype(np.uint8)
