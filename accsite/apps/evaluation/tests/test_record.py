"""What a worker measured is kept once, with its pictures; what is not a number says why."""

from __future__ import annotations

import io
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from PIL import Image

from acc.results import EvalResult, MetricValue, ReconstructionGrid
from accsite import blobs
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric
from accsite.apps.evaluation.pages import branches as pages
from accsite.apps.evaluation.services import recording
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.live.models import Topic
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

Measured = partial(MetricValue, higher_is_better=True)
Result = partial(EvalResult, step=500)


def grid(seed: int = 0) -> ReconstructionGrid:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (2, 8, 1, 32, 32), dtype=np.uint8)
    return ReconstructionGrid("digits", tuple(range(8)), images[0], images[1], "held-out images")


@pytest.fixture
def job(db: None) -> Job:
    branch = rows.make_branch(None)
    return evaluation_job(branch)


def evaluation_job(branch: Branch, **fields: Any) -> Job:
    checkpoint = rows.make_checkpoint(branch)
    values = {
        "state": JobState.RUNNING,
        "attempt": 1,
        "checkpoint": checkpoint,
        "spec": {"suite": ["metrics"]},
    }
    return rows.make_job(branch, kind=JobKind.EVALUATE, **{**values, **fields})


def test_numbers_and_pictures_are_kept(job: Job) -> None:
    measured = [
        Measured("digit", "accuracy", 0.91, baseline=0.1),
        Measured("digit", "loss", math.nan, higher_is_better=False),
        Measured("kl", "loss", None, higher_is_better=False, reason="no rows are held out"),
    ]
    made = services.record(job.pk, 1, Result(metrics=measured, reconstructions=[grid()]), seconds=1.5)
    assert (made.step, made.seconds, made.checkpoint, made.suite) == (500, 1.5, job.checkpoint, ["metrics"])
    numbers = list(made.metrics.values_list("task_key", "name", "value", "reason", "baseline"))
    assert numbers == [
        ("digit", "accuracy", 0.91, "", 0.1),
        ("digit", "loss", None, "it came out as nan", None),
        ("kl", "loss", None, "no rows are held out", None),
    ]
    (picture,) = pages.reconstructions(made.branch)
    image = Image.open(io.BytesIO(blobs.open_local(picture.file, picture.sha256).read_bytes()))
    assert image.size == (picture.meta["width"], picture.meta["height"]) == (256, 96)
    pixels = np.asarray(image).reshape(3, 32, 8, 32).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(pixels[0], grid().inputs[:, 0])
    np.testing.assert_array_equal(pixels[1], grid().outputs[:, 0])
    np.testing.assert_array_equal(pixels[2], np.abs(pixels[0].astype(int) - pixels[1].astype(int)))
    assert Topic.objects.get(name=f"evaluations:{made.branch_id}").version == 1


def test_a_second_attempt_replaces_what_the_first_recorded(job: Job) -> None:
    services.record(job.pk, 1, Result(metrics=[Measured("a", "m", 1)], reconstructions=[grid()]))
    services.record(job.pk, 1, Result(metrics=[Measured("a", "m", 2)], reconstructions=[grid()]))
    assert Metric.objects.get().value == 2
    assert Artifact.objects.count() == Evaluation.objects.count() == 1


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_worker_that_lost_the_job_records_nothing(job: Job, attempt: int) -> None:
    with pytest.raises(Fenced):
        services.record(job.pk, attempt, Result(metrics=[Measured("a", "m", 1)]))
    assert not Evaluation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_previews_those_that_tell_least_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PREVIEWS_KEPT", 3)
    branch = rows.make_branch(None)
    for number, step in enumerate((0, 100, 110, 200, 300)):
        spec = {"suite": ["reconstructions"]}
        job = evaluation_job(branch, checkpoint=None, spec=spec, preview=True)
        services.record(job.pk, 1, Result(step=step, reconstructions=[grid(number)]))
        Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    assert sorted(Evaluation.objects.values_list("step", flat=True)) == [0, 200, 300]
    assert all(default_storage.exists(picture.file) for picture in Artifact.objects.all())
    assert Artifact.objects.count() == 3


def test_the_newest_pictures_of_a_branch_are_shown(job: Job) -> None:
    assert job.branch is not None
    assert pages.reconstructions(job.branch) == []
    services.record(job.pk, 1, Result(step=1, reconstructions=[grid()]))
    later = evaluation_job(job.branch)
    shown = services.record(later.pk, 1, Result(step=2, reconstructions=[grid(1)]))
    services.record(evaluation_job(job.branch).pk, 1, Result(step=3, metrics=[Measured("a", "m", 1)]))
    assert [picture.evaluation for picture in pages.reconstructions(job.branch)] == [shown]
