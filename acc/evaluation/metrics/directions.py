"""Directions to traverse a group along: its concept's pattern, or its first principal component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acc.evaluation.metrics.moments import RIDGE
from acc.evaluation.metrics.values import Array

STEPS = 9
QUANTILES = (0.02, 0.98)


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit ``vector`` (width,) in raw latent units and the ``positions`` (steps,) of a traversal along it.

    A position is the projection onto ``vector`` of latents centred on ``centre`` (width,).
    """

    vector: Array
    centre: Array
    positions: Array

    def project(self, latents: ArrayLike) -> Array:
        """Return the position of each sample (N,); the order to sort a grid by."""
        projected: Array = (np.asarray(latents, dtype=np.float64) - self.centre) @ self.vector
        return projected

    def traverse(self, latents: ArrayLike) -> Array:
        """Return latents moved to every position, (samples, steps, width), along the direction only."""
        z = np.asarray(latents, dtype=np.float64)
        return z[:, None] + (self.positions - self.project(z)[:, None])[..., None] * self.vector


def pattern_direction(latents: ArrayLike, values: ArrayLike, steps: int = STEPS) -> Direction | None:
    """Return how a group's latents (N, width) move with what its ridge probe of ``values`` (N,) reads.

    Source: Haufe et al. 2014: pattern = covariance x weights. None if the latents or the values do not vary.
    """
    z, y = np.asarray(latents, dtype=np.float64), np.asarray(values, dtype=np.float64)
    spread = z.std(axis=0)
    if not spread.any() or not y.std() or not np.isfinite(spread).all():
        return None
    scale = np.where(spread > 0, spread, 1.0)
    standard = (z - z.mean(axis=0)) / scale
    covariance = standard.T @ standard / len(z)
    weight = np.linalg.solve(
        covariance + RIDGE * np.eye(len(covariance)), standard.T @ (y - y.mean()) / len(z)
    )
    return _direction(z, covariance @ weight * scale, steps)


def principal_direction(latents: ArrayLike, steps: int = STEPS) -> Direction | None:
    """Return the first principal component of a group's latents (N, width), its largest entry positive."""
    z = np.asarray(latents, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(z, rowvar=False))
    if not np.isfinite(covariance).all() or not covariance.any():
        return None
    vector = np.linalg.eigh(covariance)[1][:, -1]
    return _direction(z, vector * np.sign(vector[np.abs(vector).argmax()]), steps)


def _direction(z: Array, vector: Array, steps: int) -> Direction | None:
    length = np.linalg.norm(vector)
    if not length > 0:
        return None
    unit, centre = vector / length, z.mean(axis=0)
    low, high = np.quantile((z - centre) @ unit, QUANTILES)
    return Direction(unit, centre, np.linspace(low, high, steps))
