"""Hand over a study."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life


class HandOver(Action):
    """Make somebody else its owner, and that of the experiments that it made.

    From then on it is theirs to start, extend and remove, and what it trains is theirs. Whoever owned it sees it as
    all others do: not at all, if it is private.
    """

    on = Study
    verb: ClassVar[str] = "handover"
    label: ClassVar[str] = "Hand over"
    said: ClassVar[str] = "Study {thing.name} is handed over."

    to: str = Field("", max_length=150, title="To", description="a name as they sign in with")

    @classmethod
    def possible(cls, study: Study) -> str:
        return life.AT_WORK if study.is_at_work else ""

    def run(self, actor: Any, study: Study) -> Study:
        return life.hand_over(actor=actor, study=study, to=self.to)
