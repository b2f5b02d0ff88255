"""Threads of a recipe that wait for jobs are woken by their ends, at one query a look, and by the end of the recipe."""

from __future__ import annotations

import threading
import time

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.training.tests import rows
from workers.recipes import ends
from workers.recipes.ends import Ends

pytestmark = pytest.mark.both_databases


@pytest.fixture
def jobs(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Three jobs that run; nobody looks by itself before the test is over."""
    monkeypatch.setattr(ends, "LONGEST_SECONDS", 60.0)
    return [rows.make_job(state="RUNNING") for _ in range(3)]


def waiting(found: Ends, job: Job) -> threading.Thread:
    thread = threading.Thread(target=found.wait, args=(job.pk,))
    thread.start()
    return thread


def test_each_wakes_when_its_own_job_ends_and_all_when_the_recipe_does(jobs: list[Job]) -> None:
    ending = threading.Event()
    found = Ends(ending)
    threads = [waiting(found, job) for job in (*jobs, jobs[0])]
    Job.objects.filter(pk=jobs[0].pk).update(state="FAILED")
    for thread in (threads[0], threads[3]):
        thread.join(10)
    assert [thread.is_alive() for thread in threads] == [False, True, True, False]
    Job.objects.filter(pk=jobs[1].pk).update(state="SUCCEEDED")
    threads[1].join(10)
    assert [thread.is_alive() for thread in threads] == [False, False, True, False]
    ending.set()
    threads[2].join(10)
    assert not threads[2].is_alive()


def test_who_waits_after_all_others_have_gone_is_woken_too(jobs: list[Job]) -> None:
    found = Ends(threading.Event())
    for job in jobs:
        thread = waiting(found, job)
        time.sleep(2 * ends.LOOK_SECONDS)
        Job.objects.filter(pk=job.pk).update(state="CANCELLED")
        thread.join(10)
        assert not thread.is_alive()
        time.sleep(2 * ends.LOOK_SECONDS)
    assert [each.name for each in threading.enumerate() if each.name == "ends"] == []


def test_many_that_wait_ask_the_database_once_a_look(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ending = threading.Event()
    found = Ends(ending)
    of_jobs = Job.objects.filter

    def filtered(*args: object, **fields: object) -> object:
        asked.append(1)
        return of_jobs(*args, **fields)

    monkeypatch.setattr(Job.objects, "filter", filtered)
    began = time.monotonic()
    threads = [waiting(found, job) for job in jobs for _ in range(10)]
    time.sleep(5 * ends.LOOK_SECONDS)
    ending.set()
    for thread in threads:
        thread.join(10)
    assert 1 <= len(asked) <= 1 + (time.monotonic() - began) / ends.LOOK_SECONDS
