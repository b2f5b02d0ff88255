"""Makes experiments and branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from acc.errors import InvalidInput
from acc.params import clean_params
from acc.specs import ModelSpec, TaskSpec, parse
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task, Visibility
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.training.services.intact import require_intact
from accsite.apps.training.services.locks import lock_experiment
from accsite.names import clean_name, free_address, same_name, taken

NEW_PAGE = "new"  # an address below /experiments/ that is no experiment
MAIN = "main"
ALL_TASKS, NO_TASKS = "all", "none"
ADDRESS_TRIES = 5


@unit_of_work()
def create_experiment(
    *, actor: Any, name: str, model: Mapping[str, Any], visibility: str = Visibility.SITE
) -> Experiment:
    """Return a new experiment with its first branch, ``main``; nothing is built or trained yet.

    ``model``: ``acc.specs.ModelSpec`` as plain data. Raises InvalidInput naming each wrong field.
    """
    errors: dict[str, list[str]] = {}
    spec = None
    try:
        name, _ = free_experiment_slug(name, actor)
    except InvalidInput as error:
        errors.update(error.fields)
    try:
        spec = clean_model(model)
    except InvalidInput as error:
        errors.update(error.fields)
    if visibility not in Visibility.values:
        errors["visibility"] = [f"{visibility!r} is not one of {', '.join(Visibility.values)}"]
    if errors or spec is None:
        raise InvalidInput(errors)
    experiment = new_experiment(actor, name, model_spec=spec.model_dump(mode="json"), visibility=visibility)
    Branch.objects.create(experiment=experiment, name=MAIN, slug=MAIN, created_by=actor)
    touch("experiments", f"checkpoints:{experiment.pk}")
    return experiment


@unit_of_work()
def create_branch(
    *,
    actor: Any,
    experiment: Experiment,
    name: str,
    from_checkpoint: Checkpoint | None = None,
    tasks: Any = ALL_TASKS,
) -> Branch:
    """Return a new branch that begins at a checkpoint, or at the model as its seed makes it.

    ``tasks``: which it takes along, as ``parse_tasks`` reads it. They are those that the checkpoint was trained
    with, as they were then (without a checkpoint: those that the experiment's first branch has now), keys and
    colours included. Raises InvalidInput naming each wrong field, ``from_checkpoint`` also for a damaged file,
    and WrongState for a checkpoint that was deleted or pruned; then nothing is made.
    """
    tasks = parse_tasks(tasks)
    lock_experiment(experiment.pk)
    name, slug = free_branch_slug(experiment, name, field="name")
    if from_checkpoint is not None and from_checkpoint.experiment_id != experiment.pk:
        raise InvalidInput(
            from_checkpoint=f"checkpoint {from_checkpoint.pk} belongs to another experiment; "
            f"choose one of {experiment.name}"
        )
    if from_checkpoint is not None:
        require_intact(from_checkpoint, "from_checkpoint")
    try:
        with transaction.atomic():
            branch = Branch.objects.create(
                experiment=experiment,
                name=name,
                slug=slug,
                head=from_checkpoint,
                forked_from=from_checkpoint,
                created_by=actor,
            )
    except IntegrityError:
        raise InvalidInput({"name": taken(name, f"a branch of {experiment.name}")}) from None
    Task.objects.bulk_create(_chosen(copies_of_tasks(branch, experiment, from_checkpoint), tasks))
    touch("experiments", f"checkpoints:{experiment.pk}", f"tasks:{branch.pk}")
    return branch


def new_experiment(actor: Any, name: Any, *, number: bool = False, **fields: Any) -> Experiment:
    """Return a new row for an experiment of ``actor``, without a branch; ``number``: see ``free_experiment_slug``."""
    for _ in range(ADDRESS_TRIES):
        called, slug = free_experiment_slug(name, actor, number=number)
        try:
            with transaction.atomic():
                return Experiment.objects.create(name=called, slug=slug, owner=actor, **fields)
        except IntegrityError:  # another took the address at this very moment
            continue
    raise InvalidInput(name=f"{name!r} is being taken by others right now; try again or choose another")


def free_experiment_slug(name: Any, actor: Any, *, number: bool = False) -> tuple[str, str]:
    """Return name and address for a new experiment of ``actor``, with ``number`` the next name that is free.

    Raises InvalidInput(name) for one that an experiment has which ``actor`` may see; another's private one keeps its
    name to itself. An address is one for the whole site.
    """
    name = clean_name(name)
    rows = list(seen_experiments(actor).values_list("name", "slug"))
    if number:
        known = {same_name(other) for other, _ in rows}
        name = next(
            n for n in (name, *(f"{name} {i}" for i in range(2, 10_000))) if same_name(n) not in known
        )
    addresses = (NEW_PAGE, *Experiment.objects.values_list("slug", flat=True))
    return name, free_address(
        name, [*rows, *(("", slug) for slug in addresses)], "an experiment", otherwise="experiment"
    )


def free_branch_slug(experiment: Experiment, name: Any, *, field: str = "branch_name") -> tuple[str, str]:
    """Return name and slug for a new branch; raises InvalidInput(field) when they are none or taken."""
    try:
        name = clean_name(name)
        rows = experiment.branches.values_list("name", "slug")
        return name, free_address(name, rows, f"a branch of {experiment.name}", otherwise="branch")
    except InvalidInput as error:
        raise InvalidInput({field: next(iter(error.fields.values()))}) from None


def clean_model(model: Mapping[str, Any]) -> ModelSpec:
    """Return the complete specification of a model, defaults filled in; raises InvalidInput (``model.*``)."""
    errors: dict[str, list[str]] = {}
    params: dict[str, Any] = {}
    if not isinstance(model, Mapping):
        raise InvalidInput({"model": f"{model!r} is not an object"})
    try:
        plugin = registry.get(PluginKind.MODEL, model.get("architecture", ""))
        given = _mapping(model.get("params"), "model.params")
        params = clean_params(plugin.params, given, prefix="model.params.")
    except InvalidInput as error:
        errors.update(error.fields)
    try:
        spec: ModelSpec = parse(ModelSpec, {**model, "params": params}, prefix="model.")
    except InvalidInput as error:
        # What belongs to no single field are the factor groups' places beside each other.
        found = {("model.factor_groups" if f == "__all__" else f): text for f, text in error.fields.items()}
        raise InvalidInput({**found, **errors}) from None
    if errors:
        raise InvalidInput(errors)
    return spec


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput({field: f"{value!r} is not an object of parameter name -> value"})
    return value


def parse_tasks(value: Any) -> str | list[str]:
    """Return which tasks a new branch takes along: ``all``, ``none``, or the keys (or names) of those.

    Several are a list, or a text with commas between them, such as ``digit,kl``. Raises InvalidInput(tasks).
    """
    if isinstance(value, str):
        word = value.strip()
        if word in (ALL_TASKS, NO_TASKS):
            return word
        keys = [key.strip() for key in word.split(",") if key.strip()]
        if keys:
            return keys
    elif isinstance(value, Sequence) and all(isinstance(key, str) for key in value):
        return list(value) or NO_TASKS
    raise InvalidInput({"tasks": f"{value!r} is neither 'all' nor 'none' nor the keys of tasks"})


def _chosen(copies: list[Task], tasks: str | list[str]) -> list[Task]:
    if isinstance(tasks, str):
        return copies if tasks == ALL_TASKS else []
    known = {task.name: task for task in copies} | {task.key: task for task in copies}
    unknown = [key for key in tasks if key not in known]
    if unknown:
        right = ", ".join(task.key for task in copies) or "none"
        raise InvalidInput({"tasks": f"{unknown[0]!r} is not the key of a task there; known: {right}"})
    wanted = {known[key].key for key in tasks}
    return [task for task in copies if task.key in wanted]


def copies_of_tasks(branch: Branch, experiment: Experiment, checkpoint: Checkpoint | None) -> list[Task]:
    """Return unsaved tasks for a new branch: a checkpoint's, or those of the experiment's first branch."""
    if checkpoint is None:
        first = experiment.branches.exclude(pk=branch.pk).order_by("pk").first()
        rows = list(first.tasks.filter(removed_at=None)) if first else []
        specs: dict[str, TaskSpec | None] = {row.key: None for row in rows}
    else:
        found = [TaskSpec.model_validate(task) for task in checkpoint.spec.get("tasks", [])]
        specs = {spec.key: spec for spec in found}
        rows = list(checkpoint.branch.tasks.filter(key__in=specs))
    copies = []
    for row in rows:
        spec = specs[row.key]
        row.pk, row.branch, row.removed_at = None, branch, None
        row._state.adding = True
        if spec is not None:  # as it was when the checkpoint was made, whatever has been changed since
            row.weight, row.enabled = spec.weight, spec.enabled
        copies.append(row)
    return copies
