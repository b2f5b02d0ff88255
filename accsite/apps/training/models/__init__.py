"""Experiments, their trees of checkpoints, and the jobs that grow them."""

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
from accsite.apps.training.models.jobs import (
    Job,
    JobEvent,
    JobKind,
    JobLog,
    JobPart,
    OutboxMessage,
    Worker,
    ranks_in_words,
)
from accsite.apps.training.models.points import LossBlock
from accsite.apps.training.models.recipes import RecipeRun, RecipeStep

__all__ = [
    "AutoEvaluate",
    "Branch",
    "Checkpoint",
    "CheckpointKind",
    "Experiment",
    "ExperimentShare",
    "Job",
    "JobEvent",
    "JobKind",
    "JobLog",
    "JobPart",
    "LossBlock",
    "OutboxMessage",
    "RecipeRun",
    "RecipeStep",
    "ShareLevel",
    "Task",
    "Visibility",
    "Worker",
    "ranks_in_words",
]
