"""Repeat a branch with seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from accsite.actions import Action, Choices
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import plans, studies
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.selectors import find_branch

MOST_OFFERED = 30


def _listed(value: Any) -> Any:
    """Return names as a list; a text has commas between them."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class RepeatBranch(Action):
    """Write down a study: this branch and others, each trained again from nothing with several seeds.

    Each arm is trained as its branch is now: its model, its tasks, the options of its last training. A seed draws first
    weights, held-out rows, order and noise, and all arms of a seed share it. Nothing is started: the page of the study
    tells first what it would cost.
    """

    on, makes = Branch, Study
    verb: ClassVar[str] = "repeat"
    label: ClassVar[str] = "Repeat with seeds"
    said: ClassVar[str] = "Study {made.name} is written down; it is not started yet."

    name: str = Field(
        "", max_length=studies.MAX_NAME, title="Name", description="empty: as experiment and branch"
    )
    seeds: int = Field(
        6,
        ge=1,
        le=1_000,
        title="Seeds",
        description="two arms need 6 or more to be decided, 7 to stop when it is decided",
    )
    others: Annotated[list[str], BeforeValidator(_listed)] = Field(
        [],
        max_length=100,
        title="Other arms",
        description="branches of this experiment, or EXPERIMENT/BRANCH, as a list or with commas between",
    )
    outcome: str = Field(
        "",
        max_length=80,
        title="Outcome",
        description="what is compared, such as ufr, digit/accuracy or FactorVAEScore.score",
    )
    claims: str = Field(
        "",
        max_length=4_000,
        title="Claims",
        description="a line each, as 'main > other on ufr by at least .05'; empty: this one is better than each other",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        title="Steps of each seed",
        description="empty: as many as each branch has now",
    )
    stop_when_decided: bool = Field(
        False,
        title="Stop when it is decided",
        description="look after each seed; the seeds are the most then",
    )

    @classmethod
    def suggested(cls, branch: Branch) -> Mapping[str, Any]:
        return {"outcome": plans.proposed_outcome(branch), "others": []}

    @classmethod
    def choices(cls, branch: Branch) -> Mapping[str, Choices]:
        beside = branch.experiment.branches.exclude(pk=branch.pk).order_by("-pk")[:MOST_OFFERED]
        outcomes = [(name, offered.words) for name, offered in plans.outcomes_of(branch).items()]
        nothing = [] if plans.proposed_outcome(branch) else [("", "choose one")]
        return {
            "others": [(other.slug, other.name) for other in beside],
            "outcome": [*nothing, *outcomes],
        }

    def run(self, actor: Any, branch: Branch) -> Study:
        others = [_find(actor, branch, name) for name in self.others]
        return studies.repeat_branch(
            actor=actor,
            branch=branch,
            others=others,
            seeds=self.seeds,
            outcome=self.outcome.strip() or plans.proposed_outcome(branch),
            claims=self.claims if self.claims.strip() else None,
            steps=self.steps,
            stop_when_decided=self.stop_when_decided,
            name=self.name.strip(),
        )


def _find(actor: Any, branch: Branch, name: str) -> Branch:
    """Return a branch by slug or name, of the experiment of another or as EXPERIMENT/BRANCH; raises InvalidInput."""
    experiment, slash, slug = name.partition("/")
    if slash:
        return find_branch(actor, experiment, slug)
    beside: Experiment = branch.experiment
    known = beside.branches.filter(name=name).first()
    return known or find_branch(actor, beside.slug, name)
