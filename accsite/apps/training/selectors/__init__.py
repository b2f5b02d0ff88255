"""Reads branches, jobs and loss points. Nothing here changes a row."""

from accsite.apps.training.selectors.jobs import (
    find_branch,
    find_checkpoint,
    job_summaries,
    task_losses,
)
from accsite.apps.training.selectors.loss import last_losses, loss_history
from accsite.apps.training.selectors.replays import last_replay, replayed
from accsite.apps.training.selectors.tasks import find_task, source_removed, with_source_removed

__all__ = [
    "find_branch",
    "find_checkpoint",
    "find_task",
    "job_summaries",
    "last_losses",
    "last_replay",
    "loss_history",
    "replayed",
    "source_removed",
    "task_losses",
    "with_source_removed",
]
