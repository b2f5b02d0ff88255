"""Resumes a train job that failed or was stopped, at its newest checkpoint; its history stays one."""

from __future__ import annotations

from typing import Any

from acc.messages import AddTask
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.services.control import command
from accsite.apps.jobs.services.queueing import note
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.jobs.states import RESUMABLE, JobState
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.selectors.resuming import RESUMED, resume_point
from accsite.apps.training.services.code import require_code
from accsite.apps.training.services.locks import lock_branch
from accsite.apps.training.services.steering import STEERING
from accsite.apps.training.specs import dataset_spec, task_spec
from accsite.errors import WrongState


@unit_of_work()
def resume(*, actor: Any, job: Job) -> Job:
    """Return a failed or stopped train job, queued again to go on at its newest checkpoint.

    Its points up to there stay and the others are made anew. It trains what its branch trains now, by the newest
    source of each plugin: what was mended counts. Its learning rate is that of the checkpoint: one that was set later
    may be why it failed. Raises WrongState for a job of another kind or state, one that left no checkpoint, or one
    whose branch has moved on or is to be moved by another job.
    """
    if job.kind != JobKind.TRAIN or job.branch_id is None:
        raise WrongState(
            {"job": f"job {job.pk} is of kind '{job.kind}', which has no checkpoints; ask for it again"}
        )
    branch = lock_branch(job.branch_id)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state not in RESUMABLE:
        known = " and ".join(JobState(state).label for state in (JobState.FAILED, JobState.CANCELLED))
        raise WrongState(
            {"job": f"job {job.pk} is {job.get_state_display()}; only jobs that are {known} are resumed"}
        )
    point = resume_point(job)
    assert point is not None
    if point.refused or point.checkpoint is None:
        raise WrongState({"job": point.refused})
    checkpoint = point.checkpoint
    require_code([checkpoint], "job")
    mended = _mended(branch, job)
    spec = {**job.spec, "plugins": {**job.spec.get("plugins", {}), **mended}}
    words = f"resumed at step {checkpoint.job_step:,}, from checkpoint {checkpoint.pk}"
    if mended:
        words += f", with the source of {', '.join(sorted(mended))} as it is now"
    if taken := _take_back(job, checkpoint):
        words += f", with the {' and the '.join(taken)} of that step"
    if not lifecycle.queue_again(job, words, resume_checkpoint=checkpoint, spec=spec):
        raise WrongState({"job": f"job {job.pk} was resumed by somebody else at this moment"})
    payload = {"checkpoint": checkpoint.pk, "step": checkpoint.job_step, "plugins": mended}
    event = note(job.pk, RESUMED, payload, words, checkpoint.job_step)
    JobEvent.objects.filter(pk=event.pk).update(actor=actor)
    _ask_for_what_has_changed(actor, branch, job, checkpoint)
    touch(f"tasks:{branch.pk}")
    job.refresh_from_db()
    return job


def mended_plugins(job: Job, step: int) -> dict[str, str]:
    """Return class name -> sha256 of the source that takes an older one's place for who goes on at ``step``.

    A checkpoint that was made after a resume carries the source that was mended by then.
    """
    found: dict[str, str] = {}
    for payload in job.events.filter(kind=RESUMED).order_by("id").values_list("payload", flat=True):
        if payload.get("step", 0) >= step:
            found |= payload.get("plugins", {})
    return found


def _mended(branch: Branch, job: Job) -> dict[str, str]:
    """Return the plugins of a job whose source is another now: class name -> sha256."""
    classes = {task.task_class for task in branch.tasks.filter(removed_at=None)}
    classes |= {task["task_class"] for task in job.spec.get("tasks", [])}
    rows = Plugin.objects.filter(kind=PluginKind.TASK, name__in=classes) | Plugin.objects.filter(
        kind=PluginKind.MODEL, name=job.spec["model"]["architecture"]
    )
    before = job.spec.get("plugins", {})
    now = dict(rows.values_list("name", "source_id"))
    return {name: sha256 for name, sha256 in now.items() if sha256 and sha256 != before.get(name)}


OF_THE_JOB = {"set_lr": "learning rate", "set_clip": "clipping"}
"""Commands that change the job rather than one of its tasks, and what they change in words."""


def _take_back(job: Job, checkpoint: Checkpoint) -> list[str]:
    """Have what was changed after the checkpoint not applied again; return in words what of it is no task's.

    The tasks are those of the branch now, and commands tell the job what has changed in them.
    """
    events = job.events.filter(
        kind__in=STEERING, status=JobEvent.Status.APPLIED, step__gte=checkpoint.job_step
    )
    kinds = set(events.values_list("kind", flat=True))
    events.update(
        status=JobEvent.Status.RECORDED,
        message=f"taken back: the job went on from step {checkpoint.job_step:,}",
    )
    return [words for kind, words in OF_THE_JOB.items() if kind in kinds]


def _ask_for_what_has_changed(actor: Any, branch: Branch, job: Job, checkpoint: Checkpoint) -> None:
    """Write the commands that turn the tasks of the checkpoint into those of the branch."""
    before = {task["key"]: task for task in checkpoint.spec.get("tasks", [])}
    attached = {task.key: task for task in branch.tasks.filter(removed_at=None).select_related("dataset")}
    for key, task in attached.items():
        known = before.get(key)
        if known is None:
            payload: AddTask = {
                "task": task_spec(task).model_dump(mode="json"),
                "dataset": dataset_spec(task.dataset).model_dump(mode="json"),
            }
            command(actor=actor, job=job, kind="add_task", payload=payload)
            continue
        if task.weight != known["weight"]:
            command(actor=actor, job=job, kind="set_weight", payload={"task": key, "weight": task.weight})
        if task.enabled != known["enabled"]:
            command(actor=actor, job=job, kind="set_enabled", payload={"task": key, "enabled": task.enabled})
    for key in before.keys() - attached.keys():
        command(actor=actor, job=job, kind="remove_task", payload={"task": key})
