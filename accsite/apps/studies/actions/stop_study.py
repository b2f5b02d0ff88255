"""Stop a study."""

from __future__ import annotations

from typing import Any, ClassVar

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import studies


class StopStudy(Action):
    """Begin nothing more. What is under way is finished, and Start goes on with the rest."""

    on = Study
    verb: ClassVar[str] = "stop"
    label: ClassVar[str] = "Stop"
    said: ClassVar[str] = "Study {thing.name} begins nothing more."

    @classmethod
    def possible(cls, study: Study) -> str:
        return "" if study.is_at_work and not study.held else "it is not at work"

    def run(self, actor: Any, study: Study) -> Study:
        return studies.stop_study(actor=actor, study=study)
