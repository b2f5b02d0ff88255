"""Ask for what was measured of a checkpoint."""

from __future__ import annotations

from typing import Any

from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job
from accsite.apps.training.actions.evaluate_checkpoint import EvaluateCheckpoint
from accsite.apps.training.models import Checkpoint


class AskCheckpoint(EvaluateCheckpoint):
    """Answer from what is kept of it; queue the measuring of what is not."""

    def run(self, actor: Any, checkpoint: Checkpoint) -> Evaluation | Job:
        return services.ask(actor=actor, checkpoint=checkpoint, eval=self.given, idempotency_key=self.key)
