"""What the panel of tasks and its form show: the rows, what a running job said to each change, what fits where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from acc.specs import ModelSpec, TrainSpec
from acc.training.losses import health, series
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import TRAININGS, JobEvent, JobKind
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages.jobs import reads
from accsite.apps.training.selectors.loss import last_points
from accsite.apps.training.selectors.steered import in_force
from accsite.apps.training.selectors.tasks import source_removed, with_source_removed
from accsite.apps.training.services.steering import STEERING
from accsite.apps.training.services.tasks import check_dataset, check_model
from accsite.apps.training.specs import task_spec
from accsite.numbers import exact

UNDO_SECONDS = 10
RECENT_COMMANDS = 200
SCALE_STEPS = 100
"""The slider of a weight: 0 is 0, and 1 to 100 go by powers of ten from about 0.0001 to 100."""


@dataclass
class TaskRow:
    """A task as the panel shows it: ``reads`` is its part of the latent, ``weight`` the text of the field.

    ``scale``: where the slider stands. ``said``: what a running job made of the newest change, in words, and
    ``answer`` the status of that command. ``open``: the task is shown with all that can be done to it.
    ``source_removed``: its class is gone from the plugins; it is trained on from the source that was kept. ``losses``:
    of an open one the names of its losses in the newest training, if it returns several.
    """

    task: Task
    label: str
    reads: str
    weight: str
    scale: int
    source_removed: bool
    position: int = 0
    last: bool = False
    open: bool = False
    said: str = ""
    answer: str = ""
    error: str = ""
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A class or a dataset as the form offers it; ``why_not`` says in a few words why it cannot be chosen."""

    value: str
    label: str
    why_not: str = ""


def tasks(branch: Branch, opened: Iterable[str] = ()) -> list[TaskRow]:
    """Return the tasks of a branch in their order; ``opened``: ids of those shown with all they have."""
    labels = dict(Plugin.objects.filter(kind=PluginKind.TASK).values_list("name", "label"))
    attached = list(
        with_source_removed(branch.tasks.filter(removed_at__isnull=True).select_related("dataset"))
    )
    answers = newest_commands(branch)
    wanted = set(opened)
    losses = _losses_by_name(branch) if wanted else {}
    return [
        TaskRow(
            task,
            label=labels.get(task.task_class, task.task_class),
            reads=reads(task),
            weight=exact(task.weight),
            scale=scale_of(task.weight),
            source_removed=source_removed(task),
            position=position,
            last=position == len(attached) - 1,
            open=str(task.pk) in wanted,
            said=said(answers.get(task.key)),
            answer=answers[task.key].status if task.key in answers else "",
            losses=losses.get(task.key, ()),
        )
        for position, task in enumerate(attached)
    ]


def _losses_by_name(branch: Branch) -> dict[str, tuple[str, ...]]:
    """Return task key -> the names of the losses that it returned in the newest training of a branch."""
    job = branch.jobs.filter(kind__in=TRAININGS).order_by("-pk").first()
    parts = [series.part_of(name) for name in last_points(job)] if job else []
    found: dict[str, tuple[str, ...]] = {}
    for key, name in sorted(filter(None, parts)):
        found[key] = (*found.get(key, ()), name)
    return found


def scale_of(weight: float) -> int:
    """Return where the slider of a weight stands, 0 to SCALE_STEPS."""
    if weight <= 0:
        return 0
    return min(SCALE_STEPS, max(1, round((math.log10(weight) + 4) / 6 * SCALE_STEPS)))


def newest_commands(branch: Branch) -> dict[str, JobEvent]:
    """Return task key -> the newest command about it to a job of the branch that is still to end."""
    jobs = branch.jobs.active().filter(kind=JobKind.TRAIN)
    found = JobEvent.objects.filter(job__in=jobs, kind__in=STEERING).order_by("-id")[:RECENT_COMMANDS]
    newest: dict[str, JobEvent] = {}
    for event in found:
        newest.setdefault(key_of(event), event)
    return newest


def key_of(event: JobEvent) -> str:
    """Return the key of the task that a command is about; empty for none."""
    task = event.payload.get("task") if isinstance(event.payload, dict) else None
    return str((task.get("key") if isinstance(task, dict) else task) or "")


def said(event: JobEvent | None) -> str:
    """Return in words what a job made of a command."""
    if event is None:
        return ""
    if event.status == JobEvent.Status.PENDING:
        return f"waiting for job {event.job_id}"
    if event.status == JobEvent.Status.REFUSED:
        return f"job {event.job_id} refused: {event.message}"
    return f"applied at step {event.step:,}" if event.step is not None else "applied"


def just_removed(branch: Branch) -> list[Task]:
    """Return the tasks whose removal can still be undone from the page."""
    since = timezone.now() - timedelta(seconds=UNDO_SECONDS)
    refused = {key_of(event) for event in refused_additions(branch)}
    return [task for task in branch.tasks.filter(removed_at__gt=since) if task.key not in refused]


def refused_additions(branch: Branch) -> list[JobEvent]:
    """Return the refusals of tasks that a job of the branch, still to end, would not take in."""
    newest = newest_commands(branch).values()
    return [event for event in newest if event.kind == "add_task" and event.status == JobEvent.Status.REFUSED]


def refused_tasks(branch: Branch) -> list[tuple[Task, str]]:
    """Return the tasks that a running job would not take in and that are not attached since, with the reason."""
    by_key = {key_of(event): event.message for event in refused_additions(branch)}
    return [
        (task, by_key[task.key]) for task in branch.tasks.filter(key__in=by_key, removed_at__isnull=False)
    ]


def lone_weight(branch: Branch, rows: list[TaskRow]) -> str:
    """Return what the weight of the only task that trains changes, if that is nothing or next to it; '' otherwise.

    The answer is for the way in which the branch was trained last.
    """
    alone = [row.task for row in rows if row.task.enabled]
    if len(alone) != 1:
        return ""
    job = branch.jobs.filter(kind=JobKind.TRAIN).order_by("-id").first()
    asked = (
        {**(job.spec.get("train") or {}), "grad_clip_norm": in_force(job, "grad_clip_norm")} if job else {}
    )
    train = TrainSpec.model_validate(
        {"steps": 1, **{name: value for name, value in asked.items() if name in TrainSpec.model_fields}}
    )
    return health.weight_has_no_effect([task_spec(alone[0])], train)


def class_choices(model: ModelSpec) -> list[Choice]:
    """Return the task classes that can be chosen now; those that the model does not suit say why."""
    found = []
    for plugin in Plugin.objects.filter(kind=PluginKind.TASK, available=True).order_by("label", "name"):
        unfit = check_model(plugin, model)
        found.append(Choice(plugin.name, plugin.label, "needs a model with a posterior" if unfit else ""))
    return found


def dataset_choices(plugin: Plugin | None, model: ModelSpec) -> list[Choice]:
    """Return all datasets; those that do not suit the class or the model say why."""
    return [
        Choice(dataset.slug, dataset.name, why_not(plugin, dataset, model))
        for dataset in Dataset.objects.order_by("name")
    ]


def why_not(plugin: Plugin | None, dataset: Dataset, model: ModelSpec) -> str:
    """Return in a few words why a dataset is not for a class and a model; empty if it is."""
    image = model.image
    if (dataset.channels, dataset.height, dataset.width) != (image.channels, image.height, image.width):
        return (
            f"its images are {dataset.channels} x {dataset.height} x {dataset.width}, "
            f"the model reads {image.channels} x {image.height} x {image.width}"
        )
    if plugin is not None and check_dataset(plugin, dataset, {}):
        return f"it has no {plugin.requires['target']} target"
    return ""


def target_columns(plugin: Plugin, dataset: Dataset | None) -> list[str]:
    """Return the target columns of a dataset that a class can learn."""
    kind = plugin.requires.get("target")
    return [target["name"] for target in (dataset.targets if dataset else []) if target["kind"] == kind]
