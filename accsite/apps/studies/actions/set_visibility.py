"""Change who sees a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action, Choices
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life
from accsite.apps.training.models import Visibility


class SetVisibility(Action):
    """Say who sees it, and the experiments that it made: everyone on this site, or its owner alone.

    A private study is also seen by those who see the private experiment that it repeats.
    """

    on = Study
    verb: ClassVar[str] = "visibility"
    label: ClassVar[str] = "Who sees it"
    said: ClassVar[str] = "Study {thing.name} is seen by those who shall see it."

    visibility: str = Field(Visibility.SITE.value, max_length=16, title="Who sees it")

    @classmethod
    def choices(cls, study: Study) -> Mapping[str, Choices]:  # noqa: ARG003
        return {"visibility": [("site", "everyone on this site"), ("private", "its owner")]}

    @classmethod
    def suggested(cls, study: Study) -> Mapping[str, Any]:
        return {"visibility": study.visibility}

    def run(self, actor: Any, study: Study) -> Study:
        return life.set_visibility(actor=actor, study=study, visibility=self.visibility)
