"""Loss values of steps, kept on the device until a block of them is fetched at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc.training.losses import series
from acc.training.protocols import PointBlock

if TYPE_CHECKING:
    from acc.training.step import StepResult

# After so long the losses gathered on the device are fetched as a block.
BLOCK_SECONDS = 0.1
# A step that came after so long a quiet spell is fetched at once: it would gain no company by waiting, and be late.
QUIET_SECONDS = BLOCK_SECONDS / 2


class BlockRecorder:
    """Collects the raw losses of consecutive steps of one set of tasks.

    Everything that the host knows anyway (weights, learning rates) is kept beside them as plain numbers, so a
    step costs a few list appends; weighted losses and the total are worked out once per block. A step may
    come without its gradient norm, which is then NaN.
    """

    def __init__(self, keys: Sequence[str], *, start: int) -> None:
        self.keys = tuple(keys)
        self.start = start
        self._losses: list[Tensor] = []
        self._drawn: list[int | None] = []
        self._factors: list[Sequence[float]] = []
        self._rates: list[float] = []
        self._norms: list[Tensor] = []
        self._normed: list[int] = []  # places in the block of the steps whose norm is known
        self._parts: list[tuple[int, str, Tensor]] = []  # place in the block, series, value
        self._part_names: dict[str, int] = {}  # of all losses by name so far, with their order
        self._wall_start = 0.0

    def __len__(self) -> int:
        return len(self._rates)

    def add(self, result: StepResult) -> None:
        """Take what one step came to: the losses of all tasks, or of the one that was drawn."""
        if not self._rates:
            self._wall_start = time.time()
        self._losses.extend(result.losses)
        self._drawn.append(result.drawn)
        self._factors.append(result.factors)
        self._rates.append(result.lr)
        if result.norm is not None:
            self._normed.append(len(self._rates) - 1)
            self._norms.append(result.norm)
        for name, part in result.parts:
            self._part_names.setdefault(name, len(self._part_names))
            self._parts.append((len(self._rates) - 1, name, part))

    def fetch(self) -> tuple[PointBlock, list[tuple[int, str]]]:
        """Return the block (the one host synchronisation) and begin the next one after it.

        Beside it (step, series) of each step with a value that is infinite or not a number, in order. A task
        that was not drawn at a step has NaN there, which is as it should be.
        """
        count, tasks = len(self), len(self.keys)
        named = [part for _, _, part in self._parts]
        flat = torch.stack([*self._losses, *self._norms, *named]).to(torch.float32).cpu().numpy()
        flat, of_parts = flat[: len(flat) - len(named)], flat[len(flat) - len(named) :]
        raw = np.full((tasks, count), np.nan, dtype=np.float32)
        weighted = np.full((tasks, count), np.nan, dtype=np.float32)
        if self._drawn[0] is None:
            raw[:] = flat[: count * tasks].reshape(count, tasks).T
            weighted[:] = raw * np.asarray(self._factors, dtype=np.float32).T
        else:
            rows, columns = np.asarray(self._drawn, dtype=np.int64), np.arange(count)
            raw[rows, columns] = flat[:count]
            weighted[rows, columns] = flat[:count] * np.asarray(self._factors, dtype=np.float32)[:, 0]
        names = [series.TOTAL]
        values: list[NDArray[np.float32]] = [_total(weighted, self._drawn)]
        for number, key in enumerate(self.keys):
            names += [series.raw(key), series.weighted(key)]
            values += [raw[number], weighted[number]]
        norms = np.full(count, np.nan, dtype=np.float32)
        norms[self._normed] = flat[len(flat) - len(self._norms) :]
        names += [series.LEARNING_RATE, series.GRAD_NORM]
        values += [np.asarray(self._rates, dtype=np.float32), norms]
        if self._part_names:
            rows_of_parts = np.full((len(self._part_names), count), np.nan, dtype=np.float32)
            for (column, name, _), value in zip(self._parts, of_parts, strict=True):
                rows_of_parts[self._part_names[name], column] = value
            names += list(self._part_names)
            values += list(rows_of_parts)
        block = PointBlock(
            start=self.start,
            series=tuple(names),
            values=np.stack(values),
            wall_start=self._wall_start,
            wall_end=time.time(),
        )
        unsound = self._unsound(block, flat, of_parts, count)
        self.start += count
        lists = (
            self._losses,
            self._drawn,
            self._factors,
            self._rates,
            self._norms,
            self._normed,
            self._parts,
        )
        for kept in lists:
            kept.clear()
        return block, unsound

    def _unsound(
        self, block: PointBlock, flat: NDArray[np.float32], of_parts: NDArray[np.float32], count: int
    ) -> list[tuple[int, str]]:
        sound = np.isfinite(flat).all() and np.isfinite(of_parts).all()
        if sound and np.isfinite(block.values[0]).all():
            return []
        found: dict[int, str] = {}
        parts: dict[
            tuple[int, str | None], str
        ] = {}  # step and task -> its first loss by name that is at fault
        for place in np.flatnonzero(~np.isfinite(of_parts))[::-1].tolist():
            column, name, _ = self._parts[place]
            found[column] = parts[column, series.owner(name)] = name
        for column in np.flatnonzero(~np.isfinite(block.values[0])).tolist():
            found[column] = series.TOTAL
        norms = flat[len(flat) - len(self._norms) :]
        for place in np.flatnonzero(~np.isfinite(norms)).tolist():
            found[self._normed[place]] = series.GRAD_NORM
        tasks = 1 if self._drawn[0] is not None else len(self.keys)
        for position in np.flatnonzero(~np.isfinite(flat[: count * tasks]))[::-1].tolist():
            column, task = divmod(position, tasks)  # from behind, so that the first task at fault is named
            drawn = self._drawn[column]
            key = self.keys[task if drawn is None else drawn]
            found[column] = parts.get((column, key), series.raw(key))
        return [(block.start + column, found[column]) for column in sorted(found)]


def _total(weighted: NDArray[np.float32], drawn: Sequence[int | None]) -> NDArray[np.float32]:
    if drawn[0] is None:
        total: NDArray[np.float32] = weighted.sum(axis=0, dtype=np.float32)
        return total
    return weighted[np.asarray(drawn, dtype=np.int64), np.arange(len(drawn))]
