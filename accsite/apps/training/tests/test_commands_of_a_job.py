"""What is asked of a running job is answered once, and asked again at its step after a resume."""

from __future__ import annotations

import pytest

from acc.training.protocols import TASK_OFF, Alarm, CommandResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import events, jobs, tasks
from accsite.apps.training.tests import rows


@pytest.fixture
def job(branch: Branch, task: Task) -> Job:
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1)


def test_pending_commands_come_in_order_until_they_are_answered(user, job: Job, task: Task) -> None:
    jobs.request_control(actor=user, job=job, kind="pause")
    tasks.set_weight(actor=user, task=task, weight=2)
    first, second = events.pending_commands(job.pk)
    assert (first.kind, second.kind, second.payload) == (
        "pause",
        "set_weight",
        {"task": "reconstruction", "weight": 2.0},
    )
    assert events.record_command_result(job.pk, 1, CommandResult(first, 12, ok=True))
    assert events.pending_commands(job.pk) == [second]
    events.record_command_result(
        job.pk, 1, CommandResult(second, 13, ok=False, message="no such task", field="task")
    )
    assert events.pending_commands(job.pk) == []
    rows_ = list(JobEvent.objects.order_by("id").values_list("status", "step", "message"))
    assert rows_ == [("APPLIED", 12, ""), ("REFUSED", 13, "task: no such task")]


@pytest.mark.both_databases
def test_who_looks_again_and_again_finds_the_same(user, job: Job, task: Task) -> None:
    pending = events.Pending(job.pk)
    assert pending.commands() == []
    jobs.request_control(actor=user, job=job, kind="pause")
    tasks.set_weight(actor=user, task=task, weight=2)
    asked = pending.commands()
    assert asked == events.pending_commands(job.pk)
    assert [command.kind for command in asked] == ["pause", "set_weight"]
    for command in asked:
        events.record_command_result(job.pk, 1, CommandResult(command, 3, ok=True))
    assert pending.commands() == []


def test_a_command_is_answered_once(user, job: Job) -> None:
    jobs.request_control(actor=user, job=job, kind="set_lr", payload={"lr": "0.01"})
    (command,) = events.pending_commands(job.pk)
    assert command.payload == {"lr": 0.01}
    assert events.record_command_result(job.pk, 1, CommandResult(command, 5, ok=True))
    assert not events.record_command_result(job.pk, 1, CommandResult(command, 9, ok=True))
    assert JobEvent.objects.get().step == 5


def test_a_resume_replays_steering_from_its_step_on_and_never_a_pause_or_stop(user, job: Job) -> None:
    for kind, payload, step in (
        ("set_lr", {"lr": 0.1}, 10),
        ("pause", {}, 25),
        ("resume", {}, 25),
        ("set_lr", {"lr": 0.2}, 20),
        ("set_lr", {"lr": 0.3}, 30),
        ("stop", {}, 30),
    ):
        event = jobs.request_control(actor=user, job=job, kind=kind, payload=payload)
        (command,) = events.pending_commands(job.pk)
        assert command.id == event.pk
        events.record_command_result(job.pk, 1, CommandResult(command, step, ok=True))
    again = events.replay_commands(job.pk, 20)
    assert [(command.kind, command.payload, command.at_step) for command in again] == [
        ("set_lr", {"lr": 0.2}, 20),
        ("set_lr", {"lr": 0.3}, 30),
    ]


def test_an_alarm_is_an_event_on_the_chart(job: Job) -> None:
    events.record_alarm(job.pk, 1, Alarm("nan", 77, "raw/digit is not a number at step 77", "raw/digit"))
    event = JobEvent.objects.get()
    assert (event.kind, event.step, event.payload["alarm"], event.status) == ("alarm", 77, "nan", "RECORDED")


def test_a_task_that_failed_and_was_switched_off_is_off_on_its_branch(job: Job, task: Task) -> None:
    events.record_alarm(job.pk, 1, Alarm("divergence", 7, "it diverges", f"raw/{task.key}"))
    assert Task.objects.get(pk=task.pk).enabled
    events.record_alarm(job.pk, 1, Alarm(TASK_OFF, 8, "it raised and was switched off", f"raw/{task.key}"))
    assert not Task.objects.get(pk=task.pk).enabled


def test_a_task_that_the_job_could_not_switch_on_is_off_on_its_branch(user, job: Job, task: Task) -> None:
    rows.make_task(task.branch, task.dataset, "other")
    tasks.set_enabled(actor=user, task=task, enabled=False)
    tasks.set_enabled(actor=user, task=task, enabled=True)
    off, on = events.pending_commands(job.pk)
    events.record_command_result(job.pk, 1, CommandResult(off, 4, ok=True))
    refused = CommandResult(on, 5, ok=False, message="task 'reconstruction': boom", field="task")
    events.record_command_result(job.pk, 1, refused)
    assert not Task.objects.get(pk=task.pk).enabled
    assert JobEvent.objects.get(pk=on.id).message == "task: task 'reconstruction': boom"


def test_a_worker_that_lost_the_job_answers_nothing(user, job: Job) -> None:
    jobs.request_control(actor=user, job=job, kind="pause")
    (command,) = events.pending_commands(job.pk)
    with pytest.raises(Fenced):
        events.record_command_result(job.pk, 2, CommandResult(command, 1, ok=True))
    with pytest.raises(Fenced):
        events.record_alarm(job.pk, 0, Alarm("nan", 1, "x"))
    assert events.pending_commands(job.pk) == [command]
