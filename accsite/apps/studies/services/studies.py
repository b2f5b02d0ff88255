"""Studies: written down, started, stopped, gone on with, extended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from acc.errors import InvalidInput
from acc.studies import Study as Plan
from acc.studies.plan import patch
from acc.studies.sweep import Sweep
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipes
from accsite.apps.studies.models import PROGRAM, Study, StudyResult
from accsite.apps.studies.selectors import count_kinds, has_more, results_of, seen_studies
from accsite.apps.studies.services import plans
from accsite.apps.training.models import Branch, Experiment, Visibility
from accsite.errors import WrongState
from accsite.names import clean_name, free_address, same_name

NOT_OF_A_SWEEP = "a sweep draws its arms itself, all with the same seeds; add trials to it"
MAX_NAME = 60
"""Of a study's name, which the names of its experiments begin with."""


@unit_of_work()
def repeat_branch(
    *,
    actor: Any,
    branch: Branch,
    others: Sequence[Branch] = (),
    seeds: Any,
    outcome: str,
    claims: str | None = None,
    steps: int | None = None,
    stop_when_decided: bool = False,
    name: str = "",
) -> Study:
    """Return a new study whose arms are a branch and others, as they are now; nothing is started yet.

    It is private if one of their experiments is; whoever sees that one sees it, if there is no other. Raises
    InvalidInput naming each wrong field.
    """
    if len({branch.pk, *(other.pk for other in others)}) < 1 + len(others):
        raise InvalidInput(arms="a branch is named twice; each arm is another branch")
    require_short(name)
    name = free_name(name or f"{branch.experiment.name} {branch.name}"[:MAX_NAME].strip(), actor)
    plan = plans.plan_of(
        branch,
        others,
        name=name,
        seeds=seeds,
        outcome=outcome,
        claims=claims,
        steps=steps,
        stop_when_decided=stop_when_decided,
    )
    return _create_of(actor, plan, [branch, *others])


@unit_of_work()
def repeat_arms(
    *,
    actor: Any,
    name: str,
    arms: Sequence[tuple[str, Branch | Mapping[str, Any]]],
    steps: int | None = None,
    train: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Study:
    """Return a new study of named arms: branches as they are now, or what they change of the first, which is one.

    fields: the others of ``acc.studies.Study``; who sees it is as of ``repeat_branch``. Nothing is started yet. Raises
    InvalidInput naming each wrong field.
    """
    if not arms or not isinstance(arms[0][1], Branch):
        raise InvalidInput(
            arms="the first arm is a branch; the others are branches, or what they change of it"
        )
    require_short(name)
    settings: dict[str, dict[str, Any]] = {}
    first: dict[str, Any] = {}
    for arm, given in arms:
        try:
            if isinstance(given, Branch):
                settings[arm] = plans.settings_of(given, steps, train)
            else:
                settings[arm] = plans.changed(first, given)
        except InvalidInput as error:
            raise InvalidInput(
                {f"arms.{arm}.{field}": said for field, said in error.fields.items()}
            ) from error
        first = first or settings[arm]
    plan = plans.plan_of_arms(settings, name=free_name(name, actor), **fields)
    return _create_of(actor, plan, [given for _, given in arms if isinstance(given, Branch)])


def _create_of(actor: Any, plan: Plan, branches: Sequence[Branch]) -> Study:
    """Return a new study of branches, the first first, that those see who see all of them."""
    private = {each.experiment for each in branches if each.experiment.visibility == Visibility.PRIVATE}
    return create_study(
        actor=actor,
        plan=plan,
        branch=branches[0],
        repeats=[each.experiment for each in branches[1:]],
        visibility=Visibility.PRIVATE if private else Visibility.SITE,
        experiment=private.pop() if len(private) == 1 else None,
    )


@unit_of_work()
def create_study(
    *,
    actor: Any,
    plan: Plan,
    branch: Branch | None = None,
    repeats: Iterable[Experiment] = (),
    visibility: str = Visibility.SITE,
    experiment: Experiment | None = None,
    sweep: Sweep | None = None,
    confirms: Study | None = None,
) -> Study:
    """Return a new study of a plan; nothing is started yet. Raises InvalidInput (name) if that is taken.

    repeats: the experiments whose branches its arms are, besides that of ``branch``.
    """
    rows = [
        *seen_studies(actor).values_list("name", "slug"),  # another's private one keeps its name to itself
        *(("", slug) for slug in Study.objects.values_list("slug", flat=True)),
    ]
    study = Study.objects.create(
        name=clean_name(plan.name),
        slug=free_address(plan.name, rows, "a study", otherwise="study"),
        owner=actor,
        visibility=visibility,
        experiment=experiment,
        plan=plan.model_dump(mode="json"),
        sha256=plan.sha256,
        branch=branch,
        sweep=None if sweep is None else sweep.model_dump(mode="json"),
        confirms=confirms,
    )
    study.repeats.add(*repeats, *([branch.experiment] if branch is not None else []))
    add_places(study, plan.order())
    touch("studies")
    return study


@unit_of_work()
def start_study(*, actor: Any, study: Study) -> Study:
    """Return the study, begun, or gone on with where it was; nothing is done twice.

    Raises WrongState for one that is at work or has nothing left to do.
    """
    study = locked(study)
    if study.is_at_work and not study.held:
        raise WrongState(study=f"study {study.name!r} is at work already")
    if not has_more(study):
        raise WrongState(study=f"study {study.name!r} has nothing left to do; add seeds first")
    study.held = False
    study.save(update_fields=["held"])
    go(actor, study)
    return study


@unit_of_work()
def start_within(*, actor: Any, study: Study, step: RecipeStep) -> Study:
    """Return the study, to be done by the call of a recipe that made it: by the recipe's job, and none of its own.

    Called again when the recipe goes on after a stop. Raises WrongState while a job of its own is at it.
    """
    study = locked(study)
    if study.run is None:
        study.run = recipes.submit_program(
            actor=study.owner or actor,
            program=PROGRAM,
            label=f"study {study.name}",
            params={"study": study.pk},
            plan=_foreseen(study),
            within=step,
        )
    elif study.run.job is not None:
        if study.run.is_active:
            raise WrongState(
                study=f"study {study.name!r} is at work by itself; resume this once it has ended"
            )
        study.run.job = None
        study.run.save(update_fields=["job"])
    study.save(update_fields=["run"])
    touch("studies", f"study:{study.pk}")
    return study


@unit_of_work()
def stop_study(*, actor: Any, study: Study) -> Study:  # noqa: ARG001 - the log says who
    """Return the study, which begins nothing more; what is under way is finished, so that nothing is lost.

    Raises WrongState for one that is not at work.
    """
    study = locked(study)
    if not study.is_at_work or study.held:
        raise WrongState(study=f"study {study.name!r} is not at work")
    study.held = True
    study.save(update_fields=["held"])
    touch("studies", f"study:{study.pk}")
    return study


@unit_of_work()
def add_seeds(*, actor: Any, study: Study, more: int) -> Study:
    """Return the study with so many seeds more, which are begun if it was begun; the plan tells of the change.

    Raises InvalidInput (more).
    """
    study = locked(study)
    plan = study.planned
    if more < 1:
        raise InvalidInput(more=f"{more} is refused; add 1 seed or more")
    first = max(plan.seeds) + 1
    return _extend(actor, study, plan, seeds=(*plan.seeds, *range(first, first + more)))


@unit_of_work()
def add_arm(*, actor: Any, study: Study, branch: Branch, claim: str = "") -> Study:
    """Return the study with an arm more, a branch as it is now; the plan tells of the change.

    It is trained for as many steps as the first arm. Raises InvalidInput naming what is wrong.
    """
    study = locked(study)
    plan = study.planned
    name = (
        branch.name
        if same_name(branch.name) not in {same_name(arm.name) for arm in plan.arms}
        else str(branch)
    )
    others_see = study.visibility == Visibility.SITE or study.experiment_id is not None
    private = branch.experiment.visibility == Visibility.PRIVATE
    if others_see and private and branch.experiment_id != study.experiment_id:
        raise InvalidInput(
            branch=f"{branch} is private, and others see this study who may not see it; choose another"
        )
    settings = plans.settings_of(branch, plan.settings["train"]["steps"])
    if plans.METRICS in plan.settings:  # all arms are measured by the same
        settings[plans.METRICS] = plan.settings[plans.METRICS]
    arms = [*plan.arms, {"name": name, "changes": patch(plan.settings, settings)}]
    claims = [*(each.model_dump() for each in plan.claims), *([claim] if claim.strip() else [])]
    study.repeats.add(branch.experiment)
    return _extend(actor, study, plan, arms=arms, claims=claims)


def _extend(actor: Any, study: Study, plan: Plan, **fields: Any) -> Study:
    if study.is_sweep:
        raise WrongState(study=NOT_OF_A_SWEEP)
    seen = sum(result.status in ("succeeded", "failed") for result in results_of(study))
    new = plan.revised(seen=seen, **fields)
    study.plan, study.sha256 = new.model_dump(mode="json"), new.sha256
    study.save(update_fields=["plan", "sha256"])
    add_places(study, new.order())
    if study.run is not None and not study.held and has_more(study):
        go(actor, study)
    touch("studies", f"study:{study.pk}")
    return study


def go(actor: Any, study: Study) -> None:
    """Have a study worked on, if it is not; one that a recipe was stopped in goes on with the recipe."""
    plan = _foreseen(study)
    if study.run is None:
        study.run = recipes.submit_program(
            actor=study.owner or actor,
            program=PROGRAM,
            label=f"study {study.name}",
            params={"study": study.pk},
            plan=plan,
        )
        study.save(update_fields=["run"])
    else:
        study.run.plan = plan
        study.run.save(update_fields=["plan"])
        around = study.run.within
        if study.run.job is None and around is not None and around.state == RecipeStep.State.CANCELLED:
            recipes.resume_recipe(actor=actor, run=around.run)
            study.run = RecipeRun.objects.get(pk=study.run.pk)
        elif not study.run.is_active:
            study.run = recipes.resume_recipe(actor=actor, run=study.run, has_more=True)
    touch("studies", f"study:{study.pk}")


def _foreseen(study: Study) -> dict[str, Any]:
    """Return what the program will do, as a rehearsal says it of others."""
    plan = study.planned
    steps = {arm.name: int(plan.settings_of(arm.name)["train"]["steps"]) for arm in plan.arms}
    rows = list(study.results.values_list("arm", "seed"))
    verbs = 2 + count_kinds(plan)
    phases = [
        {
            "name": f"seed {seed}",
            "verbs": verbs * sum(each == seed for _, each in rows),
            "steps": sum(steps[arm] for arm, each in rows if each == seed),
        }
        for seed in plan.seeds
    ]
    return {
        "complete": not plan.stop_when_decided and not study.is_sweep,
        "verbs": verbs * len(rows),
        "steps": sum(steps[arm] for arm, _ in rows),
        "phases": phases,
    }


def add_places(study: Study, places: Iterable[tuple[str, int]]) -> None:
    """Add a row for each arm and seed of these that has none, behind those that are there."""
    known = set(study.results.values_list("arm", "seed"))
    new = [place for place in places if place not in known]
    StudyResult.objects.bulk_create(
        StudyResult(study=study, number=number, arm=arm, seed=seed)
        for number, (arm, seed) in enumerate(new, len(known) + 1)
    )


def locked(study: Study) -> Study:
    """Return a study as it is now, which nobody else changes until this transaction ends."""
    return Study.objects.select_for_update(of=("self",)).select_related("run__job").get(pk=study.pk)


def require_short(name: str) -> None:
    """Raise InvalidInput (name) for one that leaves no room for what the names of experiments add to it."""
    if len(name) > MAX_NAME:
        raise InvalidInput(name=f"it has {len(name)} characters; at most {MAX_NAME} are allowed")


def free_name(name: str, actor: Any) -> str:
    """Return a name, numbered if a study has it that ``actor`` may see."""
    known = {same_name(other) for other in seen_studies(actor).values_list("name", flat=True)}
    numbered = (name if number == 1 else f"{name} {number}" for number in range(1, 10_000))
    return next(each for each in numbered if same_name(each) not in known)
