"""Duplicates branches: the same tasks and settings, trained anew from the same start."""

from __future__ import annotations

from typing import Any

from acc.specs import ModelSpec
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Task
from accsite.apps.training.services.branches import check_tasks
from accsite.apps.training.services.experiments import NO_TASKS, create_branch
from accsite.apps.training.services.locks import lock_branch, lock_experiment
from accsite.names import MAX_NAME_LENGTH, same_name

GIVEN = (CheckpointKind.IMPORTED, CheckpointKind.EXPANDED)
"""What a branch can begin with although it was not forked from it: it came from elsewhere, or was grown for it."""


@unit_of_work()
def duplicate_branch(*, actor: Any, branch: Branch, name: str | None = None) -> Branch:
    """Return a new branch of the experiment that begins where ``branch`` began.

    It has the tasks that the branch has now (keys, weights, switches, parameters, order and colours included) and is
    measured by itself when the branch is. It has no checkpoints, jobs or measurements of its own, and none of the
    limits of metrics that were set for the branch; the form of its first training holds the defaults. ``name``: None
    for a free one. Raises InvalidInput naming each wrong field (name; ``tasks`` where one reads what the model had
    not yet at the start), WrongState where the start was deleted or pruned; then nothing is made.
    """
    lock_experiment(branch.experiment_id)
    branch = lock_branch(branch.pk)
    start = start_of(branch)
    model = branch.experiment.model_spec if start is None else start.spec.get("model")
    if model:  # a branch of a loop of one's own, whose model is not known here, has no tasks to check
        check_tasks(branch, ModelSpec.model_validate(model), field="tasks")
    made = create_branch(
        actor=actor,
        experiment=branch.experiment,
        name=name_of_copy(branch) if name is None else name,
        from_checkpoint=start,
        tasks=NO_TASKS,
    )
    copies = list(branch.tasks.filter(removed_at=None))
    for task in copies:
        task.pk, task.branch = None, made
        task._state.adding = True
    Task.objects.bulk_create(copies)
    made.auto_evaluate, made.evaluate_every = branch.auto_evaluate, branch.evaluate_every
    made.save(update_fields=["auto_evaluate", "evaluate_every"])
    return made


def start_of(branch: Branch) -> Checkpoint | None:
    """Return the checkpoint that a branch began with; None for the model as its seed makes it."""
    first = Checkpoint.objects.filter(branch=branch).order_by("pk").first()
    return first if first is not None and first.kind in GIVEN else branch.forked_from


def name_of_copy(branch: Branch) -> str:
    """Return a free name for a copy of a branch: ``main copy``, then ``main copy 2``."""
    taken = {same_name(name) for name in branch.experiment.branches.values_list("name", flat=True)}
    base = f"{branch.name[: MAX_NAME_LENGTH - len(' copy 9999')]} copy"
    return next(
        name for name in (base, *(f"{base} {i}" for i in range(2, 10_000))) if same_name(name) not in taken
    )
