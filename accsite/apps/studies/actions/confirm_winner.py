"""Confirm the winner of a sweep."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import sweeps


class ConfirmWinner(Action):
    """Write down a study of the trial that ranks first against the first arm, on seeds that the sweep did not use.

    The first of many trials is there by luck too. Only this study may claim that it is better. Nothing is started.
    """

    on, makes = Study, Study
    verb: ClassVar[str] = "confirm"
    label: ClassVar[str] = "Confirm the winner"
    said: ClassVar[str] = "Study {made.name} is written down; it is not started yet."

    seeds: int = Field(
        6,
        ge=1,
        le=1_000,
        title="Fresh seeds",
        description="it needs 6 or more to be decided, 7 to stop when it is decided",
    )
    by: float = Field(
        0.0, ge=-1e9, le=1e9, title="By at least", description="how much better is claimed; 0: any"
    )
    stop_when_decided: bool = Field(
        False,
        title="Stop when it is decided",
        description="look after each seed; the seeds are the most then",
    )

    @classmethod
    def possible(cls, study: Study) -> str:
        return sweeps.why_not_confirmed(study)

    def run(self, actor: Any, study: Study) -> Study:
        return sweeps.confirm_winner(
            actor=actor,
            study=study,
            seeds=self.seeds,
            by=self.by,
            stop_when_decided=self.stop_when_decided,
        )
