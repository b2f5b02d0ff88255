"""What a task's trivial predictor loses, measured when the task is attached."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from acc import rng
from acc.errors import DatasetLost
from acc.text import in_words
from acc.training.batch import Indices, Stored, TrainingRows
from acc.training.losses import series
from acc.training.protocols import Alarm, Baseline, Sink
from acc.training.settings import torch_settings

if TYPE_CHECKING:
    from acc.training.task import Task
    from acc.training.taskset import Entry
    from acc.training.train_state import TrainState


def measure_baseline(state: TrainState, entry: Entry, sink: Sink) -> None:
    """Measure what the task's trivial predictor loses and tell the sink; no random state moves.

    A plugin that fails at it raises an alarm and trains all the same. Rank 0 says it for all.
    """
    if not state.leads:
        return
    key = entry.spec.key
    rows = state.training_rows(entry.spec.dataset)
    try:
        with rng.preserved(), torch_settings(state.device, state.threads), torch.no_grad():
            found = _loss_of(entry.task, rows)
        if found is not None and not (isinstance(found, Baseline) and math.isfinite(found.loss)):
            raise ValueError(f"it returned {found!r}; it must return a Baseline with a finite loss, or None")
    except DatasetLost:
        raise
    except Exception as error:  # a plugin's own code may raise anything
        message = (
            f"task '{key}' has no baseline: {entry.spec.task_class}.{_name(entry.task)} failed, "
            f"{in_words(error)}. It trains without one; correct the plugin for the next job"
        )
        sink.on_alarm(Alarm("baseline", state.step, message, series.raw(key)))
        return
    entry.baseline = found
    if found is not None:
        sink.on_baseline(key, found.loss, found.words, found.floor)


class StoredRows(TrainingRows):
    """Training rows where they lie, for an evaluation; ``images`` are of all of them."""

    def __init__(self, stored: Stored, rows: Indices) -> None:
        self.dataset, self._stored, self._rows = stored.dataset, stored, rows

    def __len__(self) -> int:
        return len(self._rows)

    def target(self, name: str) -> Tensor:
        return self._stored.all_of(self._rows).targets[name]

    def images(self) -> Iterator[Tensor]:
        """Yield images ``(n, C, H, W)`` in 0..1, up to 512 at a time; each call begins anew."""
        for part in self._stored.all_of(self._rows).parts():
            yield part.images


def metrics_of(task: Task, stored: Stored, rows: Indices, held_out: Indices) -> Mapping[str, float | str]:
    """Return what the task's trivial predictor reaches on the rows ``held_out``; empty where none is sensible."""
    batch = stored.all_of(held_out)
    if _is_first(task):
        of_first: Any = task.baseline  # which took both as batches, and returned metrics
        told: Mapping[str, float | str] = of_first(stored.all_of(rows), batch)
        return told
    found = task.baseline(StoredRows(stored, rows), batch)
    if found is not None and not isinstance(found, Baseline):
        raise TypeError(f"baseline returned {found!r:.100}; it must return a Baseline, or None")
    return {} if found is None else found.metrics


def _loss_of(task: Task, rows: TrainingRows) -> Baseline | None:
    found: Baseline | None = None
    if _name(task) == FIRST:
        found = getattr(task, FIRST)(rows)
    elif not _is_first(task):
        found = task.baseline(rows)
    return found


FIRST = "baseline_loss"
"""What plugins of the contract's first version call the loss of the trivial predictor; their baseline has metrics."""


def _name(task: Task) -> str:
    return FIRST if hasattr(task, FIRST) else "baseline"


def _is_first(task: Task) -> bool:
    """Return whether ``baseline`` must be given held-out rows, as in the contract's first version."""
    try:
        inspect.signature(task.baseline).bind(None)
    except TypeError:
        return True
    return False
