"""What a task's trivial predictor loses, measured when the task is attached."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from acc import rng
from acc.text import in_words
from acc.training.losses import series
from acc.training.protocols import Alarm, Baseline, Sink
from acc.training.settings import torch_settings

if TYPE_CHECKING:
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
            found = entry.task.baseline_loss(rows)
        if found is not None and not (isinstance(found, Baseline) and math.isfinite(found.loss)):
            raise ValueError(f"it returned {found!r}; it must return a Baseline with a finite loss, or None")
    except Exception as error:  # a plugin's own code may raise anything
        message = (
            f"task '{key}' has no baseline: {entry.spec.task_class}.baseline_loss failed, "
            f"{in_words(error)}. It trains without one; correct the plugin for the next job"
        )
        sink.on_alarm(Alarm("baseline", state.step, message, series.raw(key)))
        return
    entry.baseline = found
    if found is not None:
        sink.on_baseline(key, found.loss, found.words, found.floor)
