"""Attaches tasks to a branch and changes them; a running job is told, and applies it between two steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from django.utils.text import slugify

from acc.errors import InvalidInput, TaskError
from acc.messages import AddTask, CommandKind, Payload
from acc.params import Param, clean_params
from acc.specs import ModelSpec, TaskSpec, parse, parse_slice
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.control import command
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services.locks import lock_branch
from accsite.apps.training.services.steering import command_branch
from accsite.apps.training.specs import COLOUR_SLOTS, dataset_spec, model_of, task_spec
from accsite.errors import WrongState
from accsite.names import MAX_NAME_LENGTH, clean_name


@unit_of_work()
def add_task(
    *,
    actor: Any,
    branch: Branch,
    task_class: str,
    dataset: Dataset | str,
    name: str = "",
    weight: float = 1.0,
    enabled: bool = True,
    latent_slice: Sequence[int] | str | None = None,
    factor: str = "",
    params: Mapping[str, Any] | None = None,
) -> Task:
    """Return a new task of a branch; a running job builds its head between two steps.

    It reads the named ``factor``, or ``latent_slice`` (``start:end``, or two numbers), or the whole latent.
    Without a ``name`` it is called after its target, if it has one, else after its class; its key is of its class then.
    Raises InvalidInput or TaskError naming each field that is wrong, and attaches nothing.
    """
    lock_branch(branch.pk)  # two tasks added at once get different keys and colours
    errors: dict[str, list[str]] = {}
    plugin = data = None
    cleaned: dict[str, Any] = {}
    try:
        plugin = registry.get(PluginKind.TASK, task_class)
        cleaned = clean_params(plugin.params, {} if params is None else params)
    except InvalidInput as error:
        errors.update(error.fields)
    try:
        data = dataset if isinstance(dataset, Dataset) else datasets.get(dataset)
    except InvalidInput as error:
        errors.update(error.fields)
    reads = None
    try:
        reads = parse_slice(latent_slice)
    except InvalidInput as error:
        errors.update(error.fields)
    siblings = list(branch.tasks.all())
    key = _free_key(name or _label(plugin), siblings)
    name = _free_name(name, usual_name(plugin, data, cleaned), siblings, errors)
    model = model_of(branch)
    spec = None
    try:
        spec = parse(
            TaskSpec,
            {
                "key": key,
                "name": name,
                "task_class": task_class,
                "dataset": data.slug if data else "unknown",
                "weight": weight,
                "enabled": enabled,
                "latent_slice": reads,
                "factor": factor or None,
                "params": cleaned,
                "source_sha256": plugin.source_id if plugin else "",
            },
        )
        _check_place(spec, model, plugin)
    except InvalidInput as error:
        errors.update({("latent_slice" if k == "__all__" else k): text for k, text in error.fields.items()})
    if plugin is not None and data is not None:
        try:
            check_compatible(plugin, data, model, cleaned)
        except InvalidInput as error:
            errors.update(error.fields)
    if errors or spec is None or data is None:
        raise TaskErrors(errors)
    task = Task.objects.create(
        branch=branch,
        key=spec.key,
        name=spec.name,
        task_class=task_class,
        dataset=data,
        weight=spec.weight,
        enabled=spec.enabled,
        latent_start=spec.latent_slice[0] if spec.latent_slice else None,
        latent_end=spec.latent_slice[1] if spec.latent_slice else None,
        factor=spec.factor or "",
        params=cleaned,
        position=max((sibling.position for sibling in siblings), default=-1) + 1,
        colour_slot=_colour_slot(siblings),
    )
    command_branch(actor=actor, branch=branch, kind="add_task", payload=_whole(task, spec))
    touch(f"tasks:{branch.pk}")
    return task


@unit_of_work()
def set_weight(*, actor: Any, task: Task, weight: float) -> Task:
    """Set the weight of a task, in a running job too; raises InvalidInput unless it is 0 or more."""
    _refuse_removed(task)
    spec = parse(TaskSpec, {**task_spec(task).model_dump(), "weight": weight})
    task.weight = spec.weight
    return _changed(actor, task, ["weight"], "set_weight", {"task": task.key, "weight": spec.weight})


@unit_of_work()
def set_enabled(*, actor: Any, task: Task, enabled: bool) -> Task:
    """Switch a task on or off, in a running job too; raises WrongState if a job were left with none."""
    _refuse_removed(task)
    if not enabled:
        _keep_one(task, "switched off")
    task.enabled = enabled
    return _changed(actor, task, ["enabled"], "set_enabled", {"task": task.key, "enabled": enabled})


@unit_of_work()
def change_task(*, actor: Any, task: Task, weight: Any = None, enabled: Any = None) -> Task:
    """Set the weight, the switch, or both or neither; raises InvalidInput or WrongState, and then changes nothing."""
    if enabled is not None and not isinstance(enabled, bool):
        raise InvalidInput({"enabled": f"{enabled!r} is neither true nor false"})
    if weight is not None:
        set_weight(actor=actor, task=task, weight=weight)
    if enabled is not None:
        set_enabled(actor=actor, task=task, enabled=enabled)
    return task


@unit_of_work()
def remove_task(*, actor: Any, task: Task) -> Task:
    """Take a task off its branch; its curve and key stay. Raises WrongState if a job were left with none."""
    _refuse_removed(task)
    _keep_one(task, "removed")
    task.removed_at = timezone.now()
    return _changed(actor, task, ["removed_at"], "remove_task", {"task": task.key})


@unit_of_work()
def restore_task(*, actor: Any, task: Task) -> Task:
    """Undo ``remove_task``; a name that another task has taken since gets a number.

    Raises WrongState unless the task was removed.
    """
    lock_branch(task.branch_id)
    task.refresh_from_db(fields=["removed_at"])
    if task.removed_at is None:
        raise WrongState({"removed_at": f"{task.name!r} is on its branch already; there is nothing to undo"})
    task.removed_at = None
    siblings = list(task.branch.tasks.exclude(pk=task.pk))
    task.name = _free_name("", task.name, siblings, {})
    return _changed(actor, task, ["removed_at", "name"], "add_task", _whole(task, task_spec(task)))


@unit_of_work()
def move_task(*, task: Task, position: Any) -> Task:
    """Put a task at a place in the order of its branch, 0 for the first; beyond the end it is the last.

    The order is one of display: a running job trains as before. Raises InvalidInput for a position that is no
    whole number of 0 or more, WrongState for a removed task.
    """
    try:
        place = Param(0, min=0, max=2**31 - 1).clean(position)
    except ValueError as error:
        raise InvalidInput({"position": str(error)}) from None
    lock_branch(task.branch_id)
    _refuse_removed(task)
    order = list(task.branch.tasks.filter(removed_at=None).exclude(pk=task.pk))
    order.insert(place, task)
    for index, each in enumerate(order):
        each.position = index
    Task.objects.bulk_update(order, ["position"])
    touch(f"tasks:{task.branch_id}")
    return task


@unit_of_work()
def withdraw_task(*, job: Job, key: str) -> Task | None:
    """Take a task off its branch that ``job`` could not take in, so that it leaves nothing behind; return it.

    Other jobs of the branch are told to let it go. None if it was removed meanwhile. The branch is locked
    before the job is.
    """
    assert job.branch is not None
    task = job.branch.tasks.filter(key=key, removed_at=None).first()
    if task is None:
        return None
    task.removed_at = timezone.now()
    task.save(update_fields=["removed_at"])
    others = Job.objects.active().filter(branch=job.branch, kind=JobKind.TRAIN).exclude(pk=job.pk)
    for other in others.order_by("pk"):
        command(actor=None, job=other, kind="remove_task", payload={"task": key})
    touch(f"tasks:{job.branch_id}")
    return task


def default_name(
    branch: Branch, plugin: Plugin | None, dataset: Dataset | None, params: Mapping[str, Any]
) -> str:
    """Return what a new task of this class, on this dataset, is called if nobody gives it a name."""
    return _free_name("", usual_name(plugin, dataset, params), list(branch.tasks.all()), {})


def usual_name(plugin: Plugin | None, dataset: Dataset | None, params: Mapping[str, Any]) -> str:
    """Return a task's target in words (``Stroke width``), its class for one that has none."""
    columns = target_columns(plugin, dataset) if plugin else []
    asked = params.get("target_name") or ""
    target = str(asked if asked in columns or not columns else columns[0]).replace("_", " ").strip()
    return f"{target[:1].upper()}{target[1:]}" if target else _label(plugin)


def _label(plugin: Plugin | None) -> str:
    return plugin.label if plugin else "task"


def target_columns(plugin: Plugin, dataset: Dataset | None) -> list[str]:
    """Return the target columns of a dataset that a class can learn."""
    kind = plugin.requires.get("target")
    return [target["name"] for target in (dataset.targets if dataset else []) if target["kind"] == kind]


class TaskErrors(TaskError):
    """A task that cannot be attached for more than one reason."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        InvalidInput.__init__(self, fields)


def check_compatible(plugin: Plugin, dataset: Dataset, model: ModelSpec, params: Mapping[str, Any]) -> None:
    """Raise TaskErrors unless a task of this class can work on the dataset and the model."""
    errors: dict[str, list[str]] = {}
    image = model.image
    have, need = (
        (dataset.channels, dataset.height, dataset.width),
        (image.channels, image.height, image.width),
    )
    if have != need:
        errors["dataset"] = [
            f"{dataset.slug!r} has images of {_size(have)}; this model reads {_size(need)} "
            "(channels x height x width)"
        ]
    for field, messages in check_dataset(plugin, dataset, params).items():
        errors.setdefault(field, messages)
    errors |= check_model(plugin, model)
    if errors:
        raise TaskErrors(errors)


def check_dataset(plugin: Plugin, dataset: Dataset, params: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what of a dataset's targets does not suit a class, field by field."""
    kind = plugin.requires.get("target")
    if not kind:
        return {}
    targets = {target["name"]: target["kind"] for target in dataset.targets}
    described = ", ".join(f"{name} ({kind})" for name, kind in targets.items()) or "no targets"
    chosen = params.get("target_name")
    if kind not in targets.values():
        return {
            "dataset": [
                f"{dataset.slug!r} has no {kind} target, and {plugin.name} needs one; it has {described}"
            ]
        }
    if chosen and targets.get(chosen) != kind:
        return {
            "params.target_name": [
                f"{chosen!r} is not a {kind} target of {dataset.slug!r}; it has {described}"
            ]
        }
    return {}


def check_model(plugin: Plugin, model: ModelSpec) -> dict[str, list[str]]:
    """Return why a class does not suit a model, field by field."""
    if plugin.requires.get("posterior") and not _has_posterior(model.architecture):
        return {
            "task_class": [
                f"{plugin.name} needs a model with a posterior (mean and variance), "
                f"and {model.architecture} has none; use a variational architecture"
            ]
        }
    return {}


def _has_posterior(architecture: str) -> bool:
    """Return whether an architecture is known to have a posterior, or nothing is known of it."""
    row = Plugin.objects.filter(kind=PluginKind.MODEL, name=architecture).first()
    return row is None or bool(row.requires.get("posterior", True))


def _check_place(spec: TaskSpec, model: ModelSpec, plugin: Plugin | None) -> None:
    """Raise InvalidInput when the latent range is out of range, cuts a factor in two, or is not for this class."""
    field = "factor" if spec.factor else "latent_slice"
    if plugin is not None and plugin.requires.get("whole_latent") and (spec.factor or spec.latent_slice):
        raise InvalidInput({field: f"{plugin.name} reads the whole latent; leave {field} empty"})
    start, end = spec.latent_range(model)
    if spec.latent_slice is None:
        return
    for group in model.ordered_groups:
        overlap = start < group.end and group.start < end
        nested = (group.start <= start and end <= group.end) or (start <= group.start and group.end <= end)
        if overlap and not nested:
            raise InvalidInput(
                latent_slice=f"{start}:{end} overlaps only a part of factor {group.name!r} "
                f"{group.start}:{group.end}; choose a range within, around or beside it, or the factor"
            )


def _changed(actor: Any, task: Task, fields: list[str], kind: CommandKind, payload: Payload) -> Task:
    lock_branch(task.branch_id)  # a job that is submitted meanwhile has the change, or is told of it
    task.save(update_fields=fields)
    command_branch(actor=actor, branch=task.branch, kind=kind, payload=payload)
    touch(f"tasks:{task.branch_id}")
    return task


def _refuse_removed(task: Task) -> None:
    lock_branch(task.branch_id)  # who removes it at the same moment is waited for
    if Task.objects.filter(pk=task.pk).exclude(removed_at=None).exists():
        raise WrongState({"removed_at": f"{task.name!r} was removed from its branch; restore it first"})


def _keep_one(task: Task, what: str) -> None:
    lock_branch(task.branch_id)
    running = Job.objects.active().filter(branch_id=task.branch_id, kind=JobKind.TRAIN).order_by("pk").first()
    others = Task.objects.filter(branch_id=task.branch_id, enabled=True, removed_at=None).exclude(pk=task.pk)
    if running is not None and not others.exists():
        raise WrongState(
            enabled=f"{task.name!r} is the last task that job {running.pk} trains "
            f"and cannot be {what}; switch on another first, or stop the job"
        )


def _whole(task: Task, spec: TaskSpec) -> AddTask:
    """Return all that a running job needs to take a task in."""
    return {
        "task": spec.model_dump(mode="json"),
        "dataset": dataset_spec(task.dataset).model_dump(mode="json"),
    }


def _free_name(name: str, label: str, siblings: list[Task], errors: dict[str, list[str]]) -> str:
    taken = {sibling.name for sibling in siblings if sibling.removed_at is None}
    if name:
        try:
            name = clean_name(name)
        except InvalidInput as error:
            errors.update(error.fields)
            return "task"
        if name in taken:
            errors["name"] = [f"{name!r} is already the name of a task of this branch; choose another"]
        return name
    base, number = label[: MAX_NAME_LENGTH - 4], 2
    name = base
    while name in taken:
        name, number = f"{base} {number}", number + 1
    return name


def _free_key(name: str, siblings: list[Task]) -> str:
    taken = {sibling.key for sibling in siblings}
    base, number = slugify(name)[:58].lstrip("_-") or "task", 2
    key = base
    while key in taken:
        key, number = f"{base}-{number}", number + 1
    return key


def _colour_slot(siblings: list[Task]) -> int:
    used = [sibling.colour_slot for sibling in siblings]
    return min(range(COLOUR_SLOTS), key=lambda slot: (used.count(slot), slot))


def _size(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))
