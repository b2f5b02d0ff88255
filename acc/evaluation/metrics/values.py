"""One number with everything needed to judge it, and its way into JSON, where NaN does not exist."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Value:
    """A metric's value; NaN always comes with the ``reason`` why it is undefined.

    ``low`` and ``high`` bound the 95 % interval, ``chance`` is what unrelated labels give, ``detail`` names
    the estimator and its settings where the value depends on them. ``without`` are the values without each group
    of the jackknife, from which ``low`` and ``high`` follow; those of two representations of the same rows, dealt
    alike, tell how sure their difference is.
    """

    value: float
    reason: str = ""
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    higher_is_better: bool | None = True
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    without: tuple[float, ...] = ()

    @property
    def defined(self) -> bool:
        return not math.isnan(self.value)


def undefined(reason: str, **detail: Any) -> Value:
    """Return a NaN that says why."""
    return Value(math.nan, reason, detail=detail)


def nothing_there(reason: str, **detail: Any) -> Value:
    """Return the 0 of a representation that carries nothing, which says why."""
    return Value(0.0, reason, detail=detail)


def jsonable(value: Any) -> Any:
    """Return ``value`` as dicts, lists, strings, numbers and None; NaN and infinities become None."""
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean_of_defined(values: Array, axis: int | tuple[int, ...]) -> Array:
    """Return the mean over ``axis`` of what is not NaN; NaN where nothing is defined."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
