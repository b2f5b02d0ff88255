"""Grows trained models: an ``expand`` job makes a larger checkpoint under the one that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction

from acc.errors import InvalidInput
from acc.expansion import STAGES, ExpansionSpec, clean_expansion, grown
from acc.params import clean_params
from acc.specs import ModelSpec
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import queueing
from accsite.apps.jobs.services.unit import announce, touch, unit_of_work
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Task
from accsite.apps.training.services import checkpoints, measuring
from accsite.apps.training.services.branches import refuse_while_busy
from accsite.apps.training.services.code import require_code
from accsite.apps.training.services.experiments import copies_of_tasks, free_branch_slug
from accsite.apps.training.services.intact import require_intact
from accsite.apps.training.services.locks import lock_branch, lock_experiment
from accsite.apps.training.specs import model_spec_of
from accsite.errors import WrongState


@unit_of_work()
def submit_expansion(
    *,
    actor: Any,
    checkpoint: Checkpoint,
    expansion: Mapping[str, Any],
    branch_name: str | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that grows a checkpoint's model; the checkpoint itself stays as it is.

    ``expansion``: ``acc.expansion.ExpansionSpec`` as plain data. With ``branch_name`` the result begins a new
    branch, with the tasks that the checkpoint was trained with; without, it becomes the head of the
    checkpoint's branch, whose head the checkpoint must be. Raises InvalidInput naming each wrong field,
    WrongState while the branch is busy or for a checkpoint that was deleted or pruned.
    """
    if idempotency_key:
        known = Job.objects.filter(created_by=actor, idempotency_key=idempotency_key).first()
        if known is not None:
            return known
    lock_experiment(checkpoint.experiment_id)
    spec = clean_expansion(expansion)
    check_grows(model_spec_of(checkpoint), spec)
    require_intact(checkpoint, "checkpoint")
    require_code([checkpoint], "checkpoint")
    if branch_name is not None:
        branch_name, _ = free_branch_slug(checkpoint.experiment, branch_name)
    else:
        branch = lock_branch(checkpoint.branch_id)
        _refuse_unless_head(branch, checkpoint)
        refuse_while_busy(branch, "checkpoint")
    return queueing.enqueue(
        JobKind.EXPAND,
        title=f"Expand {checkpoint.branch} at step {checkpoint.step:,}: {spec.words}"[:160],
        branch=checkpoint.branch,
        checkpoint=checkpoint,
        spec={"expansion": spec.model_dump(mode="json"), "branch_name": branch_name},
        created_by=actor,
        idempotency_key=idempotency_key or None,
    )


def check_grows(model: ModelSpec, expansion: ExpansionSpec) -> ModelSpec | None:
    """Return the larger model, or None for an architecture that only its plugin knows.

    Raises InvalidInput when it cannot grow there, or not so far.
    """
    if model.architecture not in STAGES:
        return None
    larger = grown(model, expansion)
    declared = Plugin.objects.filter(kind=PluginKind.MODEL, name=model.architecture).first()
    if declared is not None:
        known = {param["name"] for param in declared.params}
        changed = {name: value for name, value in larger.params.items() if name in known}
        try:
            clean_params(declared.params, changed)
        except InvalidInput as error:
            raise InvalidInput({"amount": [m for each in error.fields.values() for m in each]}) from None
    return larger


def record_expansion(
    job_id: int,
    attempt: int,
    file: Path,
    *,
    sha256: str,
    spec: Mapping[str, Any],
) -> Checkpoint:
    """Move the grown checkpoint's file into storage and return its row, the head of its branch.

    Called again after a lost answer, it returns the row it made. Raises Fenced when this attempt no longer
    holds the job, WrongState when the branch has moved on meanwhile, InvalidInput when its name is taken.
    """
    if not Job.objects.filter(pk=job_id).held_by(attempt).exists():
        raise Fenced(job_id, attempt)
    name, size_bytes = checkpoints.store(file, sha256)
    try:
        return _record(job_id, attempt, name, sha256=sha256, size_bytes=size_bytes, spec=dict(spec))
    except (Fenced, InvalidInput):
        checkpoints.delete_unused(name)
        raise


@unit_of_work()
def _record(
    job_id: int, attempt: int, file: str, *, sha256: str, size_bytes: int, spec: dict[str, Any]
) -> Checkpoint:
    found = Job.objects.select_related("checkpoint").get(pk=job_id)
    parent = found.checkpoint
    if parent is None:
        raise InvalidInput({"checkpoint": "the checkpoint to expand does not exist any more"})
    experiment = lock_experiment(parent.experiment_id)
    branch = lock_branch(parent.branch_id)
    job = Job.objects.select_for_update().held_by(attempt).filter(pk=job_id, kind=JobKind.EXPAND).first()
    if job is None:
        raise Fenced(job_id, attempt)
    known = Checkpoint.objects.filter(job=job, sha256=sha256).first()
    if known is not None:
        return known
    name = job.spec.get("branch_name")
    if name is not None:
        name, slug = free_branch_slug(experiment, name)
        try:
            with transaction.atomic():
                branch = Branch.objects.create(
                    experiment=experiment, name=name, slug=slug, forked_from=parent, created_by=job.created_by
                )
        except IntegrityError:
            raise InvalidInput({"branch_name": f"{name!r} is already the name of a branch"}) from None
        Task.objects.bulk_create(copies_of_tasks(branch, experiment, parent))
    else:
        _refuse_unless_head(branch, parent)
    made = Checkpoint.objects.create(
        experiment=experiment,
        branch=branch,
        parent=parent,
        job=job,
        kind=CheckpointKind.EXPANDED,
        step=parent.step,
        job_step=0,
        file=file,
        sha256=sha256,
        size_bytes=size_bytes,
        spec=spec,
        losses={},  # those of its parent were measured of another model; its own come with its evaluation
        note=ExpansionSpec.model_validate(job.spec["expansion"]).words,
        created_by=job.created_by,
    )
    Branch.objects.filter(pk=branch.pk).update(head=made)
    Job.objects.filter(pk=job.pk).update(result={"checkpoint": made.pk, "branch": branch.pk})
    measuring.evaluate_the_end(made, job.created_by)
    touch("experiments", f"checkpoints:{experiment.pk}", f"tasks:{branch.pk}")
    announce(job)
    return made


def _refuse_unless_head(branch: Branch, checkpoint: Checkpoint) -> None:
    if branch.head_id == checkpoint.pk:
        return
    stands = f"its head is checkpoint {branch.head_id}" if branch.head_id else "it has no head"
    raise WrongState(
        branch_name=f"checkpoint {checkpoint.pk} is not the head of {branch} ({stands}); "
        "name a new branch for the expanded model"
    )
