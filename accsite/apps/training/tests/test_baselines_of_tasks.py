"""What the trivial predictor of a task loses is kept once for each task of a job."""

from __future__ import annotations

import pytest

from acc.training.protocols import Baseline
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import events
from accsite.apps.training.tests import rows

CHANCE = Baseline(2.3, "always answering with how frequent each class is")


@pytest.fixture
def job(branch: Branch, task: Task) -> Job:
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1)


def test_a_baseline_is_an_event_that_is_no_marker(job: Job) -> None:
    event = events.record_baseline(job.pk, 1, "digit", CHANCE)
    assert (event.kind, event.status, event.step) == ("baseline", "RECORDED", None)
    assert event.payload == {"task": "digit", "loss": 2.3, "words": CHANCE.words, "floor": False}


def test_a_resume_that_measures_it_again_adds_nothing(job: Job) -> None:
    first = events.record_baseline(job.pk, 1, "digit", CHANCE)
    assert events.record_baseline(job.pk, 1, "digit", CHANCE) == first
    assert JobEvent.objects.count() == 1


def test_another_value_takes_the_place_of_the_first(job: Job) -> None:
    events.record_baseline(job.pk, 1, "digit", CHANCE)
    events.record_baseline(job.pk, 1, "digit", Baseline(1.0, "other data"))
    events.record_baseline(job.pk, 1, "kl", Baseline(0.0, "a collapsed posterior", floor=True))
    digit, kl = JobEvent.objects.order_by("id")
    assert (digit.payload["loss"], digit.payload["words"]) == (1.0, "other data")
    assert kl.payload["floor"] is True


def test_a_worker_that_lost_the_job_records_none(job: Job) -> None:
    with pytest.raises(Fenced):
        events.record_baseline(job.pk, 0, "digit", CHANCE)
    assert not JobEvent.objects.exists()
