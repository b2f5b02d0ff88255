"""Remove a study."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life


class RemoveStudy(Action):
    """Remove its question, its plan and every number of it. It cannot be undone.

    The experiments that it made stay, or go with it if that is asked: those in which nothing else is, with their
    branches, checkpoints and losses. One stays in any case that has a branch of somebody's own, a checkpoint that is
    tagged, starred or trained further, or a job that has not ended. Datasets stay.
    """

    on = Study
    ends: ClassVar[bool] = True
    button: ClassVar[str] = "studies:study-removal"
    verb: ClassVar[str] = "remove"
    label: ClassVar[str] = "Remove"
    said: ClassVar[str] = "Study {thing.name} is removed."

    with_experiments: bool = Field(False, title="Remove the experiments that it made, too")

    @classmethod
    def possible(cls, study: Study) -> str:
        return life.AT_WORK if study.is_at_work else ""

    def run(self, actor: Any, study: Study) -> life.Removal:
        return life.remove_study(actor=actor, study=study, with_experiments=self.with_experiments)
