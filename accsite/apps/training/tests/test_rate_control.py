"""The learning rate of a job is steered from its workbench: what is in force, what waits, what was refused."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from acc.training.protocols import CommandResult
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.selectors.steered import in_force
from accsite.apps.training.services import events
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded

BENCH = "/w/digits/main/"
URL = f"{BENCH}rate/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def job(branch: Branch) -> Job:
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1)


def shown(page: Client) -> str:
    return folded(page.get(f"{BENCH}panel/rate/"))


def ask(page: Client, job: Job, lr: str) -> Any:
    return page.post(URL, {"job": job.pk, "lr": lr}, headers=HTMX)


def answer(job: Job, **result: Any) -> None:
    (command,) = events.pending_commands(job.pk)
    events.record_command_result(job.pk, 1, CommandResult(command, **result))


def test_the_rate_in_force_stands_on_the_workbench_and_in_its_field(page: Client, job: Job) -> None:
    text = folded(page.get(BENCH))
    assert "in force: <b>0.002</b>" in text
    assert 'name="lr" size="9" value="0.002"' in text


def test_a_change_is_one_command_that_waits_until_the_job_has_applied_it(
    page: Client, user: Any, job: Job
) -> None:
    waiting = folded(ask(page, job, "0.00042"))
    ask(page, job, "0.00042")
    event = JobEvent.objects.get(kind="set_lr")
    assert (event.payload, event.status, event.actor) == (
        {"lr": 0.00042},
        "PENDING",
        user,
    )
    assert 'name="lr" size="9" value="0.00042"' in waiting
    assert "in force: <b>0.002</b>" in waiting, "it is in force once it is applied, and not before"
    assert f"waiting for job {job.pk}" in waiting
    answer(job, step=1204, ok=True)
    assert "in force: <b>0.00042</b>" in shown(page)
    assert "applied at step 1,204" in shown(page)


def test_what_the_job_refuses_is_told_and_the_rate_in_force_is_shown(page: Client, job: Job) -> None:
    ask(page, job, "0.5")
    answer(job, step=7, ok=False, message="too much", field="lr")
    text = shown(page)
    assert f"job {job.pk} refused: lr: too much" in text
    assert "in force: <b>0.002</b>" in text
    assert 'name="lr" size="9" value="0.002"' in text


@pytest.mark.parametrize("typed", ["0", "-1", "11", "fast", "nan", ""])
def test_a_value_that_is_no_rate_is_refused_by_name_beside_its_field_which_keeps_the_rate_in_force(
    page: Client, job: Job, typed: str
) -> None:
    refused = ask(page, job, typed)
    text = folded(refused)
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in text
    assert "give a learning rate above 0" in text
    assert f"lr: {typed!r}" in html.unescape(text)
    assert 'name="lr" size="9" value="0.002"' in text
    assert not JobEvent.objects.filter(kind="set_lr").exists()
    whole = page.post(URL, {"job": job.pk, "lr": typed})
    assert (whole.status_code, "Workbench of digits" in folded(whole)) == (422, True)


def test_the_same_rate_again_asks_for_nothing(page: Client, job: Job) -> None:
    assert ask(page, job, "2e-3").status_code == 200
    assert not JobEvent.objects.exists()


def test_going_back_while_a_change_waits_is_a_command(page: Client, job: Job) -> None:
    ask(page, job, "0.01")
    ask(page, job, "0.002")
    asked = [event.payload["lr"] for event in JobEvent.objects.filter(kind="set_lr").order_by("id")]
    assert asked == [0.01, 0.002]


def test_a_job_that_ended_meanwhile_says_so_and_without_a_job_nothing_can_be_set(
    page: Client, job: Job
) -> None:
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    late = ask(page, job, "0.01")
    assert late.status_code == 422
    assert "came too late" in folded(late)
    assert 'placeholder="no job runs" disabled' in shown(page)


def test_another_s_private_job_cannot_be_steered(client: Client, branch: Branch, job: Job) -> None:
    branch.experiment.visibility = "private"
    branch.experiment.save()
    client.force_login(get_user_model().objects.create_user("mallory"))
    assert client.post(URL, {"job": job.pk, "lr": "0.01"}).status_code == 404
    assert not JobEvent.objects.exists()


def test_a_small_rate_stands_as_it_was_set_and_a_round_one_without_a_point(page: Client, job: Job) -> None:
    for lr, written in ((1e-5, "0.00001"), (10.0, "10")):
        job.spec["train"]["lr"] = lr
        job.save(update_fields=["spec"])
        text = shown(page)
        assert f"in force: <b>{written}</b>" in text
        assert f'value="{written}"' in text


def test_a_rate_that_a_lost_attempt_had_applied_is_in_force_once_it_is_applied_again(
    branch: Branch, worker: Any
) -> None:
    job = rows.make_job(branch)
    assert lifecycle.claim(job.pk, worker) is not None
    lifecycle.start(job.pk, 1)
    event = JobEvent.objects.create(job=job, kind="set_lr", payload={"lr": 0.5}, status="PENDING")
    (command,) = events.pending_commands(job.pk)
    assert events.record_command_result(job.pk, 1, CommandResult(command, 500, ok=True))
    assert in_force(Job.objects.get(pk=job.pk)) == 0.5
    assert lifecycle.lose(job.pk, 1, "its worker fell silent")
    assert lifecycle.claim(job.pk, worker) is not None
    assert in_force(Job.objects.get(pk=job.pk)) == 0.002
    (again,) = events.replay_commands(job.pk, 0)
    assert not events.record_command_result(job.pk, 2, CommandResult(again, 500, ok=True))
    assert in_force(Job.objects.get(pk=job.pk)) == 0.5
    event.refresh_from_db()
    assert (event.status, event.step) == ("APPLIED", 500)


def clip(page: Client, job: Job, norm: str) -> Any:
    return page.post(URL, {"job": job.pk, "grad_clip_norm": norm}, headers=HTMX)


def test_clipping_is_steered_as_the_rate_is_and_nothing_in_its_field_clips_nothing(
    page: Client, job: Job
) -> None:
    assert 'name="grad_clip_norm" size="9" value=""' in shown(page)
    waiting = folded(clip(page, job, "0.5"))
    assert 'name="grad_clip_norm" size="9" value="0.5"' in waiting
    assert f"waiting for job {job.pk}" in waiting
    clip(page, job, "0.5")
    event = JobEvent.objects.get(kind="set_clip")
    assert event.payload == {"grad_clip_norm": 0.5}
    answer(job, step=12, ok=True)
    assert "in force: <b>0.5</b>" in shown(page)
    assert "clipping → 0.5" in folded(page.get(f"{BENCH}panel/events/"))
    assert clip(page, job, "0.50").status_code == 200
    assert JobEvent.objects.count() == 1, "the same again asks for nothing"
    clip(page, job, "")
    answer(job, step=30, ok=True)
    assert in_force(job, "grad_clip_norm") is None
    assert in_force(job) == 0.002
    assert "clipping → none" in folded(page.get(f"{BENCH}panel/events/"))


@pytest.mark.parametrize("typed", ["0", "-1", "short", "nan", "inf"])
def test_a_value_that_is_no_norm_is_refused_beside_its_field(page: Client, job: Job, typed: str) -> None:
    refused = clip(page, job, typed)
    text = html.unescape(folded(refused))
    assert refused.status_code == 422
    assert f"grad_clip_norm: {typed!r}" in text
    assert "give a norm above 0, or nothing to clip no gradient" in text
    assert text.count('aria-invalid="true"') == 1
    assert not JobEvent.objects.exists()
