"""Fork a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from accsite.actions import Action, Choices
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import experiments
from accsite.names import MAX_NAME_LENGTH


class ForkCheckpoint(Action):
    """Make a branch that begins at this checkpoint, with its tasks, some or none."""

    on, makes = Checkpoint, Branch
    verb: ClassVar[str] = "fork"
    label: ClassVar[str] = "Fork"
    said: ClassVar[str] = "Branch {made.name} begins here."

    name: str = Field(title="Name of the new branch", json_schema_extra={"maxLength": MAX_NAME_LENGTH})
    tasks: Annotated[str | list[str], BeforeValidator(experiments.parse_tasks)] = Field(
        experiments.ALL_TASKS,
        title="Tasks, as it was trained with them",
        description="all, none, or keys, as a list or with commas between them",
    )

    @classmethod
    def suggested(cls, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"name": f"from-{checkpoint.pk}"}

    @classmethod
    def choices(cls, checkpoint: Checkpoint) -> Mapping[str, Choices]:
        return {"tasks": [(task["key"], task["name"]) for task in checkpoint.spec.get("tasks", [])]}

    def run(self, actor: Any, checkpoint: Checkpoint) -> Branch:
        return experiments.create_branch(
            actor=actor,
            experiment=checkpoint.experiment,
            name=self.name,
            from_checkpoint=checkpoint,
            tasks=self.tasks,
        )
