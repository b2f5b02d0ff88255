"""What goes wrong inside a task while it trains, in words that name the task, its class, the file and the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from acc.errors import PluginFailed, TrainingFailed
from acc.places import told
from acc.text import text_of
from acc.training.ranks import RankLost

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


OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "bad_alloc")
"""What says that a process was given no more memory, in errors that have no class of their own for it."""


def _of_memory(error: BaseException) -> bool:
    return isinstance(error, RuntimeError | OSError) and any(
        words in text_of(error) for words in OUT_OF_MEMORY
    )


class failing:  # noqa: N801 - reads as a statement
    """Within, whatever a task raises becomes TaskFailed, but for what is no fault of a task."""

    __slots__ = ("_spec", "_task")

    def __init__(self, spec: TaskSpec, task: Task) -> None:
        self._spec, self._task = spec, task

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise TaskFailed in place of an exception of the task's."""
        if isinstance(error, Exception) and not isinstance(error, NO_FAULT) and not _of_memory(error):
            key = self._spec.key
            raise TaskFailed(
                f"task '{key}': {type(self._task).__name__} failed, {told(error)}", key=key
            ) from error
