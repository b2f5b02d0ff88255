"""How loss points lie in a LossBlock row: packing, cutting, joining. Pure numpy, no database."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_STEPS = 512
"""A settled row holds the steps of one multiple of this: a power of two, so that buckets fit around rows."""


@dataclass(frozen=True)
class Steps:
    """Consecutive steps ``start .. stop-1``.

    values: float32 ``(series, steps)``, NaN where a series has no value.
    clock: float64 ``(knots, 2)``: (step, seconds since the epoch), rising; times in between are linear.
    """

    start: int
    series: tuple[str, ...]
    values: NDArray[np.float32]
    clock: NDArray[np.float64]

    @property
    def count(self) -> int:
        return int(self.values.shape[1])

    @property
    def stop(self) -> int:
        """First step that is no longer in it."""
        return self.start + self.count


def make(
    start: int, series: Sequence[str], values: NDArray[np.float32], wall_start: float, wall_end: float
) -> Steps:
    """Return steps from one measured block; raises ValueError when its shape does not fit its series."""
    if values.ndim != 2 or values.shape[0] != len(series) or values.shape[1] == 0:
        raise ValueError(
            f"a block of {len(series)} series needs values ({len(series)}, steps>0), got {values.shape}"
        )
    if len(set(series)) != len(series):
        raise ValueError(f"a block names a series twice: {', '.join(series)}")
    if start < 0:
        raise ValueError(f"a block starts at step {start}; steps begin at 0")
    last = start + values.shape[1] - 1
    knots = [(start, wall_start)] if last == start else [(start, wall_start), (last, wall_end)]
    return Steps(start, tuple(series), np.asarray(values, "<f4"), np.asarray(knots, "<f8"))


def load(start: int, series: Sequence[str], values: bytes | memoryview, clock: bytes | memoryview) -> Steps:
    """Return the steps that a row holds."""
    data = np.frombuffer(values, "<f4").reshape(len(series), -1)
    return Steps(start, tuple(series), data, np.frombuffer(clock, "<f8").reshape(-1, 2))


def fields(steps: Steps) -> dict[str, Any]:
    """Return the columns of the row that holds ``steps``."""
    finite = ~np.isnan(steps.values)
    with np.errstate(invalid="ignore"):  # +inf and -inf in one block have no sum
        sums = np.where(finite, steps.values, 0).sum(axis=1, dtype=np.float64)
    return {
        "start": steps.start,
        "count": steps.count,
        "series": list(steps.series),
        "values": steps.values.astype("<f4").tobytes(),
        "minima": np.fmin.reduce(steps.values, axis=1).astype("<f4").tobytes(),
        "maxima": np.fmax.reduce(steps.values, axis=1).astype("<f4").tobytes(),
        "sums": sums.astype("<f8").tobytes(),
        "counts": finite.sum(axis=1).astype("<u4").tobytes(),
        "clock": steps.clock.astype("<f8").tobytes(),
    }


def cut(steps: Steps, start: int, stop: int) -> Steps:
    """Return the steps within ``[start, stop)``, which must not be empty."""
    start, stop = max(start, steps.start), min(stop, steps.stop)
    if start == steps.start and stop == steps.stop:
        return steps
    if start >= stop:
        raise ValueError(f"steps {steps.start}-{steps.stop - 1} have none within [{start}, {stop})")
    at, wall = steps.clock[:, 0], steps.clock[:, 1]
    inner = at[(at > start) & (at < stop - 1)]
    knots = np.unique(np.concatenate([[start], inner, [stop - 1]]))
    clock = np.stack([knots, np.interp(knots, at, wall)], axis=1)
    return Steps(start, steps.series, steps.values[:, start - steps.start : stop - steps.start], clock)


def join(parts: Sequence[Steps]) -> Steps:
    """Return consecutive parts as one, with NaN where a part lacks a series; raises ValueError at a gap."""
    if len(parts) == 1:
        return parts[0]
    for before, after in itertools.pairwise(parts):
        if before.stop != after.start:
            raise ValueError(f"steps {before.start}-{before.stop - 1} are not followed by step {after.start}")
    series = union(part.series for part in parts)
    rows = {name: row for row, name in enumerate(series)}
    values = np.full((len(series), parts[-1].stop - parts[0].start), np.nan, "<f4")
    for part in parts:
        at = part.start - parts[0].start
        values[[rows[name] for name in part.series], at : at + part.count] = part.values
    return Steps(parts[0].start, series, values, np.concatenate([part.clock for part in parts]))


def chunks(steps: Steps) -> list[Steps]:
    """Return ``steps`` cut at every multiple of CHUNK_STEPS."""
    first = steps.start // CHUNK_STEPS * CHUNK_STEPS
    return [cut(steps, begin, begin + CHUNK_STEPS) for begin in range(first, steps.stop, CHUNK_STEPS)]


def union(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return every series once, in the order in which they first appeared."""
    return tuple(dict.fromkeys(name for group in names for name in group))
