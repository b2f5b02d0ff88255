"""The kinds of jobs that work on a tree, one class each: queue, body, and what trying one again means."""

from __future__ import annotations

from typing import Any

from accsite.apps.jobs.kinds import Kind
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.unit import touch
from accsite.apps.training.services.locks import lock_experiment
from accsite.apps.trees.services import expansion, replays


class OfTree(Kind):
    """Works on the tree of an experiment."""

    def lock_to_retry(self, job: Job) -> None:
        """Lock the experiment, whose tree has one writer at a time."""
        if job.checkpoint is not None:
            lock_experiment(job.checkpoint.experiment_id)


class Expand(OfTree):
    """Grows the model of a checkpoint."""

    name = JobKind.EXPAND
    queue = "default"
    body = "workers.kinds.expand.expand"

    def retry(self, *, actor: Any, job: Job) -> Job:
        """Grow the checkpoint again."""
        if job.checkpoint is None:
            return super().retry(actor=actor, job=job)
        return expansion.submit_expansion(
            actor=actor,
            checkpoint=job.checkpoint,
            expansion=job.spec["expansion"],
            branch_name=job.spec.get("branch_name"),
        )


class Replay(OfTree):
    """Runs the line of a checkpoint again and compares."""

    name = JobKind.REPLAY
    queue = "default"
    body = "workers.kinds.replay.replay_checkpoint"

    def ended(self, job: Job) -> None:
        """Show the verdict beside the checkpoint."""
        if job.branch is not None:
            touch(f"checkpoints:{job.branch.experiment_id}")

    def retry(self, *, actor: Any, job: Job) -> Job:
        """Replay the checkpoint again."""
        if job.checkpoint is None:
            return super().retry(actor=actor, job=job)
        current = bool(job.spec.get("current_plugins"))
        return replays.submit_replay(actor=actor, checkpoint=job.checkpoint, current_plugins=current)


ALL = (Expand(), Replay())
