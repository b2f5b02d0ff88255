"""A train job that failed or was stopped goes on at its newest checkpoint, by page, API and shell; refusals say why."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accsite.apps.jobs.models import Job, JobEvent, Worker
from accsite.apps.jobs.services import control, lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.models import Branch, CheckpointKind, Task
from accsite.apps.training.pages.jobs import bench_job
from accsite.apps.training.selectors.resuming import interrupted, resume_point, resume_points
from accsite.apps.training.selectors.steered import in_force
from accsite.apps.training.services import jobs, tasks
from accsite.apps.training.services.events import replay_commands
from accsite.apps.training.services.resuming import mended_plugins, resume
from accsite.apps.training.tests import rows
from accsite.errors import WrongState
from accsite.tests.markup import folded

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed(user: Any, branch: Branch, task: Task, worker: Worker) -> Job:
    """Return a job of 100 steps that failed at step 70, with autosaves of steps 40 and 60."""
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 100})
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    lifecycle.start(job.pk, 1)
    Job.objects.filter(pk=job.pk).update(step=70)
    for step in (40, 60):
        made = rows.make_checkpoint(
            branch, job=job, kind=CheckpointKind.AUTOSAVE, job_step=step, step=step, spec=job.spec
        )
        Job.objects.filter(pk=job.pk).update(resume_checkpoint=made)
    lifecycle.fail(job.pk, 1, "LookupError: no such thing", "Traceback …")
    job.refresh_from_db()
    return job


def test_a_failed_job_waits_again_and_goes_on_at_its_newest_checkpoint(
    user: Any, failed: Job, worker: Worker
) -> None:
    point = resume_point(failed)
    assert point is not None
    assert point.checkpoint is not None
    assert (point.checkpoint.job_step, point.refused) == (60, "")
    job = resume(actor=user, job=failed)
    assert (job.state, job.message) == (
        JobState.QUEUED,
        f"resumed at step 60, from checkpoint {point.checkpoint.pk}",
    )
    assert (job.traceback, job.workers_lost, job.finished_at) == ("", 0, None)
    assert job.outbox.exists()
    assert [each.job_step for each in resume_points(job)] == [60, 40]
    event = job.events.get(kind="resumed")
    assert (event.actor, event.step, event.payload["plugins"]) == (user, 60, {})
    told = job.events.get(kind="state", payload__state="FAILED")
    assert told.message == "LookupError: no such thing"  # the history stays whole
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    assert (claim.attempt, claim.job.message) == (2, "")


def test_the_source_that_was_mended_takes_the_place_of_the_one_that_failed(
    user: Any, failed: Job, task: Task
) -> None:
    row = rows.make_plugins()[task.task_class]
    before = row.source_id
    row.source = PluginSource.objects.create(
        sha256=rows.sha("mended"), path=row.path or "x.py", text="mended"
    )
    row.save()
    job = resume(actor=user, job=failed)
    assert job.message.endswith(f"with the source of {task.task_class} as it is now")
    assert job.spec["plugins"][task.task_class] == row.source_id != before
    assert mended_plugins(job, 60) == {task.task_class: row.source_id}
    assert mended_plugins(job, 80) == {}  # a later checkpoint carries it


def test_what_was_changed_on_the_branch_meanwhile_is_asked_of_the_job(
    user: Any, failed: Job, branch: Branch, task: Task
) -> None:
    applied = failed.events.create(
        kind="set_weight", payload={"task": task.key, "weight": 3.0}, status="APPLIED", step=65
    )
    tasks.set_weight(actor=user, task=task, weight=7.0)
    job = resume(actor=user, job=failed)
    asked = job.events.get(status="PENDING")
    assert (asked.kind, asked.payload) == ("set_weight", {"task": task.key, "weight": 7.0})
    applied.refresh_from_db()
    assert (applied.status, applied.message) == ("RECORDED", "taken back: the job went on from step 60")


@pytest.mark.parametrize(
    "case", ["running", "no checkpoint", "moved on", "another trains", "is grown", "evaluation", "all steps"]
)
def test_what_cannot_be_resumed_is_refused_with_why(
    user: Any, failed: Job, branch: Branch, case: str
) -> None:
    job = failed
    if case == "running":
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
        right = "only jobs that are failed and stopped are resumed"
    elif case == "no checkpoint":
        job.checkpoints.all().delete()
        right = "has left no checkpoint to go on from"
    elif case == "moved on":
        branch.head = rows.make_checkpoint(branch, step=500)
        branch.save()
        right = "has moved on since job .* fork a branch from its checkpoint"
    elif case == "another trains":
        other = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
        right = f"job {other.pk} trains branch"
    elif case == "is grown":
        growth = {"expansion": {"where": "encoder_stage"}, "branch_name": None}
        other = rows.make_job(branch, kind="expand", state=JobState.RUNNING, spec=growth)
        right = f"job {other.pk} expands branch"
    elif case == "all steps":
        Job.objects.filter(pk=job.pk).update(total_steps=60)
        right = "has made all its 60 steps"
    else:
        job = rows.make_job(branch, kind="evaluate", state=JobState.FAILED)
        right = "which has no checkpoints"
    with pytest.raises(WrongState, match=right):
        resume(actor=user, job=job)


def test_api_shell_and_page_resume_it(client: Client, user: Any, failed: Job) -> None:
    client.force_login(user)
    page = client.get(reverse("training:job", args=[failed.pk])).content.decode()
    assert "Resume from step 60" in page
    answer = client.post(reverse("api:job-resume", args=[failed.pk]), content_type="application/json")
    assert answer.status_code == 200
    assert answer.json()["state"] == "QUEUED"
    again = client.post(reverse("api:job-resume", args=[failed.pk]), content_type="application/json")
    assert again.status_code == 409
    failed.refresh_from_db()
    control.cancel(actor=user, job=failed)
    out = StringIO()
    call_command("jobs", "resume", str(failed.pk), stdout=out)
    assert "resumed at step 60" in out.getvalue()
    failed.refresh_from_db()
    control.cancel(actor=user, job=failed)
    posted = client.post(reverse("training:job-resume", args=[failed.pk]), follow=True)
    assert "resumed at step 60" in posted.content.decode()
    failed.refresh_from_db()
    assert failed.state == JobState.QUEUED


def test_a_rate_that_was_set_after_the_checkpoint_is_not_set_again(user: Any, failed: Job) -> None:
    for step, lr in ((30, 0.5), (65, 9.0)):
        JobEvent.objects.create(job=failed, kind="set_lr", payload={"lr": lr}, status="APPLIED", step=step)
    job = resume(actor=user, job=failed)
    assert job.message.endswith(", with the learning rate of that step")
    assert [each.payload for each in replay_commands(job.pk, 60)] == []
    Job.objects.filter(pk=job.pk).update(step=62)
    assert in_force(Job.objects.get(pk=job.pk)) == 0.5


def test_a_job_cancelled_while_it_waited_hides_no_job_that_can_be_resumed(
    branch: Branch, failed: Job
) -> None:
    rows.make_job(branch, state=JobState.CANCELLED)
    point = interrupted(branch)
    assert point is not None
    assert point.job == failed


def test_the_train_form_says_where_training_starts(
    client: Client, user: Any, branch: Branch, failed: Job
) -> None:
    client.force_login(user)
    where = [branch.experiment.slug, branch.slug]
    page = folded(client.get(reverse("training:workbench", args=where)))
    assert "Starts from <strong>random weights</strong>" in page
    assert f"Train does not go on with job {failed.pk}, which failed at step 70; Resume does." in page
    assert "Resume from step 60" in page
    branch.head = rows.make_checkpoint(branch, step=500)
    branch.save()
    panel = reverse("training:workbench-panel", args=[*where, "train"])
    page = folded(client.get(panel))
    head = f'<b>#{branch.head.pk}</b> <span class="mono">{branch.head.sha256[:8]}</span>'
    assert f"Starts from {head} at step 500" in page
    assert interrupted(branch) is None
    assert "Resume" not in page
    first = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
    page = folded(client.get(panel))
    assert f"job {first.pk}</a> has ended, from the checkpoint that it leaves." in page
    assert "at step 500" not in page


def test_a_page_follows_the_job_at_work_and_not_one_that_waits(
    user: Any, branch: Branch, failed: Job
) -> None:
    waiting = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
    assert bench_job(branch, None) == failed  # it has figures; the other has none
    Job.objects.filter(pk=failed.pk).update(state=JobState.RUNNING)
    assert bench_job(branch, None) == failed
    assert bench_job(branch, str(waiting.pk)) == waiting
    Job.objects.filter(pk=waiting.pk).update(state=JobState.RUNNING, attempt=1)
    Job.objects.filter(pk=failed.pk).update(state=JobState.FAILED)
    assert bench_job(branch, None) == waiting
