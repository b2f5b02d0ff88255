"""The mean of one loss over windows of 100 steps, and how long its best was not bettered. A resume agrees."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from acc.training.protocols import PointBlock

WINDOW_STEPS = 100
"""The mean over so many steps is what is compared; patience is rounded up to whole windows."""


class Windows:
    """Compares the mean of the series ``name`` over each window with the best so far, by ``least`` at the least."""

    def __init__(self, name: str, *, least: float = 0.0) -> None:
        self.name, self._least = name, least
        self.restart()

    def restart(self) -> None:
        """Forget what went before."""
        self.best, self.best_step, self._sum, self._count = math.inf, -1, 0.0, 0

    def take(self, block: PointBlock) -> None:
        """Add the values of a block, in order."""
        if self.name not in block.series:
            return
        row = block.values[block.series.index(self.name)]
        for value in row[~np.isnan(row)].tolist():
            self._sum += value
            self._count += 1

    def close(self, step: int) -> bool:
        """Close the window that ends after ``step`` steps; return whether it had a value."""
        if not self._count:
            return False
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        if mean < self.best - self._least or self.best_step < 0:
            self.best, self.best_step = mean, step
        return True

    def waited(self, step: int) -> int:
        """Return for how many steps the best was not bettered."""
        return step - self.best_step

    def wait_anew(self, step: int) -> None:
        """Count from ``step`` on how long the best was not bettered."""
        self.best_step = step

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps; empty if nothing is known."""
        if self.best_step < 0 and not self._count:
            return {}
        best = {} if self.best_step < 0 else {"best": self.best, "best_step": self.best_step}
        return {**best, "sum": self._sum, "count": self._count}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint's state."""
        self.best, self.best_step = state.get("best", math.inf), int(state.get("best_step", -1))
        self._sum, self._count = state.get("sum", 0.0), int(state.get("count", 0))
