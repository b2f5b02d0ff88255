"""How sure a number and a difference of two are, from their values without each of some groups of samples.

Torch-free: the engine makes the values, the site compares those that it keeps. Source: Kott 2001, "The delete-a-group
jackknife".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """By how much a second value exceeds a first, and the 95 % interval of that."""

    value: float
    low: float
    high: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high


def difference(
    first: float, first_without: Sequence[float], second: float, second_without: Sequence[float]
) -> Difference | None:
    """Return by how much a second number exceeds a first of the same samples, dealt into the same groups.

    The groups are left out of both at once, so what the samples do to both alike does not count. None where either has
    no values without each group, or as many of them as the other.
    """
    if len(first_without) < 2 or len(first_without) != len(second_without):
        return None
    without = np.asarray(second_without, dtype=np.float64) - np.asarray(first_without, dtype=np.float64)
    half = float(half_width(without))
    return Difference(second - first, second - first - half, second - first + half)


def half_width(without: Array) -> Array:
    """Return half the width of the 95 % interval, from the values without each of J groups, (J, ...), J > 1.

    Their standard error times Student's quantile of J - 1 degrees of freedom.
    """
    return student(len(without) - 1) * standard_error(without)


def standard_error(without: Array) -> Array:
    """Return the standard error from the values without each of J groups, (J, ...)."""
    groups = len(without)
    squares = np.square(without - without.mean(axis=0)).sum(axis=0)
    error: Array = np.sqrt((groups - 1) / groups * squares)
    return error


def student(freedom: int) -> float:
    """Return the quantile of Student's distribution that bounds 95 % of it."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
