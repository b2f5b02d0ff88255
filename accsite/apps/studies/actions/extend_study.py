"""Add seeds to a study."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import studies


class ExtendStudy(Action):
    """Add seeds. What was done stays; a study that is at work, or has ended, does them at once.

    Seeds that are added to a fixed plan after looking make it rest on a test that may be looked at, and every sentence
    says that the plan was changed.
    """

    on = Study
    verb: ClassVar[str] = "extend"
    label: ClassVar[str] = "Add seeds"
    said: ClassVar[str] = "Study {thing.name} has more seeds."

    more: int = Field(2, ge=1, le=1_000, title="Seeds more")

    @classmethod
    def possible(cls, study: Study) -> str:
        return studies.NOT_OF_A_SWEEP if study.is_sweep else ""

    def run(self, actor: Any, study: Study) -> Study:
        return studies.add_seeds(actor=actor, study=study, more=self.more)
