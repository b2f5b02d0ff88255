"""Studies as tests write them down, and what came of them."""

from __future__ import annotations

from typing import Any

from acc.studies import Measured
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.services import running, studies
from accsite.apps.training.models import Branch


def write_down(arms: list[Branch], user: Any = None, **how: Any) -> Study:
    asked = {"seeds": 6, "outcome": "digit/accuracy", "steps": 10, **how}
    return studies.repeat_branch(actor=user, branch=arms[0], others=arms[1:], **asked)


def end(study: Study, arm: str, seed: int, value: float | None) -> None:
    """Write what came of an arm and a seed; None: it failed."""
    row = study.results.get(arm=arm, seed=seed)
    if value is None:
        running.keep_failure(row, "train(): job 7 failed: the loss is not a finite number")
        return
    measured = Measured(value=value, sample="s").model_dump(mode="json")
    StudyResult.objects.filter(pk=row.pk).update(
        state="succeeded", values={"digit/accuracy": measured}, seconds=2.0
    )


def end_all(study: Study, seeds: int, better: float = 0.1) -> None:
    for seed in range(seeds):
        end(study, "main", seed, 0.8 + better + seed / 1000)
        end(study, "heavier", seed, 0.8)
