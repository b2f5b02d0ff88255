"""How well a representation's factors came apart: pure numbers from latents, factors and groups."""

from acc.differences import Difference
from acc.evaluation.metrics.cleanness import Cleanness, cleanness
from acc.evaluation.metrics.directions import Direction, pattern_direction, principal_direction
from acc.evaluation.metrics.inputs import Factor, Groups
from acc.evaluation.metrics.jackknife import compared
from acc.evaluation.metrics.suite import MetricSuite, suite
from acc.evaluation.metrics.values import Value

__all__ = [
    "Cleanness",
    "Difference",
    "Direction",
    "Factor",
    "Groups",
    "MetricSuite",
    "Value",
    "cleanness",
    "compared",
    "pattern_direction",
    "principal_direction",
    "suite",
]
