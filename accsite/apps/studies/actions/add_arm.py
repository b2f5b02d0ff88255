"""Add an arm to a study."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from acc.errors import InvalidInput
from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import studies
from accsite.apps.training.selectors import find_branch


class AddArm(Action):
    """Add a branch as it is now as one more arm, with all seeds that the others have.

    It is trained for as many steps as the first arm. Every sentence says from then on that the plan was changed after
    looking, if there were results to be seen.
    """

    on = Study
    verb: ClassVar[str] = "arm"
    label: ClassVar[str] = "Add an arm"
    said: ClassVar[str] = "Study {thing.name} has one more arm."

    branch: str = Field(
        "", max_length=200, title="Branch", description="EXPERIMENT/BRANCH, such as digits/main"
    )
    claim: str = Field("", max_length=400, title="Claim", description="of it; empty: none")

    @classmethod
    def possible(cls, study: Study) -> str:
        return studies.NOT_OF_A_SWEEP if study.is_sweep else ""

    def run(self, actor: Any, study: Study) -> Study:
        experiment, slash, branch = self.branch.strip().partition("/")
        if not slash:
            raise InvalidInput(branch=f"{self.branch!r} is not EXPERIMENT/BRANCH, such as digits/main")
        found = find_branch(actor, experiment, branch)
        return studies.add_arm(actor=actor, study=study, branch=found, claim=self.claim)
