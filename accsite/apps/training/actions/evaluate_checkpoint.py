"""Evaluate a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from acc.specs import EvalSpec
from accsite.actions import Action
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services import jobs


class EvaluateCheckpoint(Action, EvalSpec):
    """Queue the measuring of it, whatever was measured before."""

    on, makes = Checkpoint, Job
    verb: ClassVar[str] = "evaluate"
    said: ClassVar[str] = "Job {made.pk} measures it; the numbers appear here by themselves."

    def run(self, actor: Any, checkpoint: Checkpoint) -> Any:
        return jobs.submit_evaluation(
            actor=actor, checkpoint=checkpoint, eval=self.given, idempotency_key=self.key
        )
