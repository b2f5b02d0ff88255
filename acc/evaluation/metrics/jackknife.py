"""Intervals by the delete-a-group jackknife: everything is fitted anew without each of 20 groups of samples.

Source: Kott 2001, "The delete-a-group jackknife"; Efron and Tibshirani 1993, chapter 11. Resampling test samples
under probes that stay as they were, as a plain bootstrap of the scores would, leaves out that the probes were
fitted on chance samples as well: its intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.differences import Difference, difference, half_width
from acc.evaluation.metrics.values import Array, Value

GROUPS = 20
FEWEST_UNITS = 8
DEAL_STREAM = 2


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


def with_intervals(whole: Any, without: Sequence[Any]) -> Any:
    """Return a dataclass of values with their intervals, from those that were found without each group."""
    if not without:
        return whole
    found: dict[str, Any] = {}
    for field in fields(whole):
        value = getattr(whole, field.name)
        others = [getattr(each, field.name) for each in without]
        if isinstance(value, Value):
            found[field.name] = _with_interval(value, others)
        elif isinstance(value, Mapping):
            found[field.name] = {
                name: _with_interval(each, [other[name] for other in others]) for name, each in value.items()
            }
    return replace(whole, **found)


def _with_interval(value: Value, others: Sequence[Value]) -> Value:
    numbers = np.array([value.value, *(other.value for other in others)])
    if value.reason or np.isnan(numbers).any():
        return value
    found = measured(numbers)
    return replace(value, low=found.low, high=found.high, without=found.without)
