"""Makes the engine's specifications from rows."""

from __future__ import annotations

from acc.errors import InvalidInput
from acc.specs import DatasetSpec, ImageShape, ModelSpec, TargetSpec, TaskSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Task

COLOUR_SLOTS = 8
NO_MODEL = "it was tracked from a loop of one's own, and has weights alone"


def model_spec_of(checkpoint: Checkpoint, field: str = "checkpoint") -> ModelSpec:
    """Return the model of a checkpoint; raises InvalidInput(field) for weights alone."""
    spec = checkpoint.spec.get("model")
    if not spec:
        raise InvalidInput({field: f"the model of checkpoint {checkpoint.pk} is not known here: {NO_MODEL}"})
    return ModelSpec.model_validate(spec)


def model_of(branch: Branch) -> ModelSpec:
    """Return the model that a branch trains: its head's, which may have grown, or the experiment's own.

    Raises InvalidInput(branch) for one of a loop of one's own that told of none.
    """
    spec = branch.experiment.model_spec if branch.head is None else branch.head.spec.get("model")
    if not spec:
        raise InvalidInput(branch=f"the model of {branch} is not known here: {NO_MODEL}")
    return ModelSpec.model_validate(spec)


def task_spec(task: Task, source_sha256: str | None = None) -> TaskSpec:
    """Return the specification of a task; ``source_sha256`` defaults to its class's last good source."""
    if source_sha256 is None:
        rows = Plugin.objects.filter(kind=PluginKind.TASK, name=task.task_class)
        source_sha256 = rows.values_list("source_id", flat=True).first() or ""
    reads = (task.latent_start, task.latent_end)
    return TaskSpec(
        key=task.key,
        name=task.name,
        task_class=task.task_class,
        dataset=task.dataset.slug,
        weight=task.weight,
        enabled=task.enabled,
        latent_slice=(reads[0], reads[1]) if reads[0] is not None and reads[1] is not None else None,
        factor=task.factor or None,
        params=task.params,
        source_sha256=source_sha256,
    )


def task_of(branch: Branch, spec: TaskSpec, dataset: Dataset, position: int) -> Task:
    """Return an unsaved task as a specification has it, whatever its class has become since; the inverse of the above.

    position: its place in the order of the branch, from 0.
    """
    start, end = spec.latent_slice or (None, None)
    return Task(
        branch=branch,
        key=spec.key,
        name=spec.name[:80],
        task_class=spec.task_class,
        dataset=dataset,
        weight=spec.weight,
        enabled=spec.enabled,
        latent_start=start,
        latent_end=end,
        factor=spec.factor or "",
        params=spec.params,
        position=position,
        colour_slot=position % COLOUR_SLOTS,
    )


def dataset_spec(dataset: Dataset) -> DatasetSpec:
    """Return the specification of a dataset: identity by content, and its targets without statistics."""
    known = TargetSpec.model_fields
    return DatasetSpec(
        name=dataset.name,
        content_hash=dataset.content_hash,
        sha256=dataset.sha256,
        n=dataset.n,
        image=ImageShape(channels=dataset.channels, height=dataset.height, width=dataset.width),
        targets=tuple(
            TargetSpec.model_validate({key: value for key, value in target.items() if key in known})
            for target in dataset.targets
        ),
        units=dataset.units,
    )
