"""How generators draw the values of their factors: each on its own, evenly, and no more than fits. Torch-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.limits import MAX_DATASET_BYTES
from acc.errors import InvalidInput
from acc.specs import TargetSpec

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
_DRAWS = 9


def count(n: int | None, natural: int, size: int, *, max_bytes: int = MAX_DATASET_BYTES) -> int:
    """Return how many images of ``size`` x ``size`` pixels are asked for, ``natural`` if nobody says.

    Raises InvalidInput (n) for fewer than one, and for more than ``max_bytes`` hold.
    """
    wanted = natural if n is None else n
    most = max_bytes // (size * size)
    if wanted < 1:
        raise InvalidInput({"n": f"{wanted} is refused; ask for at least 1 image"})
    if wanted > most:
        raise InvalidInput(
            n=f"{wanted:,} images of {size} x {size} pixels are {wanted * size * size:,} bytes; "
            f"at most {max_bytes:,} are allowed, which is {most:,} images"
        )
    return wanted


def ordered(low: float, high: float, name: str) -> tuple[float, float]:
    """Return both ends of a range; raises InvalidInput (params.<name>_max) if they are the wrong way round."""
    if low > high:
        raise InvalidInput(
            {f"params.{name}_max": f"{high:g} is below {name}_min, {low:g}; give at least that much"}
        )
    return low, high


def evenly(
    rng: np.random.Generator, n: int, low: float, high: float, *, apart_from: Values | None = None
) -> Values:
    """Return ``n`` values, one at a random place in each n-th part of ``low..high``, in random order.

    Columns drawn one after the other are independent, and each fills its range without gaps
    (Latin hypercube; McKay, Beckman & Conover 1979). Of a few draws the one that chance correlates least with
    ``apart_from`` is kept.
    """
    draws = [(rng.permutation(n) + rng.random(n)) / n for _ in range(1 if apart_from is None else _DRAWS)]
    if apart_from is not None and n > 1:
        other = apart_from - apart_from.mean()
        draws.sort(key=lambda values: abs(float(((values - 0.5) * other).sum())))
    return low + (high - low) * draws[0]


def balanced(rng: np.random.Generator, n: int, classes: int) -> Labels:
    """Return ``n`` labels in random order, each class as often as any other, give or take one."""
    return (rng.permutation(n) % classes).astype(np.int64)


def levels(low: float, high: float, count: int) -> Values:
    """Return ``count`` values from ``low`` to ``high`` at equal distances; the middle if it is one."""
    return np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])


def named(values: Values, unit: str) -> tuple[str, ...]:
    """Return the names of levels: ``('4 px', '5 px', '6 px')``."""
    return tuple(f"{value:.4g} {unit}" for value in values)


def combinations(*counts: int) -> tuple[Labels, ...]:
    """Return every combination of labels ``0..count-1`` once, a column for each count; the last changes fastest."""
    return tuple(grid.ravel().astype(np.int64) for grid in np.indices(counts))


def in_each(n: int, cells: int) -> int:
    """Return how many of ``n`` images each cell gets; raises InvalidInput (n) if some would get more than others."""
    if n < 1 or n % cells:
        near = sorted({max(1, n // cells) * cells, (max(0, n) // cells + 1) * cells})
        raise InvalidInput(
            n=f"{n:,} is refused: {cells:,} cells are to hold as many images each; "
            f"ask for {' or '.join(f'{each:,}' for each in near)}"
        )
    return n // cells


def real_column(name: str, values: NDArray[np.floating], unit: str = "") -> TargetSpec:
    """Return the description of a real column: its range is what the values have."""
    column = values.astype(np.float32)
    return TargetSpec(name=name, kind="real", unit=unit, min=float(column.min()), max=float(column.max()))


def class_column(name: str, labels: tuple[str, ...]) -> TargetSpec:
    """Return the description of a column of classes."""
    return TargetSpec(name=name, kind="class", classes=len(labels), labels=labels)
