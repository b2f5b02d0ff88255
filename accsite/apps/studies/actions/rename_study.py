"""Rename a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life, studies


class RenameStudy(Action):
    """Give it another name. Its address stays, and the experiments that it made keep their names."""

    on = Study
    verb: ClassVar[str] = "rename"
    label: ClassVar[str] = "Rename"
    said: ClassVar[str] = "It is called {made.name} now."

    name: str = Field("", max_length=studies.MAX_NAME, title="Name")

    @classmethod
    def suggested(cls, study: Study) -> Mapping[str, Any]:
        return {"name": study.name}

    def run(self, actor: Any, study: Study) -> Study:
        return life.rename_study(actor=actor, study=study, name=self.name)
