"""Context levels: the values of one factor that are held fixed while another concept is read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.evaluation.metrics.inputs import Factor

MAX_DISTINCT_LEVELS = 10
QUANTILE_BINS = 3


def context_levels(factor: Factor) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the level of each sample (N,) and the levels' names.

    Classes are levels; so are at most 10 distinct real values; other real factors are cut at their terciles.
    """
    distinct, codes = np.unique(factor.values, return_inverse=True)
    if factor.kind == "cat" or len(distinct) <= MAX_DISTINCT_LEVELS:
        return codes.astype(np.int64), tuple(_text(value) for value in distinct)
    codes, edges = quantile_bins(factor.values, QUANTILE_BINS)
    bounds = [distinct[0], *edges, distinct[-1]]
    names = tuple(f"{low:.4g} to {high:.4g}" for low, high in pairwise(bounds))
    return codes, names


def quantile_bins(values: NDArray[Any], bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the bin of each value and the edges between bins; tied quantiles merge, no bin is empty."""
    inner = np.quantile(values, np.arange(1, bins) / bins)
    edges = np.unique(inner)
    edges = edges[edges > values.min()]
    return np.searchsorted(edges, values, side="right").astype(np.int64), edges


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
