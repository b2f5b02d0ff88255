"""Reads experiments, jobs and loss points. Nothing here changes a row."""

from accsite.apps.training.selectors.checkpoints import (
    checkpoint_detail,
    checkpoint_origin,
    find_checkpoint_named,
)
from accsite.apps.training.selectors.jobs import (
    find_branch,
    find_checkpoint,
    job_summaries,
    task_losses,
)
from accsite.apps.training.selectors.loss import last_losses, loss_history
from accsite.apps.training.selectors.replays import last_replay, replayed
from accsite.apps.training.selectors.tasks import source_removed, with_source_removed
from accsite.apps.training.selectors.tree import Tree, compact, tree

__all__ = [
    "Tree",
    "checkpoint_detail",
    "checkpoint_origin",
    "compact",
    "find_branch",
    "find_checkpoint",
    "find_checkpoint_named",
    "job_summaries",
    "last_losses",
    "last_replay",
    "loss_history",
    "replayed",
    "source_removed",
    "task_losses",
    "tree",
    "with_source_removed",
]
