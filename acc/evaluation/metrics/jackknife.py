"""Intervals by the delete-a-group jackknife: everything is found anew without each of 20 groups of samples.

Source: Kott 2001, "The delete-a-group jackknife"; Efron and Tibshirani 1993, chapter 11. A probe that is tested where
it was not fitted is fitted anew as well: under probes that stay as they were, intervals of transfer are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.differences import Difference, difference, half_width
from acc.evaluation.metrics.values import Array, Value

GROUPS = 20
FEWEST_UNITS = 8
DEAL_STREAM = 2
DRAWS = 250  # pairs, of what estimates may have been
WIDE = "wider than 95 %: it holds the truth nearly always, and a true difference may be missed"


@dataclass(frozen=True, eq=False)
class Deal:
    """Samples dealt into ``groups`` groups of whole units: ``group`` (N,); ``note`` says why they are not as many
    as asked for, or none."""

    group: Tensor
    groups: int
    note: str = ""


def deal(unit: Tensor, units: int, seed: int, wanted: int = GROUPS) -> Deal:
    """Return the deal of units (numbered 0 to ``units`` - 1; unit (N,) of each sample) into groups of equal size."""
    nobody = torch.full_like(unit, -1)
    if wanted < 2:
        return Deal(nobody, 0, "no interval was asked for")
    if units < FEWEST_UNITS:
        return Deal(nobody, 0, f"no interval: {units} units are too few; at least {FEWEST_UNITS} are needed")
    groups = min(wanted, units)
    dealt = np.random.default_rng([seed, DEAL_STREAM]).permutation(units) % groups
    few = f"intervals come from {units} groups, one for each unit; they are rough" if units < wanted else ""
    return Deal(torch.from_numpy(dealt).to(unit.device)[unit], groups, few)


def interval(values: Array) -> tuple[Array, Array]:
    """Return the ends of the 95 % interval of values (1 + J, ...): the estimate, then without each of J groups.

    The estimate and its jackknife standard error times Student's quantile of J - 1 degrees of freedom. NaN where it
    is not known: no groups, or a value that is undefined without one of them.
    """
    if len(values) < 3:
        nothing = np.full(np.shape(values[0]), np.nan)
        return nothing, nothing.copy()
    half = half_width(values[1:])
    return values[0] - half, values[0] + half


def smoothed(score: Callable[..., Array], *estimates: Array) -> Array:
    """Return a score (1 + J, ...) of estimates (1 + J, ...): [0] of the estimates, [1 + j] without group j.

    ``score`` takes estimates (R, ...), R at once. Where it takes the greatest of several or cuts off, the score of the
    estimates without a group would follow whichever was the greatest by chance; but several that are nearly equal take
    turns in being it, and the greatest of them varies less than each. So the score without a group is the estimate
    moved by the *mean* slope of the score where the estimates may have been: drawn from the normal distribution that
    their jackknife gives (Stein's identity: the mean slope is the covariance of the score with what was drawn). Its
    variance by the slope leaves out that the score bends, that of the score over what was drawn counts it twice, as
    the estimates lie off the truth already: the standard error is by the mean of the two.
    NaN without each group where an estimate that is defined is not without one of them.
    """
    whole = score(*(each[:1] for each in estimates))
    groups = len(estimates[0]) - 1
    if groups < 2:
        return whole
    drawn = _drawn(groups)
    scale = np.sqrt((groups - 1) / groups)
    around = []
    for each in estimates:
        moved = (each[1:] - each[1:].mean(axis=0)) * scale
        if np.isnan(moved[:, ~np.isnan(each[0])]).any():
            return np.concatenate([whole, np.full((groups, *whole.shape[1:]), np.nan)])
        around.append(each[0] + np.tensordot(drawn, moved, axes=1))
    scores = score(*around)
    slopes = np.tensordot(drawn.T, scores, axes=1) / len(drawn)
    straight = np.square(slopes - slopes.mean(axis=0)).sum(axis=0)
    bent = scores.var(axis=0)
    slopes *= np.sqrt(np.where(straight > 0, (1 + bent / np.where(straight > 0, straight, 1.0)) / 2, 1.0))
    return np.concatenate([whole, whole + slopes / scale])


@lru_cache(maxsize=4)
def _drawn(groups: int) -> Array:
    """Return standard normal numbers (2 x DRAWS, groups): in pairs of opposite sign, columns uncorrelated.

    So that the slope of what is linear comes out exactly.
    """
    half, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(max(DRAWS, groups), groups)))
    half *= np.sqrt(len(half))
    found: Array = np.concatenate([half, -half])
    return found


def measured(values: Array, reason: str = "", **fields: Any) -> Value:
    """Return values (1 + J,), the estimate and those without each group, as one with its interval.

    ``reason`` is told where the estimate is undefined; ``fields`` are those of Value.
    """
    estimate = float(values[0])
    if np.isnan(estimate):
        return Value(estimate, reason, **fields)
    low, high = (float(end) for end in interval(values))
    if np.isnan(low):
        return Value(estimate, **fields)
    return Value(estimate, low=low, high=high, without=tuple(values[1:].tolist()), **fields)


def compared(first: Value, second: Value) -> Difference | None:
    """Return the difference of one metric of two representations of the same samples, dealt into the same groups.

    The groups are left out of both at once, so what the samples do to both alike does not count. None where either has
    no values without each group, or as many of them as the other.
    """
    return difference(first.value, first.without, second.value, second.without)


def with_intervals(whole: Any, without: Sequence[Any], scores: Mapping[str, Array] | None = None) -> Any:
    """Return a dataclass of values with their intervals, from those that were found without each group.

    ``scores`` (1 + J,): by field, what stands in the place of the values found without each group.
    """
    if not without:
        return whole
    found: dict[str, Any] = {}
    for field in fields(whole):
        value = getattr(whole, field.name)
        others = [getattr(each, field.name) for each in without]
        if scores is not None and field.name in scores:
            found[field.name] = _with_interval(value, scores[field.name])
        elif isinstance(value, Value):
            found[field.name] = _with_interval(value, _numbers(value, others))
        elif isinstance(value, Mapping):
            found[field.name] = {
                name: _with_interval(each, _numbers(each, [other[name] for other in others]))
                if all(name in other for other in others)  # too few samples are left without some group
                else each
                for name, each in value.items()
            }
    return replace(whole, **found)


def told_wide(value: Value) -> Value:
    """Return a value whose interval, if it has one, is told to be wider than it says."""
    return value if value.low is None else replace(value, detail={**value.detail, "interval": WIDE})


def _numbers(value: Value, others: Sequence[Value]) -> Array:
    return np.array([value.value, *(other.value for other in others)])


def _with_interval(value: Value, numbers: Array) -> Value:
    if value.reason or np.isnan(numbers).any():
        return value
    found = measured(numbers)
    return replace(value, low=found.low, high=found.high, without=found.without)
