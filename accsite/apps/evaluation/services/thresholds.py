"""From where on a metric is good, as users set it."""

from __future__ import annotations

import math
from typing import Any

import structlog

from acc.errors import InvalidInput
from accsite.apps.evaluation.models import Metric, Threshold
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Branch

log = structlog.get_logger(__name__)


@unit_of_work()
def set_threshold(
    *, actor: Any, branch: Branch, task_key: str, name: str, moderate: Any, good: Any, site: bool = False
) -> Threshold | None:
    """Return the thresholds of a metric on a branch, or on the whole site; None when both are left empty.

    Empty ones fall back to those of the site, then of the task's class. Raises InvalidInput (name, moderate,
    good) for a metric that was never measured on the branch, and for numbers in the wrong order.
    """
    metric = Metric.objects.filter(evaluation__branch=branch, task_key=task_key, name=name).first()
    if metric is None:
        raise InvalidInput({"name": f"{name!r} of task {task_key!r} was never measured on {branch}"})
    where = Threshold.objects.filter(branch=None if site else branch, task_key=task_key, name=name)
    touch(f"evaluations:{branch.pk}")
    if moderate in ("", None) and good in ("", None):
        where.delete()
        return None
    low, high = _number("moderate", moderate), _number("good", good)
    if metric.higher_is_better is None:
        raise InvalidInput({"name": f"of {name!r} neither high nor low values are good"})
    if (low > high) if metric.higher_is_better else (low < high):
        order = "at least" if metric.higher_is_better else "at most"
        raise InvalidInput({"good": f"{high:g} is refused; it must be {order} the moderate {low:g}"})
    where.delete()
    log.info("threshold_set", branch=branch.pk, task=task_key, metric=name, site=site, by=str(actor or ""))
    return Threshold.objects.create(
        branch=None if site else branch, task_key=task_key, name=name, moderate=low, good=high
    )


def _number(field: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput({field: f"{value!r} is not a number"})
    return number
