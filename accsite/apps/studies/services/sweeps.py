"""Sweeps: written down for a branch, given more trials, and their winner confirmed on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acc.errors import InvalidInput
from acc.params import clean_params
from acc.specs import ModelSpec, TaskSpec, TrainSpec, parse
from acc.studies import Study as Plan
from acc.studies import space as spaces
from acc.studies.plan import merge
from acc.studies.space import Parameter, Space, Value
from acc.studies.sweep import FIRST, MOST_TRIALS, Sweep, arm_of, fresh_seeds, require_optuna, winner
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import COSTS, count_kinds, has_more, trials_of
from accsite.apps.studies.services import plans, studies
from accsite.apps.studies.services.drawing import nested
from accsite.apps.training.models import Branch, Visibility
from accsite.errors import WrongState

MOST_NAMED = 12
PROPOSED = 4
"""How many parameters a space has that nobody chose."""


@unit_of_work()
def sweep_branch(
    *,
    actor: Any,
    branch: Branch,
    space: Any,
    outcome: str,
    trials: int = 20,
    seeds: Any = 3,
    sampler: str = "tpe",
    seed: int = 0,
    prune: bool = False,
    jobs: int | None = None,
    hours: float | None = None,
    steps: int | None = None,
    name: str = "",
) -> Study:
    """Return a new sweep: a branch as it is now is the first arm, and trials differ from it in what is drawn.

    Nothing is drawn or started yet. It is private if the branch's experiment is. Raises InvalidInput naming each wrong
    field.
    """
    studies.require_short(name)
    whole = f"{branch.experiment.name} {branch.name}"[: studies.MAX_NAME - len(" sweep")].strip()
    name = studies.free_name(name or f"{whole} sweep", actor)
    asked = plans.plan_of(branch, [], name=name, seeds=seeds, outcome=outcome, steps=steps)
    better = False if outcome in COSTS else asked.primary.higher_is_better
    if better is None:
        raise InvalidInput(outcome=f"{outcome!r} is better neither high nor low; name another to rank by")
    ranked_by = {**asked.primary.model_dump(), "higher_is_better": better}
    plan: Plan = parse(Plan, {**asked.model_dump(), "arms": [{"name": FIRST}], "outcomes": [ranked_by]})
    read = _allowed_space(plan.settings, space)
    now = places(plan.settings)
    first = {parameter.name: _value(now[parameter.name], parameter) for parameter in read}
    sweep: Sweep = parse(
        Sweep,
        {
            "space": read,
            "seeds": plan.seeds,
            "sampler": sampler,
            "seed": seed,
            "trials": trials,
            "jobs": jobs,
            "jobs_each": 1 + count_kinds(plan),
            "hours": hours,
            "prune": prune,
            "maximize": better,
            "first": first,
        },
    )
    require_optuna(sweep)
    private = branch.experiment.visibility == Visibility.PRIVATE
    return studies.create_study(
        actor=actor,
        plan=plan,
        branch=branch,
        repeats=[branch.experiment],
        visibility=Visibility.PRIVATE if private else Visibility.SITE,
        experiment=branch.experiment if private else None,
        sweep=sweep,
    )


def _allowed_space(settings: Mapping[str, Any], space: Any) -> Space:
    """Return a space that is given in any form; raises InvalidInput (space) with a sentence for each wrong place."""
    try:
        read = spaces.space_of(space)
        require_allowed(settings, read)
    except InvalidInput as error:
        told = {where.removeprefix("space").removeprefix("."): said for where, said in error.fields.items()}
        sentences = [f"{where}: {each}" if where else each for where, said in told.items() for each in said]
        raise InvalidInput({"space": sentences}) from error
    return read


def require_allowed(settings: Mapping[str, Any], space: Space) -> None:
    """Raise InvalidInput (space.PLACE) for a place that a branch has not, or a bound that is not allowed there."""
    errors: dict[str, str] = {}
    known = places(settings)
    for parameter in space:
        for end in parameter.ends():
            try:
                _require_end(settings, known, parameter.name, end)
            except InvalidInput as error:
                errors[f"space.{parameter.name}"] = "; ".join(
                    each for told in error.fields.values() for each in told
                )
                break
    if errors:
        raise InvalidInput(errors)


def _require_end(settings: Mapping[str, Any], known: Mapping[str, Value], name: str, value: Value) -> None:
    """Raise InvalidInput unless a branch can be trained with a value at a place, which is one of the known ones."""
    if name not in known:
        shown = ", ".join(list(known)[:MOST_NAMED])
        raise InvalidInput(
            space=f"{name!r} is no place of this branch; places are: {shown}, and more of train.*"
        )
    changed: dict[str, Any] = merge(settings, nested({name: value}))
    part, *path = name.split(".")
    if part == "train":
        parse(TrainSpec, changed["train"])
    elif part == "tasks":
        task = changed["tasks"][path[0]]
        parse(TaskSpec, {**task, "key": path[0]})
        clean_params(registry.get(PluginKind.TASK, task["task_class"]).params, task["params"], prefix="")
    else:
        model = changed["model"]
        parse(ModelSpec, model)
        clean_params(registry.get(PluginKind.MODEL, model["architecture"]).params, model["params"], prefix="")


def places(settings: Mapping[str, Any]) -> dict[str, Value]:
    """Return what of a branch's settings may be drawn, and what it is now; the usual ones come first."""
    found: dict[str, Value] = {"train.lr": settings["train"]["lr"]}
    for key, task in settings["tasks"].items():
        found[f"tasks.{key}.weight"] = task["weight"]
    for key, task in settings["tasks"].items():
        plugin = registry.get(PluginKind.TASK, task["task_class"])
        found |= _params(f"tasks.{key}.params", plugin.params, task["params"])
        found |= {f"tasks.{key}.part_weights.{part}": weight for part, weight in task["part_weights"].items()}
    model = settings["model"]
    found["model.latent_dim"] = model["latent_dim"]
    plugin = registry.get(PluginKind.MODEL, model["architecture"])
    found |= _params("model.params", plugin.params, model["params"])
    train = {name: value for name, value in settings["train"].items() if not isinstance(value, dict | list)}
    return found | {f"train.{name}": value for name, value in train.items() if name not in plans.NOT_SETTINGS}


def _params(before: str, schema: Any, given: Mapping[str, Any]) -> dict[str, Value]:
    values = {str(each["name"]): given.get(each["name"], each.get("default")) for each in schema}
    plain = bool | int | float | str | None
    return {f"{before}.{name}": value for name, value in values.items() if isinstance(value, plain)}


def _value(value: Value, parameter: Parameter) -> Value:
    """Return what the first arm has of a parameter, as that is drawn."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and parameter.kind == "float" and value is not None else value


def proposed_space(branch: Branch) -> str:
    """Return a space for a branch: its learning rate and the weights of its tasks, a tenth to ten times each."""
    found = {"train.lr": plans.options_of(branch).get("lr", TrainSpec.model_fields["lr"].default)}
    tasks = branch.tasks.filter(removed_at=None, enabled=True, weight__gt=0)
    found |= {f"tasks.{task.key}.weight": task.weight for task in tasks[: PROPOSED - 1]}
    ranges = [f"{name}: {value / 10:.6g} to {value * 10:.6g} log" for name, value in found.items()]
    return "; ".join(ranges)


@unit_of_work()
def add_trials(
    *, actor: Any, study: Study, more: int, jobs: int | None = None, hours: float | None = None
) -> Study:
    """Return a sweep with so many trials more, which are drawn at once if it was begun; jobs, hours: its limits anew.

    Raises InvalidInput (more) where the space has no more or nothing would change, and WrongState for a study that is
    no sweep.
    """
    study = studies.locked(study)
    if not study.is_sweep:
        raise WrongState(study=f"study {study.name!r} is no sweep: its arms are not drawn")
    before = study.swept
    if before.trials + more > MOST_TRIALS:
        raise InvalidInput(
            more=f"{more} is refused: {before.trials} are asked for, and {MOST_TRIALS} are the most"
        )
    if not more and jobs is None and hours is None:
        raise InvalidInput(more="0 changes nothing; add 1 trial or more, or give jobs or hours")
    given = {"jobs": before.jobs if jobs is None else jobs, "hours": before.hours if hours is None else hours}
    new: Sweep = parse(Sweep, {**before.model_dump(), "trials": before.trials + more, **given})
    if new.limit == before.limit and more:
        raise InvalidInput(more=f"{more} is refused: this space has {before.limit} trials, and no more")
    study.sweep = new.model_dump(mode="json")
    study.save(update_fields=["sweep"])
    if study.run is not None and not study.held and has_more(study):
        studies.go(actor, study)
    touch("studies", f"study:{study.pk}")
    return study


@unit_of_work()
def confirm_winner(
    *, actor: Any, study: Study, seeds: int, by: float = 0.0, stop_when_decided: bool = False
) -> Study:
    """Return a new study of the trial that ranks first against the first arm, on seeds that nothing was chosen on.

    Nothing is started yet. Its plan names the seeds of the sweep, and of confirmations before, and refuses them. Raises
    InvalidInput (winner) where no trial ranks before the first arm, and WrongState for a sweep at work.
    """
    study = studies.locked(study)
    if why_not := why_not_confirmed(study):
        raise WrongState(study=why_not)
    sweep, plan = study.swept, study.planned
    best = winner(sweep, trials_of(study))
    used = [*sweep.seeds, *sweep.confirmed_on]
    for other in study.confirmations.order_by("pk"):
        used += [seed for seed in other.planned.seeds if seed not in used]
    claim = {
        "first": arm_of(best.number),
        "second": FIRST,
        "outcome": plan.primary.name,
        "sign": ">" if sweep.maximize else "<",
        "by": by,
    }
    name = studies.free_name(f"{study.name[:42].strip()} confirmed", actor)
    new: Plan = parse(
        Plan,
        {
            **plan.model_dump(),
            "name": name,
            "arms": [plan.arms[0].model_dump(), plan.arm(arm_of(best.number)).model_dump()],
            "seeds": fresh_seeds(used, seeds),
            "chosen_on": used,
            "claims": [claim],
            "stop_when_decided": stop_when_decided,
        },
    )
    return studies.create_study(
        actor=study.owner or actor,
        plan=new,
        branch=study.branch,
        repeats=study.repeats.all(),
        visibility=study.visibility,
        experiment=study.experiment,
        confirms=study,
    )


def why_not_confirmed(study: Study) -> str:
    """Return in a sentence why the winner of a study cannot be confirmed as it is now; empty if it can."""
    if not study.is_sweep:
        return "it is no sweep: nothing was chosen that would have to be confirmed"
    if study.is_at_work:
        return "it is at work, and its ranking changes; stop it, or wait for its end"
    try:
        winner(study.swept, trials_of(study))
    except InvalidInput as error:
        return str(error).removeprefix("winner: ")
    return ""
