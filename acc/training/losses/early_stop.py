"""Early stopping: a job ends once a loss has not fallen for a while. Looked at every 100 steps, so a resume agrees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from acc.training.losses import series
from acc.training.protocols import PointBlock

WINDOW_STEPS = 100
"""The mean over so many steps is what is compared; patience is rounded up to whole windows."""


class EarlyStop:
    """Compares the mean of one loss over each window with the best so far. is_on: whether the job asks for it.

    Its state goes into the checkpoint, so that a resumed job stops where an undisturbed one does.
    """

    def __init__(self, train: TrainSpec, tasks: Iterable[str]) -> None:
        known = [series.TOTAL, *tasks]
        if train.early_stop and train.early_stop not in known:
            raise InvalidInput(
                {"early_stop": f"{train.early_stop!r} is no task of this job; use one of: {', '.join(known)}"}
            )
        self._train, self.is_on = train, bool(train.early_stop)
        self._series = train.early_stop if train.early_stop == series.TOTAL else series.raw(train.early_stop)
        self.restart()

    def restart(self) -> None:
        """Forget what went before, as after a command that changed what is trained."""
        self._best, self._best_step, self._sum, self._count = math.inf, -1, 0.0, 0

    def take(self, block: PointBlock) -> None:
        """Add the values of a block, in order."""
        if not self.is_on or self._series not in block.series:
            return
        row = block.values[block.series.index(self._series)]
        for value in row[~np.isnan(row)].tolist():
            self._sum += value
            self._count += 1

    def is_due(self, step: int) -> bool:
        """Return whether a window ends after ``step`` steps."""
        return self.is_on and step % WINDOW_STEPS == 0

    def ended(self, step: int) -> str:
        """Close the window that ends after ``step`` steps; return why the job ends, or '' if it goes on."""
        if not self._count:
            return ""
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        if mean < self._best - self._train.early_stop_min_delta or self._best_step < 0:
            self._best, self._best_step = mean, step
        waited = step - self._best_step
        if waited < self._train.early_stop_patience:
            return ""
        what = "the total loss" if self._series == series.TOTAL else f"the loss of '{self._train.early_stop}'"
        least = self._train.early_stop_min_delta
        return (
            f"stopped early at step {step} of {self._train.steps}: {what} was not "
            f"{f'{least:g} ' if least else ''}below {self._best:.4g}, its mean up to step {self._best_step}, "
            f"for {waited} steps"
        )

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps; empty if it is off or nothing is known."""
        if not self.is_on or (self._best_step < 0 and not self._count):
            return {}
        best = {} if self._best_step < 0 else {"best": self._best, "best_step": self._best_step}
        return {**best, "sum": self._sum, "count": self._count}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint's state."""
        self._best, self._best_step = state.get("best", math.inf), int(state.get("best_step", -1))
        self._sum, self._count = state.get("sum", 0.0), int(state.get("count", 0))
