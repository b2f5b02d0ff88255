"""Makes the plan of a study from branches: what each of them is now becomes the settings of an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acc.errors import InvalidInput
from acc.params import clean_params
from acc.specs import EvalSpec, ModelSpec, TaskSpec, TrainSpec, parse
from acc.studies import Study as Plan
from acc.studies.plan import merge, patch
from accsite.apps.datasets import selectors as datasets
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.selectors import metric_plugins
from accsite.apps.jobs.models import JobKind
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.studies.selectors import COSTS, outcomes_by_kind
from accsite.apps.training.models import Branch
from accsite.apps.training.services.measuring import frozen
from accsite.apps.training.specs import model_of, task_spec

PREFERRED = ("ufr", "accuracy", "r2")
NOT_SETTINGS = ("seed", "checkpoint_every_steps", "checkpoint_every_seconds")
NOT_OF_A_TASK = ("key", "source_sha256")
CHANGEABLE = ("model", "tasks", "train")
"""What of its settings an arm may say otherwise than the first; data and plugins follow from it."""
METRICS = "metrics"
"""The setting that says in which versions metrics that are plugins measure all arms: class -> sha256."""
OF_THE_WHOLE = ("ufr", "ufr_matched")
"""Numbers of a latent with factor groups that may be compared before any of it was measured."""


def settings_of(
    branch: Branch, steps: int | None = None, train: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return all that a branch is trained with but the seed, as JSON: model, tasks, options, data, plugin sources.

    Options are those of its last training, else the method's, but for ``train``; steps: instead of as many as it has.
    Raises InvalidInput (branch, tasks, steps, train) for a branch that cannot be trained again from nothing.
    """
    model = model_of(branch).model_dump(mode="json", exclude={"seed"})
    attached = list(branch.tasks.filter(removed_at=None).select_related("dataset"))
    if not any(task.enabled for task in attached):
        raise InvalidInput(
            tasks=f"branch {branch} has no task that is switched on; a study needs one to train"
        )
    return _with_sources(model, [task_spec(task) for task in attached], _options(branch, steps, train or {}))


def changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with a merge patch of ``model``, ``tasks`` and ``train`` applied, checked and completed.

    Raises InvalidInput naming what is wrong; an unknown dataset or class among it.
    """
    if unknown := sorted(changes.keys() - set(CHANGEABLE)):
        raise InvalidInput({unknown[0]: f"an arm changes {', '.join(CHANGEABLE)}, and not {unknown[0]!r}"})
    merged: dict[str, Any] = merge({name: settings[name] for name in CHANGEABLE}, changes)
    for name in CHANGEABLE:
        if not isinstance(merged.get(name), Mapping):
            raise InvalidInput(
                {name: f"{merged.get(name)!r:.80} is refused; give what changes in it by name"}
            )
    if seeded := sorted({"seed"} & {*merged["model"], *merged["train"]}):
        raise InvalidInput({"seed": f"an arm has no {seeded[0]}; seeds says which there are"})
    model: ModelSpec = parse(ModelSpec, merged["model"], prefix="model.")
    tasks: list[TaskSpec] = [
        parse(TaskSpec, {"name": key, **task, "key": key}, prefix=f"tasks.{key}.")
        for key, task in merged["tasks"].items()
    ]
    if not any(task.enabled for task in tasks):
        raise InvalidInput(tasks="no task is switched on; a study needs one to train")
    for at, task in enumerate(tasks):
        plugin = registry.get(PluginKind.TASK, task.task_class)
        tasks[at] = task.model_copy(update={"params": clean_params(plugin.params, task.params)})
    train: TrainSpec = parse(TrainSpec, merged["train"], prefix="train.")
    return _with_sources(model.model_dump(mode="json", exclude={"seed"}), tasks, _plain_options(train))


def _with_sources(model: dict[str, Any], tasks: Sequence[TaskSpec], train: dict[str, Any]) -> dict[str, Any]:
    """Return settings, with the content of the data and the sources of the plugins as they are now."""
    rows = Plugin.objects.filter(
        kind=PluginKind.TASK, name__in={task.task_class for task in tasks}
    ) | Plugin.objects.filter(kind=PluginKind.MODEL, name=model["architecture"])
    told = {task.key: task.model_dump(mode="json") for task in tasks}
    slugs = dict.fromkeys(task.dataset for task in tasks)
    return {
        "model": model,
        "tasks": {
            key: {name: value for name, value in task.items() if name not in NOT_OF_A_TASK}
            for key, task in told.items()
        },
        "train": train,
        "datasets": {slug: datasets.get(slug).content_hash for slug in slugs},
        "plugins": dict(rows.values_list("name", "source_id")),
    }


def options_of(branch: Branch) -> dict[str, Any]:
    """Return the train options that were given to the last training of a branch, else those of its method."""
    last = branch.jobs.filter(kind=JobKind.TRAIN).order_by("-pk").first()
    return dict((last.spec if last else branch.experiment.method).get("train", {}))


def _options(branch: Branch, steps: int | None, train: Mapping[str, Any]) -> dict[str, Any]:
    given = options_of(branch)
    if "seed" in train:
        raise InvalidInput({"train.seed": f"{train['seed']!r} is refused; seeds says which there are"})
    given |= train
    wanted = steps or (branch.head.step if branch.head else 0) or given.get("steps")
    if not wanted:
        raise InvalidInput(
            steps=f"branch {branch} was never trained; say how many steps each seed is trained"
        )
    found: TrainSpec = parse(TrainSpec, {**given, "steps": wanted}, prefix="train.")
    return _plain_options(found)


def _plain_options(train: TrainSpec) -> dict[str, Any]:
    options = train.model_dump(mode="json")
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


@dataclass(frozen=True)
class Offered:
    """What may be an outcome: in words, whether it is better high, and its bounds (low, high) if they are known."""

    words: str
    higher_is_better: bool | None
    bounds: Mapping[str, float] = field(default_factory=dict)


def outcomes_of(branch: Branch) -> dict[str, Offered]:
    """Return by name what may be compared of a branch: what was measured, numbers of its tasks, of its whole latent,
    of metrics that are plugins, and costs."""
    found = {metric.called: Offered(metric.called, metric.higher_is_better) for metric in measured_of(branch)}
    classes = dict(Plugin.objects.filter(kind=PluginKind.TASK).values_list("name", "requires"))
    for task in branch.tasks.filter(removed_at=None, enabled=True):
        for number, higher in classes.get(task.task_class, {}).get("metrics", {}).items():
            found.setdefault(f"{task.key}/{number}", Offered(f"{task.key}/{number}", higher))
    if branch.experiment.model_spec and model_of(branch).factor_groups:
        found |= {name: Offered(name, True) for name in OF_THE_WHOLE if name not in found}
    for plugin in metric_plugins.offered():
        ranges = plugin.requires.get("ranges", {})
        for number, higher in plugin.requires.get("metrics", {}).items():
            low, high = ranges.get(number, (math.nan, math.nan))
            bounds = {"low": low, "high": high} if math.isfinite(high - low) else {}
            found[f"{plugin.name}.{number}"] = Offered(f"{plugin.label}: {number}", higher, bounds)
    return found | {name: Offered(f"{name} that a seed takes", False) for name in COSTS}


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
    arms = dict(zip(names, [settings_of(each, steps) for each in branches], strict=True))
    offered = {name: found for each in reversed(branches) for name, found in outcomes_of(each).items()}
    if not outcome:
        measured = dict.fromkeys(metric.called for each in branches for metric in measured_of(each))
        known = ", ".join(measured) or "nothing yet, so measure the branch once"
        raise InvalidInput(
            outcome=f"say what is compared, such as ufr or digit/accuracy; measured here: {known}"
        )
    asked = offered.get(outcome, Offered(outcome, True))
    better = asked.higher_is_better
    if claims is None:
        sign = "<" if better is False else ">"
        said: Any = [
            {"first": names[0], "second": other, "outcome": outcome, "sign": sign} for other in names[1:]
        ]
    else:
        said = claims
    return plan_of_arms(
        arms,
        name=name,
        seeds=seeds,
        outcomes=[{"name": outcome, "higher_is_better": better, **asked.bounds}],
        claims=said,
        stop_when_decided=stop_when_decided,
    )


def plan_of_arms(arms: Mapping[str, Mapping[str, Any]], **fields: Any) -> Plan:
    """Return the plan of arms by name with the settings of each, the first first; fields: the others of the plan.

    Metrics that are plugins measure all of them as they are now. Raises InvalidInput.
    """
    first = next(iter(arms.values()), {})
    told = [
        {"name": arm, "changes": patch(first, each) if place else {}}
        for place, (arm, each) in enumerate(arms.items())
    ]
    plan: Plan = parse(Plan, {"settings": first, "arms": told, **fields})
    if metrics := _metrics_of(plan):
        plan = parse(Plan, {**plan.model_dump(), "settings": {**first, METRICS: metrics}})
    return plan


def _metrics_of(plan: Plan) -> dict[str, str]:
    """Return class -> sha256 of the metrics that are plugins of which a plan has outcomes.

    Raises InvalidInput (outcomes) for one that cannot be measured here, or has no such number or parameter.
    """
    found: dict[str, str] = {}
    for alike in outcomes_by_kind(plan):
        asked = {each.of_metric[0]: each for each in alike if each.of_metric[0]}
        if not asked:
            continue
        spec = {**alike[0].options, "suite": [*asked]}
        try:
            found |= frozen(parse(EvalSpec, spec)).plugins
        except InvalidInput as error:
            names = ", ".join(each.measured_as for each in asked.values())
            raise InvalidInput(outcomes=f"'{names}': {error}") from error
        for each in alike:
            name, number = each.of_metric
            known = (
                registry.get(PluginKind.METRIC, name).requires.get("metrics", {}) if name else {number: True}
            )
            if number not in known:
                right = ", ".join(f"{name}.{one}" for one in sorted(known))
                raise InvalidInput(
                    outcomes=f"'{each.measured_as}' is no number of {name}; there are: {right}"
                )
    return found


def _names(branches: Sequence[Branch]) -> list[str]:
    """Return what the arms are called: as the branches, with their experiment where that is not one."""
    names = [branch.name for branch in branches]
    one = len({branch.experiment_id for branch in branches}) == 1
    return names if one else [str(branch) for branch in branches]
