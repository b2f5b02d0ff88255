"""Mark a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, SkipValidation

from accsite.actions import Action
from accsite.apps.training.models import Checkpoint
from accsite.apps.trees.services import marks


class MarkCheckpoint(Action):
    """Tag, note or star it; a tag or a star keeps it from being pruned."""

    on = Checkpoint
    verb: ClassVar[str] = "mark"

    tag: SkipValidation[str | None] = Field(None, description="unique in its experiment; empty for none")
    note: SkipValidation[str | None] = None
    starred: SkipValidation[bool | None] = None

    def run(self, actor: Any, checkpoint: Checkpoint) -> Checkpoint:
        return marks.mark_checkpoint(actor=actor, checkpoint=checkpoint, **self.given)
