"""Checkpoints that workers hand in: the file first, then the row that names it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction

from accsite import blobs
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.unit import announce, touch, unit_of_work
from accsite.apps.training.errors import Gap
from accsite.apps.training.models import Checkpoint, CheckpointKind
from accsite.apps.training.services.measuring import evaluate_on_the_way

FOLDER = "checkpoints"
AUTOSAVES_KEPT = 2


def record(
    job_id: int,
    attempt: int,
    file: Path | str,
    *,
    kind: str,
    job_step: int,
    global_step: int,
    sha256: str,
    losses: dict[str, float],
    spec: dict[str, Any] | None = None,
) -> Checkpoint:
    """Move a checkpoint's file into storage and return its row; the job resumes from it from now on.

    ``job_step`` updates were made by the job, ``global_step`` since the root. ``spec``: the specification as
    it stood then (tasks may have changed since the job was submitted; default: the job's). An autosave
    replaces those older than the one before it, and is previewed unless its branch is being measured already.
    Called again after a lost answer, it returns the row it made. Raises Fenced when this attempt no longer
    holds the job, Gap when the loss points that lead to the checkpoint are not kept yet.
    """
    if not Job.objects.filter(pk=job_id).held_by(attempt).exists():
        raise Fenced(job_id, attempt)
    name, size_bytes = store(Path(file), sha256)
    try:
        return _record(
            job_id,
            attempt,
            name,
            kind=kind,
            job_step=job_step,
            step=global_step,
            sha256=sha256,
            size_bytes=size_bytes,
            losses=losses,
            spec=spec,
        )
    except Fenced:
        delete_unused(name)
        raise


@unit_of_work()
def _record(
    job_id: int, attempt: int, name: str, *, spec: dict[str, Any] | None, **fields: Any
) -> Checkpoint:
    job = Job.objects.select_for_update().held_by(attempt).filter(pk=job_id, kind=JobKind.TRAIN).first()
    if job is None or job.branch is None:
        raise Fenced(job_id, attempt)
    if job.step < fields["job_step"]:
        raise Gap(
            f"a checkpoint at step {fields['job_step']} came for job {job_id}, "
            f"whose loss points end before step {job.step}"
        )
    same = {name: fields[name] for name in ("kind", "job_step", "sha256")}
    known = Checkpoint.objects.filter(job=job, **same).first()
    if known is not None:
        return known
    checkpoint = Checkpoint.objects.create(
        experiment_id=job.branch.experiment_id,
        branch=job.branch,
        parent=job.start_checkpoint,
        job=job,
        file=name,
        spec=job.spec if spec is None else spec,
        created_by=job.created_by,
        **fields,
    )
    Job.objects.filter(pk=job.pk).update(resume_checkpoint=checkpoint)
    if checkpoint.kind == CheckpointKind.AUTOSAVE:
        drop_autosaves(job, keep=AUTOSAVES_KEPT)
        evaluate_on_the_way(checkpoint, job.created_by)
    touch(f"checkpoints:{job.branch.experiment_id}")
    announce(job)
    return checkpoint


def drop_autosaves(job: Job, *, keep: int) -> None:
    """Delete all but the newest ``keep`` autosaves of a job; one that something depends on stays."""
    autosaves = Checkpoint.objects.filter(job=job, kind=CheckpointKind.AUTOSAVE)
    newest = list(autosaves.order_by("-job_step", "-id").values_list("pk", flat=True)[:keep])
    others = Job.objects.active().exclude(pk=job.pk)
    old = (
        autosaves.exclude(pk__in=newest)
        .filter(starred=False, tag="", children=None, head_of=None, forks=None)
        .exclude(pk__in=others.exclude(checkpoint=None).values("checkpoint"))
        .exclude(pk__in=others.exclude(start_checkpoint=None).values("start_checkpoint"))
    )
    for checkpoint in old:
        name = checkpoint.file
        checkpoint.delete()
        transaction.on_commit(partial(delete_unused, name), robust=True)


def store(path: Path, sha256: str) -> tuple[str, int]:
    """Return the stored name and the size in bytes; one that an earlier try moved is found again."""
    if path.exists():
        size_bytes = path.stat().st_size
        return blobs.store(path, FOLDER, sha256), size_bytes
    name = f"{FOLDER}/{sha256}.safetensors"
    return name, default_storage.size(name)


def delete_unused(name: str) -> None:
    """Remove a stored file that no checkpoint needs: none that is there, and none that may be restored."""
    if not Checkpoint.everything.filter(file=name, weights_pruned_at=None).exists():
        blobs.delete(name)
