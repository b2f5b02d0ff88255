"""Expand a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from acc.errors import InvalidInput
from acc.expansion import STAGES, ExpansionSpec
from acc.specs import ModelSpec
from accsite.actions import Action, Choices
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.specs import NO_MODEL, model_spec_of
from accsite.apps.trees.services.expansion import check_grows, submit_expansion
from accsite.names import MAX_NAME_LENGTH

PLACES = {
    "encoder_stage": "encoder: more stages",
    "decoder_stage": "decoder: more stages",
    "latent": "latent: more dimensions",
    "factor_group": "latent: a new factor group",
}
STARTS = [("identity", "identity: no output changes"), ("random", "random: drawn from the seed")]


class ExpandCheckpoint(Action, ExpansionSpec):
    """Queue the growing of its model; a larger checkpoint appears under this one, which stays as it is."""

    on, makes = Checkpoint, Job
    verb: ClassVar[str] = "expand"
    label: ClassVar[str] = "Expand"
    said: ClassVar[str] = "Job {made.pk} grows the model; a larger checkpoint appears under this one."

    branch_name: str | None = Field(
        None,
        title="New branch",
        description="empty: its own branch, whose head it must be",
        json_schema_extra={"maxLength": MAX_NAME_LENGTH},
    )

    @classmethod
    def possible(cls, checkpoint: Checkpoint) -> str:
        return "" if "model" in checkpoint.spec else NO_MODEL

    @classmethod
    def choices(cls, checkpoint: Checkpoint) -> Mapping[str, Choices]:
        if cls.possible(checkpoint):
            return {"where": [], "start": STARTS}
        model = model_spec_of(checkpoint)
        places = [(where, words) for where, words in PLACES.items() if _can_grow(model, where)]
        return {"where": places, "start": STARTS}

    @classmethod
    def suggested(cls, checkpoint: Checkpoint) -> Mapping[str, Any]:
        needs_one = checkpoint.branch.head_id != checkpoint.pk
        return {"branch_name": f"grown-{checkpoint.pk}"} if needs_one else {}

    def run(self, actor: Any, checkpoint: Checkpoint) -> Job:
        return submit_expansion(
            actor=actor,
            checkpoint=checkpoint,
            expansion=self.model_dump(exclude={"branch_name"}),
            branch_name=self.branch_name,
            idempotency_key=self.key,
        )


def _can_grow(model: ModelSpec, where: str) -> bool:
    """Return whether a model can grow at a place; yes for one that only its plugin knows."""
    if model.architecture not in STAGES:
        return True
    taken = {group.name for group in model.factor_groups}
    name = next(name for name in (f"new{i}" for i in range(len(taken) + 1)) if name not in taken)
    fields = {"where": where, "amount": 1, **({"name": name} if where == "factor_group" else {})}
    try:
        check_grows(model, ExpansionSpec.model_validate(fields))
    except InvalidInput:
        return False
    return True
