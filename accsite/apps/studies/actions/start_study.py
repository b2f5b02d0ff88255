"""Start a study."""

from __future__ import annotations

from typing import Any, ClassVar

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import has_more
from accsite.apps.studies.services import studies


class StartStudy(Action):
    """Do what is missing, over all free workers; what was done is not done again."""

    on = Study
    verb: ClassVar[str] = "start"
    label: ClassVar[str] = "Start"
    said: ClassVar[str] = "Study {thing.name} is at work."

    @classmethod
    def possible(cls, study: Study) -> str:
        if study.is_at_work and not study.held:
            return "it is at work already"
        return "" if has_more(study) else "it has nothing left to do; add seeds first"

    def run(self, actor: Any, study: Study) -> Study:
        return studies.start_study(actor=actor, study=study)
