"""Replay a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, StrictBool

from accsite.actions import Action
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.trees.services import replays


class ReplayCheckpoint(Action):
    """Queue the running again of all that led to it, and compare the weights bit by bit.

    Nothing in the tree changes; whether it comes to the same stands at the checkpoint.
    """

    on, makes = Checkpoint, Job
    verb: ClassVar[str] = "replay"
    label: ClassVar[str] = "Replay"
    said: ClassVar[str] = "Job {made.pk} runs again all that led to it; what it finds appears here by itself."

    current_plugins: StrictBool = Field(False, title="with the plugins as they are now")

    @classmethod
    def possible(cls, checkpoint: Checkpoint) -> str:
        return replays.why_not_replay(checkpoint)

    def run(self, actor: Any, checkpoint: Checkpoint) -> Job:
        return replays.submit_replay(
            actor=actor,
            checkpoint=checkpoint,
            current_plugins=self.current_plugins,
            idempotency_key=self.key,
        )
