"""A job of two ranks learns what one process learns; when one of them is lost, all go back to the last checkpoint."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from acc.training.checkpoints import files
from accsite import blobs
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.training.services import jobs, tasks
from tests.faults.plugins import odd_task
from tests.stack import Stack, children_of, final, in_engine, points, reload
from workers.machine.processes import is_alive
from workers.replay.rerun import CANNOT, replay

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores, one for each rank")

OPTIONS: dict[str, Any] = {"steps": 20, "batch_size": 33, "optimizer": "sgd", "lr": 0.01, "ranks": 2}
REASSOCIATION = 1e-5
"""So far may weights be apart whose gradients were summed in another order."""
STEPS = 90
EVERY = 30


def undisturbed(stack: Stack) -> Job:
    """Return a job of two ranks that nothing happened to."""
    known = Job.objects.filter(branch__experiment__name="undisturbed on two", state="SUCCEEDED").first()
    return known or stack.state(stack.submit(stack.branch("undisturbed on two"), STEPS, ranks=2), "SUCCEEDED")


def tensors_of(job: Job) -> dict[str, torch.Tensor]:
    """Return what the last checkpoint of a job holds."""
    row = final(job)
    return dict(files.load(blobs.open_local(row.file, row.sha256)).tensors)


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference between two states, whose random states must be the same."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one if name.startswith("rng."))
    weights = [name for name in one if one[name].is_floating_point() and one[name].numel()]
    return max(float((one[name] - other[name]).abs().max()) for name in weights)


def running_on_two(stack: Stack, name: str) -> tuple[Job, int, int]:
    """Return a job some steps after a checkpoint, its process, and that of its other rank."""
    worker = stack.worker()
    job = stack.submit(stack.branch(name), STEPS, ranks=2, checkpoint_every_steps=EVERY)
    stack.until(lambda: final(job) is not None, what="a checkpoint")
    stack.step(job, final(job).job_step + 2)
    first = worker.job()
    assert first is not None
    (other,) = children_of(first)
    return job, first, other


def test_two_ranks_learn_what_one_process_learns_however_the_job_is_submitted(stack):
    stack.worker()
    user = get_user_model().objects.create_superuser("ada", password="a long word for a test")
    client = Client()
    client.force_login(user)
    page, api, cli = (stack.branch(name) for name in ("by page", "by api", "by cli"))
    place = [page.experiment.slug, page.slug]
    assert 'name="ranks"' in client.get(reverse("training:workbench", args=place), {"more": 1}).text
    sent = client.post(reverse("training:train", args=place), OPTIONS)
    assert sent.status_code == 302
    body = {"kind": "train", "branch": api.pk, "train": OPTIONS}
    answer = client.post(reverse("api:job-list"), body, content_type="application/json")
    assert answer.status_code == 201, answer.text
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    call_command("train", "--experiment", cli.experiment.slug, *arguments)

    made = [stack.state(Job.objects.get(branch=branch), "SUCCEEDED") for branch in (page, api, cli)]
    whole = in_engine(made[0], ranks=1)
    for job in made:
        assert job.spec["train"]["ranks"] == 2
        assert apart(tensors_of(job), whole.checkpoints[-1][0].tensors) < REASSOCIATION
    assert apart(tensors_of(made[0]), tensors_of(made[2])) == 0
    expected = whole.history()["total"]
    assert abs(points(made[0])["total"] - expected).max() < 1e-4 * abs(expected).max()


def test_checkpoints_go_on_with_any_number_of_ranks(stack):
    stack.worker()
    branch = stack.branch("in turns")
    options = [{**OPTIONS, "steps": 10, "ranks": ranks} for ranks in (2, 1, 2)]
    first, _, job = [stack.state(stack.submit(branch, **each), "SUCCEEDED") for each in options]
    assert final(job).step == 30
    whole = in_engine(first, ranks=1, steps=30).checkpoints[-1][0]
    assert apart(tensors_of(job), whole.tensors) < REASSOCIATION
    verdict = replay(final(job))
    assert verdict.verdict == CANNOT
    assert "was trained by 2 ranks, and a replay is one process" in verdict.message


def test_both_ranks_are_steered_paused_and_stopped_before_the_same_step(stack):
    stack.worker()
    branch = stack.branch("steered")
    job = stack.submit(branch, 100_000, ranks=2)
    stack.step(job, 10)
    tasks.set_weight(actor=None, task=branch.tasks.get(key="reconstruction"), weight=3.0)
    steered: Any = JobEvent.objects.get(job=job, kind="set_weight")
    stack.until(lambda: reload(steered).status == "APPLIED", what="the weight to change")
    jobs.request_control(actor=None, job=job, kind="pause")
    stack.state(job, "PAUSED")
    jobs.request_control(actor=None, job=job, kind="set_lr", payload={"lr": 0.001})
    jobs.request_control(actor=None, job=job, kind="resume")
    stack.state(job, "RUNNING")
    stack.step(job, job.step + 10)
    jobs.request_control(actor=None, job=job, kind="stop")
    # The ranks compare their weights before the last checkpoint: one that obeyed later would fail the job.
    stack.state(job, "CANCELLED")
    assert final(job).job_step == job.step
    curve = points(job)
    ratio = curve["weighted/reconstruction"] / curve["raw/reconstruction"]
    assert abs(ratio[: steered.step] - 1).max() < 1e-5
    assert abs(ratio[steered.step :] - 3).max() < 1e-4
    assert curve["lr"][-1] == pytest.approx(0.001)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long(6))])
def test_a_rank_that_dies_or_stands_still_sends_the_job_back_to_its_checkpoint(stack, number):
    job, _, other = running_on_two(stack, f"rank and {number.name}")
    os.kill(other, number)
    stack.state(job, "SUCCEEDED")
    assert (job.attempt, job.workers_lost) == (2, 1)
    lost = JobEvent.objects.get(job=job, kind="state", payload__state="LOST").message
    assert lost.startswith("rank 1 was killed by SIGKILL")
    assert lost.endswith(f"on {stack.worker().name}; the job goes on from its last checkpoint")
    assert not is_alive(other)
    points(job)
    # On as many ranks the sums are in the same order, so that not a bit is lost either.
    assert apart(tensors_of(job), tensors_of(undisturbed(stack))) == 0


def test_the_other_rank_of_a_killed_job_dies_with_it_and_both_go_on(stack):
    job, first, other = running_on_two(stack, "killed")
    os.kill(first, signal.SIGKILL)
    stack.until(lambda: not is_alive(other), what="the other rank to die", seconds=5)
    stack.state(job, "SUCCEEDED")
    assert (job.attempt, job.workers_lost) == (2, 1)
    points(job)


def test_a_plugin_that_raises_on_one_rank_alone_fails_the_job_with_its_words(stack):
    stack.worker()
    branch = stack.branch("raises")
    odd_task(branch, "import torch; assert torch.distributed.get_rank() == 0, 'not here'", name="OneSided")
    job = stack.state(stack.submit(branch, 10, ranks=2), "FAILED")
    assert job.message == (
        "rank 1: task 'onesided': OneSided failed, AssertionError: not here (tasks/onesided.py, line 9) at step 0"
    )
    assert job.attempt == 1


def test_a_drained_worker_hands_back_a_job_of_two_ranks_and_leaves_none(stack):
    worker = stack.worker()
    job = stack.submit(stack.branch("drained"), 100_000, ranks=2)
    stack.step(job, 10)
    family = [worker.job(), *children_of(worker.job())]
    assert worker.terminate() == 0
    assert reload(job).state == "QUEUED"
    assert final(job).job_step == job.step
    assert not [pid for pid in family if is_alive(pid)]
