"""Combinations of factors that are held out: cells of a factor grid that nothing is trained on. Torch-free.

``shape=heart & scale=0.5; shape=square & scale=0.6|0.7; angle=90..180`` holds out three: one row of a combination has
all that ``&`` joins, a factor has one of the values that ``|`` parts, or lies within ``low..high``, both ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput

if TYPE_CHECKING:
    from acc.data import AccDataset
    from acc.specs import TargetSpec

FIELD = "combinations"
MAX_TEXT = 10_000
_EXAMPLE = "shape=heart & scale=0.5; shape=square & scale=0.6|0.7"
_SHOWN = 8


@dataclass(frozen=True)
class Combination:
    """Values of some factors, factor -> those that it may have, as they were written."""

    values: Mapping[str, tuple[str, ...]]


def parse(text: str) -> tuple[Combination, ...]:
    """Return the combinations of a text, none of an empty one; raises ValueError for what is none."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"{len(text):,} characters are refused; at most {MAX_TEXT:,} are allowed")
    found = []
    for part in text.split(";"):
        if not part.strip():
            continue
        values: dict[str, tuple[str, ...]] = {}
        for condition in part.split("&"):
            name, equals, told = (piece.strip() for piece in condition.partition("="))
            options = tuple(option.strip() for option in told.split("|"))
            if not equals or not name or not all(options):
                raise ValueError(f"{condition.strip()!r} is no factor with its values; write {_EXAMPLE}")
            if name in values:
                raise ValueError(f"{part.strip()!r} names '{name}' twice; give its values as {name}=1|2")
            values[name] = options
        found.append(Combination(values))
    return tuple(found)


def applies(text: str, targets: tuple[TargetSpec, ...]) -> bool:
    """Return whether data with such targets has all factors of at least one combination."""
    names = {column.name for column in targets}
    return any(names >= combination.values.keys() for combination in parse(text))


def require(text: str, datasets: Iterable[tuple[TargetSpec, ...]]) -> None:
    """Raise InvalidInput (combinations) if the factors of a combination are targets of none of the datasets."""
    names = [{column.name for column in targets} for targets in datasets]
    for combination in parse(text):
        if not any(each >= combination.values.keys() for each in names):
            known = ", ".join(sorted(set().union(*names))) or "none"
            raise InvalidInput(
                {
                    FIELD: f"no dataset has all of {', '.join(combination.values)} as targets; there are: {known}"
                }
            )


def rows_of(dataset: AccDataset, text: str) -> NDArray[np.bool_]:
    """Return which rows ``(N,)`` of a dataset are in one of the combinations whose factors it has.

    Raises InvalidInput (combinations) for a value that no row has.
    """
    found = np.zeros(len(dataset), dtype=np.bool_)
    columns = {column.name: column for column in dataset.target_specs}
    for combination in parse(text):
        if columns.keys() >= combination.values.keys():
            inside = np.ones(len(dataset), dtype=np.bool_)
            for name, options in combination.values.items():
                values = np.asarray(dataset.targets[name])
                inside &= np.logical_or.reduce([_having(columns[name], values, option) for option in options])
            found |= inside
    return found


def _having(column: TargetSpec, values: NDArray[Any], option: str) -> NDArray[np.bool_]:
    low, dots, high = option.partition("..")
    labels = column.labels or ()
    if option in labels:
        inside = values == labels.index(option)
    elif dots and _number(low) is not None and _number(high) is not None:
        inside = (values >= _number(low)) & (values <= _number(high))
    else:
        number = _number(option)
        none = np.zeros(len(values), dtype=np.bool_)
        inside = none if number is None else np.isclose(values, number, rtol=1e-5, atol=1e-8)
    if not inside.any():
        known = np.unique(values)
        shown = [labels[int(value)] if labels else f"{value:g}" for value in known[:_SHOWN].tolist()]
        more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
        raise InvalidInput({FIELD: f"no image has {column.name}={option}; it has: {', '.join(shown)}{more}"})
    return inside


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
