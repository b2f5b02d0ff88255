"""Duplicate a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.training.models import Branch
from accsite.apps.training.services import duplication
from accsite.names import MAX_NAME_LENGTH


class DuplicateBranch(Action):
    """Make a new branch with the same tasks and settings, which begins where this one began.

    Nothing that was trained is copied: no checkpoint, job, loss or measurement. To go on from where the branch stands
    now, fork its head.
    """

    on, makes = Branch, Branch
    verb: ClassVar[str] = "duplicate"
    label: ClassVar[str] = "Duplicate"
    said: ClassVar[str] = (
        "Branch {made.name} has the same tasks and settings, and begins where {thing.name} began."
    )

    name: str | None = Field(
        None,
        title="Name of the copy",
        description="empty: its name and 'copy'",
        json_schema_extra={"maxLength": MAX_NAME_LENGTH},
    )

    @classmethod
    def suggested(cls, branch: Branch) -> Mapping[str, Any]:
        return {"name": duplication.name_of_copy(branch)}

    def run(self, actor: Any, branch: Branch) -> Branch:
        return duplication.duplicate_branch(actor=actor, branch=branch, name=self.name)
