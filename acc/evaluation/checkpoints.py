"""Measure a checkpoint in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from acc.evaluation.evaluator import FactoringEvaluator
from acc.results import EvalResult
from acc.specs import EvalSpec
from acc.training.checkpoints.files import Checkpoint
from acc.training.plugin_set import PluginSet

if TYPE_CHECKING:
    from acc.data import AccDataset


def evaluate_checkpoint(
    path: str | Path | Checkpoint,
    datasets: Mapping[str, AccDataset],
    classes: PluginSet,
    spec: EvalSpec | None = None,
    *,
    device: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> EvalResult:
    """Return what ``spec`` asks of a checkpoint, from its posterior means in eval mode.

    ``datasets`` by the keys that the checkpoint's tasks use, and the one that ``spec`` names. Metrics are of
    the rows that every job of the experiment held out; the images shown are the same for every checkpoint. The
    head does not move, and the caller's random state is kept. progress: told the fraction that is done, 0..1.
    Raises CheckpointError, InvalidInput.
    """
    spec = spec or EvalSpec()
    evaluator = FactoringEvaluator(path, datasets, classes, device=device or spec.device, rows=spec.rows)
    return evaluator.evaluate(spec, progress)
