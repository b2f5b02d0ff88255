"""Cleanness of a traversal: does its concept move, monotonically, alone, and is it still the same thing?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acc.errors import InvalidInput
from acc.evaluation.metrics.values import Array, Value, undefined

FULL_RANGE_SD = (
    3.0  # a traversal that moves its concept by three standard deviations of the data has full range
)


@dataclass(frozen=True, eq=False)
class Cleanness:
    """``cleanness`` = min(1, range / 3 sd) x monotone x selective x kept; all but range_sd in [0, 1]."""

    cleanness: Value
    range_sd: float
    monotone: float
    selective: float
    kept: float


def cleanness(
    measured: ArrayLike, spread: ArrayLike, concept: int, kept: ArrayLike | None = None
) -> Cleanness:
    """Return how cleanly traversals of one concept's group move that concept.

    measured (seeds, steps, concepts) values measured on the decoded images, in the order of the traversal;
    spread (concepts,) their standard deviation over the data; ``concept`` the column that is traversed; kept
    (seeds, steps) 1 where the image is still of its seed's class, None if there is no class to keep. Range is
    the mean change from first to last step, and monotone the mean Spearman correlation, both over seeds with
    their sign, so that seeds that move in opposite directions cancel. A path with a value that could not be
    measured (NaN) counts as not moving. Raises InvalidInput for wrong shapes.
    """
    values, sd = np.asarray(measured, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    same = None if kept is None else np.asarray(kept, dtype=np.float64)
    _check(values, sd, concept, same)
    if not sd[concept] > 0:
        nothing = undefined(
            f"concept {concept} does not vary over the data, so no traversal of it can be judged"
        )
        return Cleanness(nothing, np.nan, np.nan, np.nan, np.nan)
    usable = sd > 0
    scaled = values[:, :, usable] / sd[usable]
    own = int(np.count_nonzero(usable[:concept]))
    measurable = np.asarray(np.isfinite(scaled).all(axis=(1, 2)))
    scaled = np.where(measurable[:, None, None], scaled, 0.0)
    range_sd = float(abs((scaled[:, -1, own] - scaled[:, 0, own]).mean()))
    monotone = float(abs(np.mean([_spearman(path) for path in scaled[:, :, own]])))
    change = scaled.max(axis=1) - scaled.min(axis=1)
    total = change.sum(axis=1)
    selective = float(np.where(total > 0, change[:, own] / np.where(total > 0, total, 1.0), 0.0).mean())
    identity = 1.0 if same is None else float(same.mean())
    score = min(1.0, range_sd / FULL_RANGE_SD) * monotone * selective * identity
    lost = int((~measurable).sum())
    reason = f"{lost} of {len(values)} paths could not be measured and count as not moving" if lost else ""
    return Cleanness(Value(score, reason), range_sd, monotone, selective, identity)


def _spearman(path: Array) -> float:
    """Return the rank correlation of a path with its step number; 0 if it does not move."""
    _, place, ties = np.unique(path, return_inverse=True, return_counts=True)
    ranks = (ties.cumsum() - (ties - 1) / 2)[place] - (len(path) + 1) / 2
    steps = np.arange(len(path)) - (len(path) - 1) / 2
    length = np.sqrt((ranks**2).sum() * (steps**2).sum())
    return float((ranks * steps).sum() / length) if length > 0 else 0.0


def _check(values: Array, sd: Array, concept: int, kept: Array | None) -> None:
    if values.ndim != 3 or values.shape[0] < 1 or values.shape[1] < 2:
        raise InvalidInput(
            measured=f"shape is {values.shape}; (seeds, steps, concepts) with two steps or more is needed"
        )
    if sd.shape != values.shape[2:]:
        raise InvalidInput(
            {"spread": f"shape is {sd.shape}; one value for each of {values.shape[2]} concepts is needed"}
        )
    if not 0 <= concept < values.shape[2]:
        raise InvalidInput({"concept": f"{concept} is not a column of measured; there are {values.shape[2]}"})
    if kept is not None and kept.shape != values.shape[:2]:
        raise InvalidInput({"kept": f"shape is {kept.shape}; it must be (seeds, steps) = {values.shape[:2]}"})
