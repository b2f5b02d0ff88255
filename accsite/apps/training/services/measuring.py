"""When the checkpoints of a branch are measured without being asked."""

from __future__ import annotations

from typing import Any

import structlog

from acc.errors import InvalidInput
from accsite.apps.training.models import AutoEvaluate, Branch
from accsite.apps.training.services.unit import touch, unit_of_work

MOST_STEPS = 1_000_000_000

log = structlog.get_logger(__name__)


@unit_of_work()
def set_auto_evaluate(*, actor: Any, branch: Branch, when: Any, every: Any = None) -> Branch:
    """Return the branch, its checkpoints measured as ``when`` says.

    when: ``off`` (only when asked), at the ``end`` of jobs, or also every so many ``steps``. every: steps, for
    ``steps`` alone; the first autosave behind each multiple is measured. Raises InvalidInput (auto_evaluate,
    evaluate_every).
    """
    if when not in AutoEvaluate.values:
        right = ", ".join(AutoEvaluate.values)
        raise InvalidInput({"auto_evaluate": f"{when!r} is refused; choose one of: {right}"})
    if when == AutoEvaluate.STEPS:
        if isinstance(every, str) and every.strip().isdecimal():
            every = int(every)
        if not isinstance(every, int) or isinstance(every, bool) or not 1 <= every <= MOST_STEPS:
            raise InvalidInput(
                {"evaluate_every": f"{every!r} is not a number of steps; need 1 to {MOST_STEPS:,}"}
            )
    branch.auto_evaluate = when
    branch.evaluate_every = every if when == AutoEvaluate.STEPS else None
    branch.save(update_fields=["auto_evaluate", "evaluate_every"])
    log.info(
        "auto_evaluate_set", branch=branch.pk, when=when, every=branch.evaluate_every, by=str(actor or "")
    )
    touch(f"evaluations:{branch.pk}")
    return branch
