"""Experiments, their trees of checkpoints, and the points that their jobs make."""

from accsite.apps.training.models.experiments import (
    AutoEvaluate,
    Branch,
    Checkpoint,
    CheckpointKind,
    Experiment,
    ExperimentShare,
    ShareLevel,
    Task,
    Visibility,
)
from accsite.apps.training.models.points import LossBlock
from accsite.apps.training.models.tracked import TrackedRun

__all__ = [
    "AutoEvaluate",
    "Branch",
    "Checkpoint",
    "CheckpointKind",
    "Experiment",
    "ExperimentShare",
    "LossBlock",
    "ShareLevel",
    "Task",
    "TrackedRun",
    "Visibility",
]
