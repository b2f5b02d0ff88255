"""Sweep a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import plans, studies, sweeps
from accsite.apps.training.models import Branch


class SweepBranch(Action):
    """Write down a sweep: trials that differ from this branch in what is drawn, each trained with the same seeds.

    Trials are ranked by the mean over their seeds. A ranking claims nothing: the winner is confirmed on fresh seeds
    afterwards. Nothing is started: the page of the sweep tells first what it would cost.
    """

    on, makes = Branch, Study
    verb: ClassVar[str] = "sweep"
    label: ClassVar[str] = "Sweep"
    said: ClassVar[str] = "Sweep {made.name} is written down; it is not started yet."

    space: str = Field(
        "",
        max_length=4_000,
        title="Space",
        description="such as 'train.lr: 1e-4 to 1e-2 log; train.optimizer: adam or sgd'",
    )
    trials: int = Field(20, ge=1, le=900, title="Trials")
    seeds: int = Field(3, ge=1, le=100, title="Seeds of each trial")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe", title="Drawn by", description="tpe learns from the trials before; it needs Optuna"
    )
    outcome: str = Field(
        "", max_length=80, title="Ranked by", description="one number, such as ufr or digit/accuracy"
    )
    prune: bool = Field(
        False,
        title="End poor trials early",
        description="after 1, 2, 4... seeds, if not in the better half; it needs Optuna",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        title="Steps of each seed",
        description="empty: as many as the branch has now",
    )
    jobs: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        title="Jobs at most",
        description="trainings and evaluations; empty: no limit",
    )
    hours: float | None = Field(
        None, gt=0, le=100_000, title="Hours at most", description="of computing; then nothing more is drawn"
    )
    seed: int = Field(0, ge=0, lt=2**53, title="Seed of the draws")
    name: str = Field(
        "", max_length=studies.MAX_NAME, title="Name", description="empty: as the branch, with sweep"
    )

    @classmethod
    def suggested(cls, branch: Branch) -> Mapping[str, Any]:
        return {"outcome": plans.proposed_outcome(branch), "space": sweeps.proposed_space(branch)}

    def run(self, actor: Any, branch: Branch) -> Study:
        asked = self.model_dump(exclude={"outcome", "space", "name"})
        return sweeps.sweep_branch(
            actor=actor,
            branch=branch,
            space=self.space.strip() or sweeps.proposed_space(branch),
            outcome=self.outcome.strip() or plans.proposed_outcome(branch),
            name=self.name.strip(),
            **asked,
        )
