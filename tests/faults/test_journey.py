"""From submit to SUCCEEDED, with the curve complete and the final checkpoint measured."""

from __future__ import annotations

import numpy as np
import pytest

from acc.training.checkpoints import files
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.training.models import Branch
from tests.stack import final, points


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long(8))])
def test_a_submitted_job_is_trained_recorded_and_measured(stack_on, database):
    stack = stack_on(database)
    worker = stack.worker()
    stack.worker("eval-1", "eval,default", wait=False)
    branch = stack.branch()

    job = stack.submit(branch, 120)
    stack.state(job, "SUCCEEDED")

    curve = points(job)
    assert job.step == 120
    assert {"total", "lr", "raw/reconstruction", "weighted/reconstruction"} <= set(curve)
    norms = curve.pop("grad_norm")
    assert np.isfinite(norms[::10]).all()
    assert all(len(row) == 120 and np.isfinite(row).all() for row in curve.values())
    assert curve["total"][-20:].mean() < curve["total"][:20].mean()

    checkpoint = final(job)
    assert (checkpoint.kind, checkpoint.job_step) == ("final", 120)
    assert Branch.objects.get(pk=branch.pk).head == checkpoint
    stored = files.load(stack.home / "blobs" / checkpoint.file, checkpoint.sha256)
    assert stored.header.job_step == 120

    measured = Job.objects.get(kind=JobKind.EVALUATE, checkpoint=checkpoint)
    stack.state(measured, "SUCCEEDED")
    evaluation = Evaluation.objects.get(job=measured)
    accuracy = evaluation.metrics.get(name="accuracy").value
    assert accuracy is not None
    assert accuracy > 0.1
    picture = evaluation.artifacts.get(kind="reconstructions")
    assert (stack.home / "blobs" / picture.file).read_bytes().startswith(b"\x89PNG")
    assert worker.job() is None
    # What was found out about the machine is on the worker's row.
    assert job.worker is None or job.worker.telemetry["cores"] >= 1


@pytest.mark.long(6)
def test_a_generator_makes_a_dataset_on_the_default_queue(stack):
    from accsite.apps.datasets.models import Dataset
    from accsite.apps.datasets.services import generation

    stack.worker("eval-1", "eval,default")
    job = generation.submit_generation(
        actor=None, generator="HandwrittenDigits", params={}, n=100, seed=1, name="A hundred digits"
    )
    stack.state(job, "SUCCEEDED")
    dataset = Dataset.objects.get(name="A hundred digits")
    assert dataset.n == 100
    assert dataset.provenance["generator"] == "HandwrittenDigits"
    assert job.result["dataset"] == dataset.pk


def test_a_second_job_of_a_branch_goes_on_from_the_first(stack):
    stack.worker()
    branch = stack.branch()
    first = stack.state(stack.submit(branch, 30), "SUCCEEDED")
    second = stack.state(stack.submit(branch, 30), "SUCCEEDED")
    assert final(second).parent == final(first)
    assert final(second).step == 60
    assert final(second).job_step == 30
