"""Change a branch: its name, and when it is measured."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import SkipValidation

from accsite.actions import Action
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.training.models import Branch
from accsite.apps.training.services import branches, measuring


class ChangeBranch(Action):
    """Rename the branch, whose address follows, or set when its checkpoints are measured by themselves."""

    on = Branch
    verb: ClassVar[str] = "change"

    name: SkipValidation[str | None] = None
    auto_evaluate: SkipValidation[Literal["off", "end", "steps"] | None] = None
    evaluate_every: SkipValidation[int | None] = None

    def run(self, actor: Any, branch: Branch) -> Branch:
        given = self.given
        with unit_of_work():
            if "name" in given or not given:
                branches.rename_branch(actor=actor, branch=branch, name=given.get("name", ""))
            if given.keys() & {"auto_evaluate", "evaluate_every"}:
                when = given.get("auto_evaluate", branch.auto_evaluate)
                every = given.get("evaluate_every", branch.evaluate_every)
                measuring.set_auto_evaluate(actor=actor, branch=branch, when=when, every=every)
        return branch
