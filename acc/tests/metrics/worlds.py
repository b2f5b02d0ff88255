"""Made-up latents whose scores are known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import expm

from acc.evaluation.metrics import Factor, Groups, MetricSuite, suite

CLASSES = 5
# Five points on a sphere, as far from each other as can be: two poles and a triangle around the waist.
CENTROIDS = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-0.5, 0.75**0.5, 0], [-0.5, -(0.75**0.5), 0]])

SLOPES = np.array([1.0, -0.8, 0.6])


@dataclass(frozen=True, eq=False)
class World:
    """Latents with their factors, groups, and who owns what."""

    z: Any
    factors: list[Factor]
    groups: Any
    own: dict[str, str] | None

    def measure(self, *, seed: int = 0, permutations: int = 0, resamples: int = 0, **options) -> MetricSuite:
        return suite(
            self.z,
            self.factors,
            self.groups,
            self.own,
            seed=seed,
            permutations=permutations,
            resamples=resamples,
            **options,
        )

    def ufr(self, **options) -> float:
        return self.measure(**options).ufr.value.value

    def with_latents(self, z: Any) -> World:
        return replace(self, z=z)

    def rotated(self, seed: int = 1) -> World:
        width = self.z.shape[1]
        rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))
        return self.with_latents(self.z @ rotation)

    def shuffled(self, seed: int = 1) -> World:
        return self.with_latents(np.random.default_rng(seed).permutation(self.z))


def factor_columns(n: int, seed: int, classes: int = 3, reals: int = 2) -> list[Factor]:
    """Independent factors: evenly filled classes and uniform reals."""
    rng = np.random.default_rng(seed)
    columns = [Factor.cat(f"class{i}", rng.permutation(n) % CLASSES) for i in range(classes)]
    return columns + [Factor.cont(f"real{i}", rng.uniform(-1, 1, n)) for i in range(reals)]


def perfect(n: int = 2000, seed: int = 0, copies: int = 1) -> World:
    """Each factor is its own slot's only content, ``copies`` times; real factors take ten values, as in a grid."""
    factors = [
        factor if factor.kind == "cat" else Factor.cont(factor.name, np.floor(factor.values * 5) / 5)
        for factor in factor_columns(n, seed)
    ]
    z = np.repeat(np.stack([factor.values.astype(float) for factor in factors], axis=1), copies, axis=1)
    slots = {factor.name: (copies * i, copies * (i + 1)) for i, factor in enumerate(factors)}
    return World(z, factors, Groups.ranges(slots), None)


def factored(n: int = 2000, seed: int = 0, classes: int = 3, reals: int = 2, noise: float = 0.1) -> World:
    """Slots of three dimensions with class centroids or slopes and a little noise; four dimensions of noise."""
    width, free = 3, 4
    factors = factor_columns(n, seed, classes, reals)
    rng = np.random.default_rng(seed + 1000)
    parts = []
    for factor in factors:
        code = CENTROIDS[factor.values] if factor.kind == "cat" else factor.values[:, None] * SLOPES
        part = code + noise * rng.normal(size=(n, width))
        parts.append((part - part.mean(0)) / part.std(0))
    slots = {factor.name: (width * i, width * (i + 1)) for i, factor in enumerate(factors)}
    slots["free"] = (width * len(factors), width * len(factors) + free)
    z = np.concatenate([*parts, rng.normal(size=(n, free))], axis=1)
    return World(z, factors, Groups.ranges(slots), None)


def mixed(angle: float, n: int = 2000, seed: int = 0, **options) -> World:
    """The factored world turned by ``angle`` (radians, on average) in every plane of a fixed random rotation."""
    world = factored(n, seed, **options)
    width = world.z.shape[1]
    random = np.random.default_rng(9).normal(size=(width, width))
    turn = (random - random.T) / np.sqrt(np.square(random - random.T).sum(axis=1).mean())
    return world.with_latents(world.z @ expm(angle * turn))


def probed(z: np.ndarray, y: Factor, levels: int = 2, seed: int = 0) -> MetricSuite:
    """Measure one concept held by one slot, beside an unrelated context held by another."""
    n = len(z)
    context = Factor.cat("context", np.random.default_rng(seed + 7).permutation(n) % levels)
    latents = np.column_stack([z, context.values])
    width = latents.shape[1]
    groups = Groups.ranges({y.name: (0, width - 1), "context": (width - 1, width)})
    return suite(latents, [y, context], groups, seed=seed, permutations=0, resamples=0)


def within(result: MetricSuite, view: str, concept: str, context: str) -> float:
    """Within-context skill of a concept from a view."""
    return _skill(result, result.ufr.skills.within, view, concept, context)


def across(result: MetricSuite, view: str, concept: str, context: str) -> float:
    """Across-context skill of a concept from a view."""
    return _skill(result, result.ufr.skills.across, view, concept, context)


def _skill(result: MetricSuite, table: np.ndarray, view: str, concept: str, context: str) -> float:
    names = result.ufr.concepts
    return float(table[result.ufr.views.index(view), names.index(concept), names.index(context)])
