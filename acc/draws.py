"""Draws that a browser makes again, to the last digit that counts: the same seed, the same latent, without numpy.

``static/js/hand.js`` has the same few lines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP = np.uint32(0x6D2B79F5)


def uniform(seed: int, count: int) -> NDArray[np.float64]:
    """Return ``count`` numbers in (0, 1): Mulberry32 (Ettinger 2017).

    Its states are multiples of a step, and so come all at once.
    """
    with np.errstate(over="ignore"):
        state = np.uint32(seed) + STEP * np.arange(1, count + 1, dtype=np.uint32)
        mixed = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
        mixed ^= mixed + (mixed ^ (mixed >> np.uint32(7))) * (mixed | np.uint32(61))
        mixed ^= mixed >> np.uint32(14)
    found: NDArray[np.float64] = (mixed.astype(np.float64) + 0.5) / 2**32
    return found


def normal(seed: int, count: int) -> NDArray[np.float64]:
    """Return ``count`` standard normal numbers by Box and Muller's formula, a pair of uniform ones for each."""
    pairs = uniform(seed, 2 * count)
    drawn: NDArray[np.float64] = np.sqrt(-2 * np.log(pairs[::2])) * np.cos(2 * np.pi * pairs[1::2])
    return drawn
