"""Load a checkpoint as the head of a branch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SkipValidation

from accsite.actions import Action
from accsite.api.lookup import named
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.training.services import branches


class LoadCheckpoint(Action):
    """Make a checkpoint of the experiment the branch's head; refused while a job trains on the branch."""

    on = Branch
    verb: ClassVar[str] = "load"
    said: ClassVar[str] = "It is the head of {made.name} now; the next training goes on from here."

    checkpoint: SkipValidation[int]

    def run(self, actor: Any, branch: Branch) -> Branch:
        rows = Checkpoint.objects.filter(experiment__in=seen_experiments(actor))
        found = named(rows, "checkpoint", self.checkpoint)
        return branches.load_checkpoint(actor=actor, branch=branch, checkpoint=found)
