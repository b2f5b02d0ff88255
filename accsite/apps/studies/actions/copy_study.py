"""Copy a study."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.access.permissions import may_write
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life, studies


class CopyStudy(Action):
    """Write down a new study with the same plan: arms, outcomes, claims, and as many seeds. Nothing is started.

    With other seeds, what this study seems to show is tried on seeds that nobody has seen. A copy of a sweep draws
    anew.
    """

    on, makes = Study, Study
    verb: ClassVar[str] = "copy"
    label: ClassVar[str] = "Copy"
    said: ClassVar[str] = "Study {made.name} is written down; it is not started yet."

    name: str = Field(
        "", max_length=studies.MAX_NAME, title="Name of the copy", description="empty: its name and 'copy'"
    )
    other_seeds: bool = Field(False, title="Other seeds than this study has")

    @classmethod
    def may(cls, user: Any, thing: Any) -> bool:  # noqa: ARG003
        return may_write(user)

    def run(self, actor: Any, study: Study) -> Study:
        return life.copy_study(actor=actor, study=study, name=self.name.strip(), other_seeds=self.other_seeds)
