"""Reads experiments, jobs and loss points. Nothing here changes a row."""

from accsite.apps.training.selectors.jobs import (
    find_branch,
    find_checkpoint,
    job_state,
    job_states,
    task_losses,
)
from accsite.apps.training.selectors.loss import last_losses, loss_history

__all__ = [
    "find_branch",
    "find_checkpoint",
    "job_state",
    "job_states",
    "last_losses",
    "loss_history",
    "task_losses",
]
