"""What goes wrong inside a task while it trains, in words that name the task, its class, the file and the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from acc.errors import PluginFailed, TrainingFailed
from acc.places import told
from acc.text import is_out_of_memory
from acc.training.ranks.group import RankLost

if TYPE_CHECKING:
    from acc.specs import TaskSpec
    from acc.training.task import Task

NO_FAULT = (MemoryError, torch.OutOfMemoryError, RankLost, TrainingFailed, PluginFailed)
"""Of whatever code they arise in, no fault of a task: memory, other ranks, the compiler, and what is named already."""


class TaskFailed(PluginFailed):
    """A task that cannot train: it raised, or what it returned is no loss. ``key``: which."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


def is_no_fault(error: BaseException) -> bool:
    """Return whether an error is no fault of the task in whose code it arose."""
    return isinstance(error, NO_FAULT) or is_out_of_memory(error)


class failing:  # noqa: N801 - reads as a statement
    """Within, whatever a task raises becomes TaskFailed, but for what is no fault of a task."""

    __slots__ = ("_spec", "_task")

    def __init__(self, spec: TaskSpec, task: Task) -> None:
        self._spec, self._task = spec, task

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise TaskFailed in place of an exception of the task's."""
        if isinstance(error, Exception) and not is_no_fault(error):
            key = self._spec.key
            raise TaskFailed(
                f"task '{key}': {type(self._task).__name__} failed, {told(error)}", key=key
            ) from error
