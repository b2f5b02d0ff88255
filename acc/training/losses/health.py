"""How a loss series stands: against its trivial baseline, and against its own past. Torch-free, so pages may ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acc.specs import TaskSpec, TrainSpec

Level = Literal[
    "better than trivial",
    "at trivial",
    "worse than trivial",
    "above collapse",
    "collapsed",
    "below its floor",
    "unknown",
]
Trend = Literal["falling", "flat", "rising", "unknown"]

AT_TRIVIAL_PART = 0.05
"""A loss within this part of its baseline is no better and no worse than it."""
AT_TRIVIAL_LEAST = 1e-6
"""The same in units of the loss, for a baseline of 0."""
DIVERGENCE_PART = 0.5
"""Far above: by this part of what the loss had fallen, and by this part of the best itself."""
COLLAPSED_NATS = 0.05
"""A loss with a floor this near to it tells nothing of an image."""
MIN_VALUES = 8
"""With fewer values neither level nor trend is known."""
BINS = 32
"""A series is reduced to this many medians before its trend is tested."""
SIGNIFICANT_Z = 2.58
"""Kendall's test must reject 'no trend' at 1 %, two-sided."""
FLAT_PART = 0.02
"""A change over the whole window below this part of its median is flat, however sure it is."""
WINDOW_STEPS = (100, 2000)
"""The fewest and the most newest steps by which a run is judged; between them it is their last quarter."""


@dataclass(frozen=True)
class Health:
    """How a series stands. value: its recent median; change: over the window, in units of the loss."""

    level: Level
    trend: Trend
    value: float
    change: float


def assess(losses: ArrayLike, baseline: float | None = None, *, floor: bool = False) -> Health:
    """Return the health of recent raw losses ``(steps,)``, oldest first; values that are not finite are left out.

    The level compares the median of the newer half with the baseline. ``floor``: the baseline is what telling
    nothing costs, as with a KL divergence.
    """
    values = _finite(losses)
    if len(values) < MIN_VALUES:
        return Health("unknown", "unknown", float(np.median(values)) if len(values) else math.nan, 0.0)
    value = float(np.median(values[len(values) // 2 :]))
    direction, change = trend(values)
    return Health(level(value, baseline, floor=floor), direction, value, change)


def window(steps: int) -> int:
    """Return how many of a run's newest steps tell how it stands now, after ``steps`` steps."""
    least, most = WINDOW_STEPS
    return min(most, max(least, steps // 4))


def level(value: float, baseline: float | None, *, floor: bool = False) -> Level:
    """Return where a smoothed loss stands against its baseline; see AT_TRIVIAL_PART and COLLAPSED_NATS.

    A floor is no predictor that could be bettered: above it the latent tells something, for better or worse.
    """
    if baseline is None or not math.isfinite(value) or not math.isfinite(baseline):
        return "unknown"
    if abs(value - baseline) <= tolerance(baseline, floor=floor):
        return "collapsed" if floor else "at trivial"
    if floor:
        return "above collapse" if value > baseline else "below its floor"
    return "better than trivial" if value < baseline else "worse than trivial"


def tolerance(baseline: float, *, floor: bool = False) -> float:
    """Return how far from its baseline a loss may be and still be at it, in units of the loss."""
    return max(AT_TRIVIAL_PART * abs(baseline), COLLAPSED_NATS if floor else AT_TRIVIAL_LEAST)


def trend(losses: ArrayLike) -> tuple[Trend, float]:
    """Return the direction of a series and its change over the window, in units of the loss.

    Medians of up to 32 equal parts are tested with Kendall's rank test (Mann 1945), and the change is the
    Theil-Sen slope (Sen 1968) times the window, so single spikes move neither. A change that is not significant
    at 1 %, or below 2 % of the window's median, is flat.
    """
    values = _finite(losses)
    if len(values) < MIN_VALUES:
        return "unknown", 0.0
    parts = np.array([np.median(part) for part in np.array_split(values, min(BINS, len(values)))])
    later, earlier = np.tril_indices(len(parts), -1)
    rises = parts[later] - parts[earlier]
    change = float(np.median(rises / (later - earlier))) * (len(parts) - 1)
    if abs(kendall_z(parts, rises)) < SIGNIFICANT_Z or abs(change) < FLAT_PART * abs(float(np.median(parts))):
        return "flat", change
    return ("rising" if change > 0 else "falling") if change else "flat", change


def kendall_z(values: NDArray[np.float64], rises: NDArray[np.float64]) -> float:
    """Return the normal score of Kendall's S with its correction for ties; 0 where all values are the same.

    rises: later minus earlier value of every pair.
    """
    n = len(values)
    score = float(np.sign(rises).sum())
    ties = np.unique(values, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0 or score == 0:
        return 0.0
    return (score - math.copysign(1.0, score)) / math.sqrt(variance)


def weight_has_no_effect(tasks: Sequence[TaskSpec], train: TrainSpec) -> str:
    """Return a sentence if the weight of the only enabled task changes nothing, or next to nothing; else ''."""
    enabled = [task for task in tasks if task.enabled]
    if len(enabled) != 1 or enabled[0].weight == 0:
        return ""
    alone = f"Only '{enabled[0].name}' is enabled"
    remedy = "Enable a second task to make it count"
    if train.schedule == "sampled":
        return (
            f"{alone}, so every step draws it: its weight ({enabled[0].weight:g}) changes nothing. {remedy}."
        )
    if train.optimizer == "sgd":
        return ""
    scaled = f"{alone}, and {train.optimizer} divides gradients by their own size"
    which = f"its weight ({enabled[0].weight:g})"
    exceptions = []
    if train.grad_clip_norm is not None:
        exceptions.append(f"which gradients are clipped at {train.grad_clip_norm:g}")
    if train.optimizer == "adam" and train.weight_decay > 0:
        exceptions.append(f"how much the weight decay of {train.weight_decay:g} counts beside the loss")
    if exceptions:
        return f"{scaled}: {which} changes only {' and '.join(exceptions)}. {remedy}."
    return f"{scaled}: {which} changes nothing. {remedy}, or change the learning rate instead."


def _finite(losses: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(losses, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def far_above(first: float, best: float) -> float:
    """Return how far above its best value a loss that began at ``first`` has to be to have diverged."""
    return DIVERGENCE_PART * max(first - best, abs(best), AT_TRIVIAL_LEAST)
