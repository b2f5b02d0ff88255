"""Restore the checkpoints of a deletion."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SkipValidation

from accsite.actions import Action
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.trees.services import deletion


class RestoreCheckpoints(Action):
    """Undo a deletion of checkpoints."""

    on = Experiment
    verb: ClassVar[str] = "restore"

    deletion: SkipValidation[str]

    def run(self, actor: Any, experiment: Experiment) -> list[Checkpoint]:
        return deletion.restore_deletion(actor=actor, experiment=experiment, deletion=self.deletion)
