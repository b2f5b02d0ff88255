"""Combinations of factors that are held out: cells of a factor grid that nothing is trained on. Torch-free.

``shape=heart & scale=0.5; shape=square & scale=0.6|0.7; angle=90..180`` holds out three: one row of a combination has
all that ``&`` joins, a factor has one of the values that ``|`` parts, or lies within ``low..high``, both ends with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput

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


def applies(text: str, targets: Collection[str]) -> bool:
    """Return whether data with targets of these names has all factors of at least one combination."""
    return any(set(targets) >= combination.values.keys() for combination in parse(text))


def require(text: str, datasets: Iterable[Collection[str]]) -> None:
    """Raise InvalidInput (combinations) if the factors of a combination are targets of none of the datasets.

    datasets: the names of the targets of each.
    """
    names = [set(targets) for targets in datasets]
    for combination in parse(text):
        if not any(each >= combination.values.keys() for each in names):
            known = ", ".join(sorted(set().union(*names))) or "none"
            raise InvalidInput(
                {
                    FIELD: f"no dataset has all of {', '.join(combination.values)} as targets; there are: {known}"
                }
            )


def rows_of(
    targets: Mapping[str, NDArray[Any]], labels: Mapping[str, tuple[str, ...] | None], n: int, text: str
) -> NDArray[np.bool_]:
    """Return which of ``n`` rows are in one of the combinations whose factors are all among the targets.

    targets: name -> values ``(n,)``; labels: the names of the classes of some. Raises InvalidInput (combinations) for a
    value that no row has.
    """
    found = np.zeros(n, dtype=np.bool_)
    for combination in parse(text):
        if targets.keys() >= combination.values.keys():
            inside = np.ones(n, dtype=np.bool_)
            for name, options in combination.values.items():
                values, named = np.asarray(targets[name]), labels.get(name) or ()
                inside &= np.logical_or.reduce([_having(name, values, named, option) for option in options])
            found |= inside
    return found


def _having(name: str, values: NDArray[Any], labels: tuple[str, ...], option: str) -> NDArray[np.bool_]:
    low, dots, high = option.partition("..")
    least, most, number = _number(low), _number(high), _number(option)
    inside = np.zeros(len(values), dtype=np.bool_)
    if option in labels:
        inside |= values == labels.index(option)
    elif dots and least is not None and most is not None:
        inside |= (values >= least) & (values <= most)
    elif number is not None:
        inside |= np.isclose(values, number, rtol=1e-5, atol=1e-8)
    if not inside.any():
        known = np.unique(values)
        shown = [labels[int(value)] if labels else f"{value:g}" for value in known[:_SHOWN].tolist()]
        more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
        raise InvalidInput({FIELD: f"no image has {name}={option}; it has: {', '.join(shown)}{more}"})
    return inside


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
