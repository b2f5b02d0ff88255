"""Makes the plan of a study from branches: what each of them is now becomes the settings of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acc.errors import InvalidInput
from acc.specs import TrainSpec, parse
from acc.studies import Study as Plan
from acc.studies.plan import patch
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.jobs.models import JobKind
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch
from accsite.apps.training.specs import model_of, task_spec

PREFERRED = ("ufr", "accuracy", "r2")
NOT_SETTINGS = ("seed", "checkpoint_every_steps", "checkpoint_every_seconds")
NOT_OF_A_TASK = ("key", "source_sha256")


def settings_of(branch: Branch, steps: int | None = None) -> dict[str, Any]:
    """Return all that a branch is trained with but the seed, as JSON: model, tasks, options, data, plugin sources.

    Options are those of its last training, else the method's; steps: instead of as many as it has. Raises
    InvalidInput (branch, tasks, steps) for a branch that cannot be trained again from nothing.
    """
    model = model_of(branch).model_dump(mode="json", exclude={"seed"})
    attached = list(branch.tasks.filter(removed_at=None).select_related("dataset"))
    if not any(task.enabled for task in attached):
        raise InvalidInput(
            tasks=f"branch {branch} has no task that is switched on; a study needs one to train"
        )
    classes = {task.task_class for task in attached}
    rows = Plugin.objects.filter(kind=PluginKind.TASK, name__in=classes) | Plugin.objects.filter(
        kind=PluginKind.MODEL, name=model["architecture"]
    )
    tasks = {task.key: task_spec(task).model_dump(mode="json") for task in attached}
    return {
        "model": model,
        "tasks": {
            key: {name: value for name, value in task.items() if name not in NOT_OF_A_TASK}
            for key, task in tasks.items()
        },
        "train": _options(branch, steps),
        "datasets": {task.dataset.slug: task.dataset.content_hash for task in attached},
        "plugins": dict(rows.values_list("name", "source_id")),
    }


def _options(branch: Branch, steps: int | None) -> dict[str, Any]:
    last = branch.jobs.filter(kind=JobKind.TRAIN).order_by("-pk").first()
    given = dict(last.spec["train"]) if last else dict(branch.experiment.method.get("train", {}))
    wanted = steps or (branch.head.step if branch.head else 0) or given.get("steps")
    if not wanted:
        raise InvalidInput(
            steps=f"branch {branch} was never trained; say how many steps each seed is trained"
        )
    found: TrainSpec = parse(TrainSpec, {**given, "steps": wanted}, prefix="train.")
    options = found.model_dump(mode="json")
    return {name: value for name, value in options.items() if name not in NOT_SETTINGS}


def measured_of(branch: Branch) -> list[Metric]:
    """Return the numbers of the newest evaluations of a branch, one of each that was measured, the usual ones first."""
    evaluations = Evaluation.objects.filter(branch=branch).order_by("-pk")[:20]
    found: dict[str, Metric] = {}
    for metric in (
        Metric.objects.on()
        .filter(evaluation__in=[each.pk for each in evaluations])
        .order_by("-evaluation", "pk")
    ):
        if metric.value is not None:
            found.setdefault(metric.called, metric)
    rank = {name: place for place, name in enumerate(PREFERRED)}
    return sorted(found.values(), key=lambda metric: (rank.get(metric.name, len(rank)), metric.called))


def proposed_outcome(branch: Branch) -> str:
    """Return what may be compared of a branch: what was measured of it, else UFR if its model has factor groups."""
    measured = measured_of(branch)
    if measured:
        return measured[0].called
    return "ufr" if branch.experiment.model_spec and model_of(branch).factor_groups else ""


def plan_of(
    branch: Branch,
    others: Sequence[Branch],
    *,
    name: str,
    seeds: Any,
    outcome: str,
    claims: str | None = None,
    steps: int | None = None,
    stop_when_decided: bool = False,
) -> Plan:
    """Return the plan of a study whose arms are branches, the first first.

    claims: a line each; None: that the first arm is better than each other. Raises InvalidInput naming what is wrong.
    """
    branches = [branch, *others]
    names = _names(branches)
    settings = [settings_of(each, steps) for each in branches]
    measured = {metric.called: metric for each in branches for metric in measured_of(each)}
    if not outcome:
        known = ", ".join(measured) or "nothing yet, so measure the branch once"
        raise InvalidInput(
            outcome=f"say what is compared, such as ufr or digit/accuracy; measured here: {known}"
        )
    better = measured[outcome].higher_is_better if outcome in measured else True
    if claims is None:
        sign = "<" if better is False else ">"
        said: Any = [
            {"first": names[0], "second": other, "outcome": outcome, "sign": sign} for other in names[1:]
        ]
    else:
        said = claims
    fields: Mapping[str, Any] = {
        "name": name,
        "settings": settings[0],
        "arms": [
            {"name": arm, "changes": patch(settings[0], each) if place else {}}
            for place, (arm, each) in enumerate(zip(names, settings, strict=True))
        ],
        "seeds": seeds,
        "outcomes": [{"name": outcome, "higher_is_better": better}],
        "claims": said,
        "stop_when_decided": stop_when_decided,
    }
    plan: Plan = parse(Plan, fields)
    return plan


def _names(branches: Sequence[Branch]) -> list[str]:
    """Return what the arms are called: as the branches, with their experiment where that is not one."""
    names = [branch.name for branch in branches]
    one = len({branch.experiment_id for branch in branches}) == 1
    return names if one else [str(branch) for branch in branches]
