"""Delete a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import StrictBool

from accsite.actions import Action
from accsite.apps.training.models import Checkpoint
from accsite.apps.trees.services import deletion


class DeleteCheckpoint(Action):
    """Take it out of its tree, alone or with all that grew from it; it can be restored for a while."""

    on = Checkpoint
    verb: ClassVar[str] = "delete"

    subtree: StrictBool = False

    def run(self, actor: Any, checkpoint: Checkpoint) -> deletion.Deletion:
        return deletion.delete_checkpoint(actor=actor, checkpoint=checkpoint, subtree=self.subtree)
