"""A checkpoint's file lies in storage before its row is there, and old autosaves make room."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage

from acc.specs import EVAL_PARTS
from acc.training.protocols import PointBlock
from accsite import blobs
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.training.errors import Gap
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind
from accsite.apps.training.services import checkpoints, experiments, points
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

K = CheckpointKind


@pytest.fixture
def job(branch: Branch) -> Job:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=100)
    points.append(job.pk, 1, PointBlock(0, ("total",), np.zeros((1, 100), np.float32), 0.0, 1.0))
    return job


def save(job: Job, step: int, kind: str = K.AUTOSAVE, *, attempt: int = 1, text: str = "") -> Checkpoint:
    data = f"weights {step} {text}".encode()
    path = blobs.scratch() / f"{job.pk}-{step}-{kind}"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return checkpoints.record(
        job.pk,
        attempt,
        path,
        kind=kind,
        job_step=step,
        global_step=step + 1000,
        sha256=sha256,
        losses={"total": 0.5},
    )


@pytest.mark.django_db
def test_a_checkpoint_is_stored_by_content_and_the_job_resumes_from_it(job: Job) -> None:
    made = save(job, 40)
    assert made.file == f"checkpoints/{made.sha256}.safetensors"
    assert blobs.open_local(made.file, made.sha256).read_bytes() == b"weights 40 "
    assert (made.step, made.job_step, made.size_bytes, made.losses) == (1040, 40, 11, {"total": 0.5})
    job.refresh_from_db()
    assert job.resume_checkpoint == made
    assert made.spec == job.spec


@pytest.mark.django_db(transaction=True)
def test_the_newest_two_autosaves_are_kept_with_their_files() -> None:
    branch = rows.make_branch(None)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, step=100)
    made = [save(job, step) for step in (10, 20, 30, 40)]
    Job.objects.filter(kind=JobKind.EVALUATE).update(state=JobState.SUCCEEDED)
    made.append(save(job, 50))
    kept = list(Checkpoint.objects.order_by("job_step").values_list("job_step", flat=True))
    assert kept == [40, 50]
    assert [default_storage.exists(checkpoint.file) for checkpoint in made] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_an_autosave_that_something_depends_on_stays(job: Job, branch: Branch) -> None:
    first = save(job, 10)
    experiments.create_branch(actor=None, experiment=branch.experiment, name="side", from_checkpoint=first)
    starred = save(job, 20)
    Checkpoint.objects.filter(pk=starred.pk).update(starred=True)
    Job.objects.filter(kind=JobKind.EVALUATE).update(state=JobState.SUCCEEDED)
    for step in (30, 40, 50):
        save(job, step)
    assert set(Checkpoint.objects.values_list("job_step", flat=True)) >= {10, 20, 40, 50}


def test_autosaves_are_previewed_one_at_a_time(job: Job) -> None:
    save(job, 10)
    save(job, 20)
    previews = Job.objects.filter(kind=JobKind.EVALUATE)
    assert [preview.spec["suite"] for preview in previews] == [["reconstructions"]]
    previews.update(state=JobState.SUCCEEDED)
    save(job, 30)
    assert previews.count() == 2


def test_the_end_moves_the_head_measures_it_and_drops_the_autosaves(job: Job, branch: Branch) -> None:
    save(job, 50)
    Job.objects.filter(kind=JobKind.EVALUATE).update(state=JobState.SUCCEEDED)
    final = save(job, 100, K.FINAL)
    assert lifecycle.finish(job.pk, 1, {"status": "completed"})
    branch.refresh_from_db()
    assert branch.head == final
    assert list(Checkpoint.objects.all()) == [final]
    measuring = Job.objects.get(kind=JobKind.EVALUATE, state=JobState.QUEUED)
    assert (measuring.checkpoint, measuring.spec["suite"]) == (final, list(EVAL_PARTS))


def test_a_stopped_job_leaves_its_branch_where_it_stopped(job: Job, branch: Branch) -> None:
    stopped = save(job, 60, K.STOPPED)
    assert lifecycle.cancelled(job.pk, 1, {"status": "stopped"})
    branch.refresh_from_db()
    assert branch.head == stopped


def test_a_failed_job_moves_no_head_and_keeps_its_last_good_state(job: Job, branch: Branch) -> None:
    good = save(job, 60)
    assert lifecycle.fail(job.pk, 1, "the loss is not a number at step 70")
    branch.refresh_from_db()
    assert branch.head is None
    assert Checkpoint.objects.get() == good


def test_the_same_checkpoint_handed_in_again_is_one_row(job: Job, tmp_path: Path) -> None:
    assert save(job, 10) == save(job, 10)
    again = checkpoints.record(
        job.pk,
        1,
        tmp_path / "moved",
        kind=K.AUTOSAVE,
        job_step=10,
        global_step=1010,
        sha256=hashlib.sha256(b"weights 10 ").hexdigest(),
        losses={},
    )
    assert Checkpoint.objects.get() == again


def test_a_checkpoint_ahead_of_its_loss_points_is_refused(job: Job) -> None:
    with pytest.raises(Gap, match="at step 101 came for job .* end before step 100"):
        save(job, 101)
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_worker_that_lost_the_job_records_nothing(job: Job, attempt: int) -> None:
    with pytest.raises(Fenced):
        save(job, 10, attempt=attempt)
    assert not Checkpoint.objects.exists()
    assert job.resume_checkpoint is None


def test_the_next_job_begins_where_the_last_one_ended(job: Job, branch: Branch) -> None:
    waiting = rows.make_job(branch)
    final = save(job, 100, K.FINAL)
    lifecycle.finish(job.pk, 1, {})
    claim = lifecycle.claim(waiting.pk, rows.make_worker("cpu-0"))
    assert claim is not None
    assert claim.job.start_checkpoint == final
