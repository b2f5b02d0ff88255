"""Add trials to a sweep, or raise what it may use."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import sweeps


class AddTrials(Action):
    """Draw more trials, or raise the limits alone. What was done stays; a sweep that was begun goes on at once."""

    on = Study
    verb: ClassVar[str] = "trials"
    label: ClassVar[str] = "Add trials"
    said: ClassVar[str] = "Sweep {thing.name} has more trials."

    more: int = Field(10, ge=0, le=900, title="Trials more", description="0: raise the limits alone")
    jobs: int | None = Field(
        None, ge=1, le=1_000_000, title="Jobs at most", description="of all trials; empty: as it was"
    )
    hours: float | None = Field(
        None, gt=0, le=100_000, title="Hours at most", description="of all trials; empty: as it was"
    )

    @classmethod
    def possible(cls, study: Study) -> str:
        return "" if study.is_sweep else "it is no sweep: its arms are not drawn; add an arm, or seeds"

    def run(self, actor: Any, study: Study) -> Study:
        return sweeps.add_trials(actor=actor, study=study, more=self.more, jobs=self.jobs, hours=self.hours)
