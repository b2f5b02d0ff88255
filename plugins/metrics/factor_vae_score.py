"""FactorVAE score: which dimension moves least tells which factor was held still."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from acc.api import Metric, Paper, Param, Representation, Value

LIVE = 0.01
"""Dimensions whose spread is a smaller part of the largest are no place for a factor, as elsewhere in ACC."""
LEVELS = 10
"""Real factors of more values are held still within one of so many quantile bins."""


class FactorVAEScore(Metric):
    """How often the dimension that varies least, among images that share one factor's value, tells which factor.

    A factor and a value are drawn, then images of that value; of their latents, each dimension over its spread in all
    images, the one of least variance is the vote. Half of the votes say which factor each dimension stands for, and
    the score is how often it is right for the other half, from 0 to 1. Chance: the same with latents of other images.

    It needs no hyperparameters to be fitted, and rewards a factor spread over several dimensions as much as one in one.
    """

    label = "FactorVAE score"
    paper = Paper("Kim & Mnih", 2018, "Disentangling by Factorising", "arXiv:1802.05983, section 4")
    metrics = {"score": True}
    ranges = {"score": (0, 1)}

    votes = Param(1600, min=20, max=100_000, help="half are fitted to, half are scored")
    images = Param(64, min=2, max=4096, help="that a vote looks at, drawn with replacement")

    def measure(self, found: Representation) -> Mapping[str, float | str | Value]:
        """Return the score, with the interval that the number of scored votes leaves (Wilson 1927)."""
        levels = [_levels(values) for values in found.factors.values()]
        levels = [factor for factor in levels if len(factor) > 1]
        if len(levels) < 2:
            return {
                "score": "it needs at least two factors that vary, each of at least two values that repeat"
            }
        spread = found.latents.std(axis=0)
        live = spread > LIVE * spread.max(initial=0.0)
        if not live.any():
            return {"score": Value(0.0, "all latents are constant", chance=1 / len(levels))}
        z = found.latents[:, live] / spread[live]
        right, scored = self._score(z, levels, found.rng)
        low, high = _wilson(right, scored)
        by_chance, _ = self._score(z[found.rng.permutation(len(z))], levels, found.rng)
        return {"score": Value(right / scored, low=low, high=high, chance=by_chance / scored)}

    def _score(
        self, z: np.ndarray, levels: list[list[np.ndarray]], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return how many of the scored votes were right, and how many there were."""
        table = np.zeros((2, z.shape[1], len(levels)), dtype=np.int64)
        for number in range(self.votes):
            factor = rng.integers(len(levels))
            rows = rng.choice(levels[factor][rng.integers(len(levels[factor]))], self.images)
            table[number % 2, z[rows].var(axis=0).argmin(), factor] += 1
        means = table[0].argmax(axis=1)
        return int(table[1, np.arange(len(means)), means].sum()), int(table[1].sum())


def _levels(values: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each value of a factor, or of each quantile bin of one of many, of which there are several."""
    distinct, code = np.unique(values, return_inverse=True)
    if len(distinct) > LEVELS and values.dtype.kind == "f":
        edges = np.quantile(values, np.linspace(0, 1, LEVELS + 1)[1:-1])
        code = np.searchsorted(edges, values, side="right")
    rows = [np.flatnonzero(code == level) for level in np.unique(code)]
    return [each for each in rows if len(each) > 1]


def _wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    share, part = right / count, z * z / count
    middle = (share + part / 2) / (1 + part)
    half = z * math.sqrt(share * (1 - share) / count + part / (4 * count)) / (1 + part)
    return max(0.0, middle - half), min(1.0, middle + half)
