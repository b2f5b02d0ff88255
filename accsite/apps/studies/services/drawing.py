"""What the program of a sweep draws: trials as arms, kept before any of them begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count

from acc.errors import InvalidInput
from acc.studies import Study as Plan
from acc.studies.plan import merge, patch
from acc.studies.space import Value
from acc.studies.sweep import FEWEST_FOR_IMPORTANCE, Sweep, advance, arm_of, importance
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import canonical, results_of, trials_of
from accsite.apps.studies.services.studies import add_places

_seen: dict[int, str] = {}
"""Sweep -> how it was when nothing could be drawn: this process does not reckon the same again each second."""


def draw(study: Study) -> None:
    """Draw what may be drawn of a sweep by now, and keep it with its places; raises InvalidInput without Optuna."""
    states = study.results.values_list("state").annotate(count=Count("pk")).order_by("state")
    now = canonical([study.sweep, list(states)])
    if _seen.get(study.pk) == now:
        return
    sweep = study.swept
    step = advance(sweep, study.planned.primary, results_of(study))
    if step.sweep != sweep or step.places:
        _keep(study, step.sweep, [(arm_of(number), seed) for number, seed in step.places])
    else:
        _seen[study.pk] = now
    _weigh(study)


@unit_of_work()
def _keep(study: Study, sweep: Sweep, places: list[tuple[str, int]]) -> None:
    locked = Study.objects.select_for_update().get(pk=study.pk)
    if locked.sweep != study.sweep:
        return  # more trials were asked for at that moment, or another attempt drew: the next look sees it
    plan = with_trials(locked.planned, sweep)
    study.sweep = locked.sweep = sweep.model_dump(mode="json")
    study.plan = locked.plan = plan.model_dump(mode="json")
    locked.sha256 = plan.sha256
    locked.save(update_fields=["sweep", "plan", "sha256"])
    add_places(locked, places)  # another attempt may have been as quick
    touch("studies", f"study:{study.pk}")


def with_trials(plan: Plan, sweep: Sweep) -> Plan:
    """Return the plan of a sweep with an arm for each trial that was drawn."""
    known = {arm.name for arm in plan.arms}
    new = [
        {"name": trial.arm, "changes": patch(plan.settings, merge(plan.settings, nested(trial.values)))}
        for trial in sweep.drawn
        if trial.arm not in known
    ]
    return Plan.model_validate(
        {**plan.model_dump(), "arms": [*(arm.model_dump() for arm in plan.arms), *new]}
    )


def nested(values: Mapping[str, Value]) -> dict[str, Any]:
    """Return values by their places (``train.lr``) as an object of objects."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inside = found
        *path, last = name.split(".")
        for step in path:
            inside = inside.setdefault(step, {})
        inside[last] = value
    return found


def _weigh(study: Study) -> None:
    """Keep what matters by now, where a trial has ended since it was reckoned."""
    stands = trials_of(study)
    done = sum(stand.state == "done" and stand.in_space for stand in stands)
    if done < FEWEST_FOR_IMPORTANCE or done == (study.importance or {}).get("trials"):
        return
    try:
        shares = importance(study.swept, stands)
    except InvalidInput:  # Optuna is not installed, or all trials came to the same: the page says so
        return
    _keep_importance(study, {"trials": done, "shares": shares})


@unit_of_work()
def _keep_importance(study: Study, found: dict[str, Any]) -> None:
    Study.objects.filter(pk=study.pk).update(importance=found)
    study.importance = found
    touch(f"study:{study.pk}")
