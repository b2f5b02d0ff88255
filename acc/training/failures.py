"""What goes wrong inside a task while it trains, in words that name the task, its class, the file and the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acc.errors import DatasetLost, PluginFailed, TrainingFailed
from acc.places import describe, written_at
from acc.text import is_out_of_memory
from acc.training.ranks.group import RankLost
from acc.training.task import JointTask, Task

if TYPE_CHECKING:
    from acc.specs import TaskSpec

NO_FAULT = (MemoryError, torch.OutOfMemoryError, RankLost, DatasetLost, TrainingFailed, PluginFailed)
"""Of whatever code they arise in, no fault of a task: memory, ranks, files, the compiler, and what is named already."""


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
                f"task '{key}': {type(self._task).__name__} failed, {describe(error)}", key=key
            ) from error


def check_loss(spec: TaskSpec, task: Task, loss: object, device: torch.device, *, finite: bool) -> None:
    """Raise TaskFailed unless ``loss`` is a scalar tensor that can be trained; looked at once for each plan."""
    wrong = _wrong_with(loss, device, finite=finite)
    if wrong:
        raise TaskFailed(f"task '{spec.key}': {loss_method(spec, task)} returned {wrong}", key=spec.key)


def loss_method(spec: TaskSpec, task: Task) -> str:
    """Return the method that gives a task's loss, with file and line."""
    method = "compute_joint_loss" if isinstance(task, JointTask) else "compute_loss"
    return f"{spec.task_class}.{method}{written_at(getattr(type(task), method))}"


def what_is(given: object) -> str:
    """Return, in words, what is no loss."""
    return "a tensor" if isinstance(given, Tensor) else f"{given!r:.200}"


def check_part(spec: TaskSpec, task: Task, name: str, loss: object, device: torch.device) -> None:
    """Raise TaskFailed unless one of the losses that a task returns by name is a scalar tensor on the device."""
    wrong = _wrong_with(loss, device, finite=False, learns=False)
    if wrong:
        raise TaskFailed(
            f"task '{spec.key}': {loss_method(spec, task)} returned as '{name}' {wrong}", key=spec.key
        )


def _wrong_with(loss: object, device: torch.device, *, finite: bool, learns: bool = True) -> str:
    right = "it must return a scalar floating-point tensor, such as a mean, or several in a dict by name"
    if not isinstance(loss, Tensor):
        return f"{what_is(loss)}; {right}"
    if loss.dim() or not loss.is_floating_point():
        return f"a tensor of shape {tuple(loss.shape)}, {loss.dtype}; {right}"
    if loss.device != device:
        return f"a loss on {loss.device}, and the job trains on {device}; make new tensors on output.z.device"
    if learns and not loss.requires_grad:
        return (
            "a loss without a gradient, so nothing would learn from it; let it depend on output or on the head, not "
            "on what was detached or computed under no_grad. A task that is only measured is an EvaluationTask"
        )
    if finite and not torch.isfinite(loss):
        return f"{loss.item()}, which is no finite number, for the first batch"
    return ""
