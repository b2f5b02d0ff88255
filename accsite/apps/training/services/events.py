"""The worker's side of commands: what is asked of its job, what became of it, and what the training tells by itself."""

from __future__ import annotations

from django.db import connection
from django.utils import timezone

from acc.training.losses import series
from acc.training.protocols import TASK_OFF, Alarm, Baseline, Command, CommandResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.services.unit import announce, touch, unit_of_work
from accsite.apps.training.models import Task
from accsite.apps.training.selectors.alarms import GRAVE, OVER
from accsite.apps.training.services.locks import lock_branch
from accsite.apps.training.services.steering import STEERING
from accsite.apps.training.services.tasks import withdraw_task


def pending_commands(job_id: int) -> list[Command]:
    """Return what was asked of a job and not yet answered, oldest first."""
    events = JobEvent.objects.filter(job_id=job_id, status=JobEvent.Status.PENDING).order_by("id")
    return [_command(event) for event in events]


class Pending:
    """Looks for what is asked of a job, many times a second beside a training: its SQL is made once.

    Django takes half a millisecond to make it, and all the while the training waits for the interpreter.
    """

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id
        waiting = JobEvent.objects.filter(job_id=job_id, status=JobEvent.Status.PENDING).order_by()
        self._sql, self._params = waiting.values("id")[:1].query.sql_with_params()

    def commands(self) -> list[Command]:
        """Return what ``pending_commands`` does."""
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._params)
            if cursor.fetchone() is None:
                return []
        return pending_commands(self._job_id)


def replay_commands(job_id: int, from_job_step: int) -> list[Command]:
    """Return the steering that was applied before or after step ``from_job_step``, each with its ``at_step``.

    A resume that goes on at that step applies them again at exactly the same steps.
    """
    events = JobEvent.objects.filter(
        job_id=job_id, status=JobEvent.Status.APPLIED, kind__in=STEERING, step__gte=from_job_step
    )
    return [_command(event, at_step=event.step) for event in events.order_by("step", "id")]


@unit_of_work()
def record_command_result(job_id: int, attempt: int, result: CommandResult) -> bool:
    """Write what became of a command; return False if it was answered before: an attempt that goes on applies it again.

    A task that the job could not take in is taken off its branch again, and one that it could not switch on is off
    there too. Raises Fenced when this attempt no longer holds the job.
    """
    asked = result.command
    unfit = asked.kind == "add_task" and not result.ok and result.field != "key"
    stays_off = asked.kind == "set_enabled" and not result.ok and asked.payload.get("enabled") is True
    if unfit or stays_off:
        branch_id = Job.objects.filter(pk=job_id).values_list("branch_id", flat=True).first()
        if branch_id is not None:
            lock_branch(branch_id)  # before the job, as everywhere
    job = Job.objects.select_for_update().held_by(attempt).filter(pk=job_id).first()
    if job is None:
        raise Fenced(job_id, attempt)
    status = JobEvent.Status.APPLIED if result.ok else JobEvent.Status.REFUSED
    message = f"{result.field}: {result.message}" if result.field else result.message
    answered = JobEvent.objects.filter(pk=result.command.id, job=job, status=JobEvent.Status.PENDING).update(
        status=status, message=message, step=result.step, applied_at=timezone.now()
    )
    if not answered:
        again = JobEvent.objects.filter(pk=result.command.id, job=job, status=JobEvent.Status.APPLIED)
        if result.ok and again.update(applied_at=timezone.now()):
            announce(job)
        return False
    announce(job)
    if unfit and job.branch_id:
        withdraw_task(job=job, key=str(result.command.payload["task"]["key"]))
    if stays_off and job.branch_id:
        Task.objects.filter(branch_id=job.branch_id, key=asked.payload["task"]).update(enabled=False)
    if result.command.kind in STEERING and job.branch_id:
        touch(f"tasks:{job.branch_id}")
    return True


@unit_of_work()
def record_alarm(job_id: int, attempt: int, alarm: Alarm) -> JobEvent:
    """Write an alarm of the trainer as an event; raises Fenced when this attempt no longer holds the job.

    A task that the trainer switched off since it failed is off on its branch from then on.
    """
    branch_id = None
    if alarm.kind == TASK_OFF:
        branch_id = Job.objects.filter(pk=job_id).values_list("branch_id", flat=True).first()
        if branch_id is not None:
            lock_branch(branch_id)  # before the job, as everywhere
    job = Job.objects.select_for_update().held_by(attempt).filter(pk=job_id).first()
    if job is None:
        raise Fenced(job_id, attempt)
    event = JobEvent.objects.create(
        job=job,
        kind="alarm",
        payload={"alarm": alarm.kind, "series": alarm.series} | ({OVER: True} if alarm.over else {}),
        message=alarm.message,
        step=alarm.step,
    )
    if branch_id is not None:
        key = series.task_key(alarm.series)
        Task.objects.filter(branch_id=branch_id, key=key).update(enabled=False)
        touch(f"tasks:{branch_id}")
    if alarm.kind in GRAVE and job.branch is not None:
        touch(f"checkpoints:{job.branch.experiment_id}")  # whose tree marks what is saved from then on
    announce(job)
    return event


@unit_of_work()
def record_baseline(job_id: int, attempt: int, task_key: str, baseline: Baseline) -> JobEvent:
    """Write what a task's trivial predictor loses, once for each task: a resume measures it again.

    The payload has ``task``, ``loss``, ``words`` and ``floor``. Raises Fenced when this attempt no longer holds
    the job.
    """
    job = Job.objects.select_for_update().held_by(attempt).filter(pk=job_id).first()
    if job is None:
        raise Fenced(job_id, attempt)
    payload = {
        "task": task_key,
        "loss": baseline.loss,
        "words": baseline.words,
        "floor": baseline.floor,
    }
    known = job.events.filter(kind="baseline", payload__task=task_key).first()
    if known is None:
        known = JobEvent.objects.create(
            job=job, kind="baseline", payload=payload, status=JobEvent.Status.RECORDED
        )
    elif known.payload != payload:
        known.payload = payload
        known.save(update_fields=["payload"])
    else:
        return known
    announce(job)
    return known


def _command(event: JobEvent, at_step: int | None = None) -> Command:
    return Command(event.pk, event.kind, event.payload, at_step)  # type: ignore[arg-type]
