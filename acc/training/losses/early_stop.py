"""Early stopping: a job ends once a loss has not fallen for a while. Looked at every 100 steps, so a resume agrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from acc.training.losses import series
from acc.training.losses.windows import Windows
from acc.training.protocols import PointBlock


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
        name = train.early_stop if train.early_stop == series.TOTAL else series.raw(train.early_stop)
        self._windows = Windows(name, least=train.early_stop_min_delta)

    def restart(self) -> None:
        """Forget what went before, as after a command that changed what is trained."""
        self._windows.restart()

    def take(self, block: PointBlock) -> None:
        """Add the values of a block, in order."""
        if self.is_on:
            self._windows.take(block)

    def ended(self, step: int) -> str:
        """Close the window that ends after ``step`` steps; return why the job ends, or '' if it goes on."""
        windows = self._windows
        if not windows.close(step):
            return ""
        waited = windows.waited(step)
        if waited < self._train.early_stop_patience:
            return ""
        what = "the total loss" if windows.name == series.TOTAL else f"the loss of '{self._train.early_stop}'"
        least = self._train.early_stop_min_delta
        return (
            f"stopped early at step {step} of {self._train.steps}: {what} was not "
            f"{f'{least:g} ' if least else ''}below {windows.best:.4g}, its mean up to step {windows.best_step}, "
            f"for {waited} steps"
        )

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps; empty if it is off or nothing is known."""
        return self._windows.state() if self.is_on else {}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint's state."""
        self._windows.load(state)
