"""However many workers hear a doorbell at once, one of them gets the job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from acc.hashes import file_sha256
from accsite import blobs
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.services import checkpoints, jobs, tasks
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.both_databases

CLAIMERS = 8


def at_once(actions: list[Callable[[], Any]]) -> list[Any]:
    """Return what the actions return, each run on a thread of its own from one start signal."""
    results: list[Any] = [None] * len(actions)
    barrier = threading.Barrier(len(actions))

    def run(index: int) -> None:
        try:
            barrier.wait()
            results[index] = actions[index]()
        except BaseException as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [result for result in results if isinstance(result, BaseException)]
    assert not failed, failed
    return results


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_claims_wins() -> None:
    rows.make_plugins()
    branch = rows.make_branch(None)
    workers = [rows.make_worker(f"cpu-{index}") for index in range(CLAIMERS)]
    job = rows.make_job(branch)
    for _ in range(5):
        Job.objects.update(state=JobState.QUEUED, attempt=0)
        claims = at_once([lambda w=worker: lifecycle.claim(job.pk, w) for worker in workers])  # type: ignore[misc]
        winners = [claim for claim in claims if claim is not None]
        assert [claim.attempt for claim in winners] == [1]
        job.refresh_from_db()
        assert job.worker == winners[0].job.worker


@pytest.mark.django_db(transaction=True)
def test_of_two_train_jobs_of_a_branch_one_is_claimed() -> None:
    branch: Branch = rows.make_branch(None)
    first, second = rows.make_job(branch), rows.make_job(branch)
    workers = [rows.make_worker(f"cpu-{index}") for index in range(CLAIMERS)]
    jobs = [first, second] * (CLAIMERS // 2)
    pairs = list(zip(workers, jobs, strict=True))
    claims = at_once([lambda w=w, j=j: lifecycle.claim(j.pk, w) for w, j in pairs])  # type: ignore[misc]
    assert [claim.job.pk for claim in claims if claim] == [first.pk]


@pytest.mark.django_db(transaction=True)
def test_an_end_and_a_loss_at_once_have_one_winner() -> None:
    branch = rows.make_branch(None)
    job = rows.make_job(branch)
    for _ in range(5):
        Job.objects.update(state=JobState.RUNNING, attempt=1, workers_lost=0)
        won = at_once(
            [
                lambda: lifecycle.finish(job.pk, 1),
                lambda: lifecycle.fail(job.pk, 1, "x"),
                lambda: lifecycle.lose(job.pk, 1, "x"),
                lambda: lifecycle.hand_back(job.pk, 1, "x"),
                lambda: lifecycle.cancelled(job.pk, 1),
            ]
        )
        assert sum(won) == 1


@pytest.mark.django_db(transaction=True)
def test_steering_saving_and_ending_at_once_wait_for_each_other_and_never_for_ever() -> None:
    rows.make_plugins()
    branch = rows.make_branch(None)
    dataset = rows.make_dataset()
    task = rows.make_task(branch, dataset)
    rows.make_task(branch, dataset, "other")
    worker = rows.make_worker("cpu-0")

    def save(job: Job, text: str) -> object:
        path = blobs.scratch() / text
        path.write_text(text)
        return checkpoints.record(
            job.pk,
            1,
            path,
            kind="autosave",
            job_step=0,
            global_step=0,
            sha256=file_sha256(path),
            losses={},
        )

    def unless_late(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            try:
                return action()
            except (WrongState, Fenced):  # the end was faster
                return None

        return run

    for number in range(6):
        job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
        waiting = rows.make_job(branch)
        at_once(
            [
                unless_late(action)
                for action in (
                    partial(tasks.set_weight, actor=None, task=task, weight=number),
                    partial(tasks.set_enabled, actor=None, task=task, enabled=bool(number % 2)),
                    partial(
                        tasks.add_task,
                        actor=None,
                        branch=branch,
                        task_class="RegressionTask",
                        dataset=dataset,
                    ),
                    partial(save, job, f"a{number}"),
                    partial(lifecycle.finish, job.pk, 1),
                    partial(lifecycle.claim, waiting.pk, worker),
                    partial(jobs.submit_training, actor=None, branch=branch, train={"steps": 1}),
                    partial(jobs.request_control, actor=None, job=job, kind="pause"),
                )
            ]
        )
        Job.objects.update(state=JobState.SUCCEEDED)
