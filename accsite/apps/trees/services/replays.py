"""Replays: a ``replay`` job runs again all that led to a checkpoint, and says whether it comes to the same."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Checkpoint, CheckpointKind
from accsite.apps.training.services.code import require_code
from accsite.apps.training.services.locks import lock_experiment
from accsite.errors import WrongState


def why_not_replay(checkpoint: Checkpoint) -> str:
    """Return why a checkpoint can never be replayed; empty if it can."""
    made_by = checkpoint.job
    outside = made_by is not None and made_by.kind == JobKind.TRACK
    return "its steps were made by a loop outside of ACC, which cannot be run again here" if outside else ""


@unit_of_work()
def submit_replay(
    *,
    actor: Any,
    checkpoint: Checkpoint,
    current_plugins: Any = False,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that replays the line of a checkpoint, or one that is about to do just that.

    current_plugins: with the plugins as they are now instead of as they were. What was trained on a GPU is
    replayed by the workers that train, the rest by those of the ``default`` queue; the tree stays as it is.
    Raises InvalidInput (current_plugins), WrongState (checkpoint) for one that was deleted, or that a job led to
    which is not on record any more.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    if not isinstance(current_plugins, bool):
        raise InvalidInput({"current_plugins": f"{current_plugins!r} is neither true nor false"})
    lock_experiment(checkpoint.experiment_id)
    if not Checkpoint.objects.filter(pk=checkpoint.pk).exists():
        raise WrongState({"checkpoint": f"checkpoint {checkpoint.pk} was deleted; restore it first"})
    line = _line(checkpoint)
    for node in line:
        if why := why_not_replay(node):
            raise WrongState({"checkpoint": f"checkpoint {node.pk} cannot be replayed: {why}"})
    queue, device = _place([_job_of(node, checkpoint) for node in line])
    require_code(line, "checkpoint")
    spec = {"current_plugins": current_plugins, "device": device}
    same = Job.objects.active().filter(kind=JobKind.REPLAY, checkpoint=checkpoint)
    for job in same.order_by("pk"):
        if job.spec == spec:
            return job
    touch(f"checkpoints:{checkpoint.experiment_id}")
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.REPLAY,
        queue=queue,
        title=f"Replay {checkpoint.branch} to step {checkpoint.step:,}"[:160],
        branch=checkpoint.branch,
        checkpoint=checkpoint,
        spec=spec,
    )


def _line(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Return the checkpoints from the root to this one, with their jobs but without what these were asked."""
    tree = Checkpoint.objects.filter(experiment=checkpoint.experiment_id).order_by()
    parents = dict(tree.values_list("pk", "parent_id"))
    ids: list[int] = []
    above: int | None = checkpoint.pk
    while above is not None:
        ids.append(above)
        above = parents.get(above)
    rows = tree.select_related("job").defer("job__spec").in_bulk(ids)
    return [rows[pk] for pk in reversed(ids)]


def _job_of(node: Checkpoint, asked: Checkpoint) -> Job | None:
    """Return the job that made a node, None for an imported one; raises WrongState where it is not on record."""
    if node.job is None and node.kind != CheckpointKind.IMPORTED:
        why = f"the job that made checkpoint {node.pk} is not on record any more"
        raise WrongState({"checkpoint": f"checkpoint {asked.pk} cannot be replayed: {why}"})
    return node.job


def _place(line: list[Job | None]) -> tuple[str, str]:
    """Return queue and device for the replay of these jobs: a GPU where one was used and a worker has one."""
    if not any(job is not None and job.device.startswith("cuda") for job in line):
        return kinds.queue_of(JobKind.REPLAY), "cpu"
    queue = kinds.queue_of(JobKind.TRAIN)
    online = Worker.objects.filter(state=Worker.State.ONLINE, device__startswith="cuda")
    return queue, "cuda" if any(queue in worker.queues for worker in online) else "auto"
