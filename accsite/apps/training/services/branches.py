"""Moves a branch's head to a checkpoint of its experiment, and renames branches."""

from __future__ import annotations

from typing import Any

import structlog

from acc.errors import InvalidInput
from acc.specs import ModelSpec
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.selectors.resuming import growing
from accsite.apps.training.services.intact import require_intact
from accsite.apps.training.services.locks import lock_branch, lock_experiment
from accsite.apps.training.specs import model_spec_of, task_spec
from accsite.errors import WrongState
from accsite.names import clean_name, free_address

log = structlog.get_logger(__name__)


@unit_of_work()
def load_checkpoint(*, actor: Any, branch: Branch, checkpoint: Checkpoint) -> Branch:
    """Return the branch with ``checkpoint`` as its head: the next training goes on from there.

    Raises WrongState while a job trains or expands the branch, InvalidInput for a checkpoint of another
    experiment, one whose file is damaged, or one whose model lacks what a task of the branch reads.
    """
    lock_experiment(branch.experiment_id)
    current = lock_branch(branch.pk)
    if checkpoint.experiment_id != current.experiment_id:
        raise InvalidInput(
            checkpoint=f"checkpoint {checkpoint.pk} belongs to another experiment; "
            f"choose one of {current.experiment.name}"
        )
    refuse_while_busy(current, "checkpoint")
    require_intact(checkpoint, "checkpoint")
    check_tasks(current, model_spec_of(checkpoint), field="checkpoint")
    Branch.objects.filter(pk=current.pk).update(head=checkpoint)
    touch("experiments", f"checkpoints:{current.experiment_id}", f"tasks:{current.pk}")
    branch.head = current.head = checkpoint
    log.info("head_moved", branch=current.pk, checkpoint=checkpoint.pk, by=str(actor or ""))
    return current


@unit_of_work()
def rename_branch(*, actor: Any, branch: Branch, name: str) -> Branch:
    """Return the branch under another name; its address follows. Raises InvalidInput(name)."""
    lock_experiment(branch.experiment_id)
    name = clean_name(name)
    others = Branch.objects.filter(experiment=branch.experiment_id).exclude(pk=branch.pk)
    what = f"a branch of {branch.experiment.name}"
    slug = free_address(name, others.values_list("name", "slug"), what, otherwise="branch")
    branch.name, branch.slug = name, slug
    branch.save(update_fields=["name", "slug"])
    log.info("branch_renamed", branch=branch.pk, name=name, by=str(actor or ""))
    touch("experiments", f"checkpoints:{branch.experiment_id}")
    return branch


def refuse_while_busy(branch: Branch, field: str) -> None:
    """Raise WrongState(field) while a job is to move the head of the branch; the branch's row is locked."""
    refuse_while_expanding(branch, field)
    busy = Job.objects.active().filter(branch=branch, kind=JobKind.TRAIN).order_by("pk").first()
    if busy is None:
        return
    raise WrongState(
        {
            field: f"job {busy.pk} trains {branch} and will move its head; stop it, wait for it, or fork instead"
        }
    )


def refuse_while_expanding(branch: Branch, field: str = "branch") -> None:
    """Raise WrongState(field) while a job grows the model of the branch's head; the branch's row is locked."""
    busy = growing(branch)
    if busy is not None:
        raise WrongState(
            {field: f"job {busy.pk} expands {branch} and will move its head; wait for it, or stop it first"}
        )


def check_tasks(branch: Branch, model: ModelSpec, *, field: str) -> None:
    """Raise InvalidInput(field) if a task of the branch reads what a checkpoint's model does not have."""
    for task in branch.tasks.filter(removed_at=None).select_related("dataset"):
        try:
            task_spec(task, "").latent_range(model)
        except InvalidInput as error:
            (why,) = next(iter(error.fields.values()))[:1]
            raise InvalidInput(
                {
                    field: f"task {task.name!r} of {branch} does not fit its model: {why}; remove the task first"
                }
            ) from None
