"""A job moves only as the table allows, and only by the hand that holds it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accsite.apps.jobs.models import Job, JobEvent, JobKind, OutboxMessage, Worker
from accsite.apps.jobs.services import lifecycle, outbox
from accsite.apps.jobs.states import HELD, TERMINAL, TRANSITIONS, JobState, sources
from accsite.apps.live.models import Topic
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

S = JobState


def test_the_table_has_every_state_and_no_way_out_of_the_end() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST} == TERMINAL
    assert sources(S.CLAIMED) == {S.QUEUED}


def test_a_claim_raises_the_attempt_and_gives_a_lease(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    outbox.queue_up(job)
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    assert (claim.attempt, claim.job.state, claim.job.worker, claim.job.device) == (
        1,
        S.CLAIMED,
        worker,
        "cpu",
    )
    assert claim.job.lease_expires_at is not None
    assert 15 < (claim.job.lease_expires_at - timezone.now()).total_seconds() <= 20
    assert not OutboxMessage.objects.exists()


def test_a_second_delivery_of_the_message_claims_nothing(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    assert lifecycle.claim(job.pk, worker.name) is not None
    assert lifecycle.claim(job.pk, rows.make_worker("cpu-1")) is None
    assert lifecycle.claim(job.pk, worker) is None
    assert Job.objects.get().attempt == 1


@pytest.mark.parametrize("state", [Worker.State.DRAINING, Worker.State.OFFLINE])
def test_a_worker_that_is_leaving_claims_nothing(branch: Branch, worker: Worker, state: str) -> None:
    job = rows.make_job(branch)
    Worker.objects.update(state=state)
    assert lifecycle.claim(job.pk, worker) is None
    assert lifecycle.claim(job.pk, "nobody") is None


@pytest.mark.parametrize(
    ("wanted", "device", "suits"),
    [
        ("auto", "cuda:1", True),
        ("cpu", "cuda:1", True),
        ("cuda", "cuda:1", True),
        ("cuda:1", "cuda:1", True),
        ("cuda:0", "cuda:1", False),
        ("cuda", "cpu", False),
    ],
)
def test_a_job_goes_only_to_a_device_that_suits_it(
    branch: Branch, wanted: str, device: str, suits: bool
) -> None:
    job = rows.make_job(branch)
    job.spec["train"]["device"] = wanted
    job.save()
    assert (lifecycle.claim(job.pk, rows.make_worker("w", device)) is not None) is suits


def test_a_train_job_waits_for_the_one_before_it_on_its_branch(branch: Branch, worker: Worker) -> None:
    first, second = rows.make_job(branch), rows.make_job(branch)
    assert lifecycle.claim(second.pk, worker) is None
    claim = lifecycle.claim(first.pk, worker)
    assert claim is not None
    assert lifecycle.claim(second.pk, worker) is None
    lifecycle.start(first.pk, 1)
    assert lifecycle.finish(first.pk, 1)
    assert OutboxMessage.objects.filter(job=second).count() == 1
    assert lifecycle.claim(second.pk, worker) is not None


def test_two_branches_train_at_once(user, branch: Branch, worker: Worker) -> None:
    other = rows.make_branch(user, "other")
    assert lifecycle.claim(rows.make_job(branch).pk, worker) is not None
    assert lifecycle.claim(rows.make_job(other).pk, worker) is not None


def test_a_run_from_claim_to_end(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    assert lifecycle.start(job.pk, 1)
    assert not lifecycle.start(job.pk, 1)
    assert lifecycle.set_paused(job.pk, 1, True)
    assert not lifecycle.set_paused(job.pk, 1, True)
    assert not lifecycle.finish(job.pk, 1, {})
    assert lifecycle.set_paused(job.pk, 1, False)
    assert lifecycle.finish(job.pk, 1, {"steps": 10})
    job.refresh_from_db()
    assert (job.state, job.result, job.lease_expires_at) == (S.SUCCEEDED, {"steps": 10}, None)
    assert job.started_at is not None
    assert job.finished_at is not None


@pytest.mark.parametrize("attempt", [0, 2])
def test_an_old_or_made_up_attempt_moves_nothing(branch: Branch, worker: Worker, attempt: int) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    lifecycle.start(job.pk, 1)
    before = Job.objects.values().get()
    assert not lifecycle.start(job.pk, attempt)
    assert not lifecycle.set_paused(job.pk, attempt, True)
    assert not lifecycle.renew(job.pk, attempt)
    assert not lifecycle.finish(job.pk, attempt)
    assert not lifecycle.fail(job.pk, attempt, "x")
    assert not lifecycle.cancelled(job.pk, attempt)
    assert not lifecycle.hand_back(job.pk, attempt, "x")
    assert not lifecycle.lose(job.pk, attempt, "x")
    assert Job.objects.values().get() == before


def test_a_drained_job_waits_again_and_its_old_holder_is_fenced(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    lifecycle.start(job.pk, 1)
    assert lifecycle.hand_back(job.pk, 1, "cpu-0 is shutting down")
    job.refresh_from_db()
    assert (job.state, job.attempt, job.worker, job.workers_lost) == (S.QUEUED, 1, None, 0)
    assert job.message == "cpu-0 is shutting down"
    assert OutboxMessage.objects.filter(job=job).count() == 1
    assert not lifecycle.renew(job.pk, 1)
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    assert claim.attempt == 2
    assert lifecycle.start(job.pk, 2)
    assert lifecycle.finish(job.pk, 2)
    job.refresh_from_db()
    assert job.message == "", "a job that is done does not say that a worker was shut down"


def test_a_job_whose_workers_keep_dying_fails_with_the_reason(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    for attempt in (1, 2, 3):
        assert lifecycle.claim(job.pk, worker) is not None
        lifecycle.start(job.pk, attempt)
        assert lifecycle.lose(job.pk, attempt, "killed by signal 9")
    job.refresh_from_db()
    assert (job.state, job.workers_lost) == (S.FAILED, 3)
    assert job.message == "given up after 3 lost workers; the last: killed by signal 9"
    told = list(JobEvent.objects.filter(kind="state").values_list("payload__state", flat=True))
    assert told.count("LOST") == 3
    assert told[-1] == "FAILED"


def test_a_lease_that_ended_is_reaped_and_one_that_was_renewed_is_not(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    assert lifecycle.reap() == []
    assert lifecycle.renew(job.pk, 1, 0.0)
    Job.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert lifecycle.reap() == [job.pk]
    assert not lifecycle.renew(job.pk, 1)
    job.refresh_from_db()
    assert (job.state, job.workers_lost) == (S.QUEUED, 1)
    assert "cpu-0 did not report for more than 20 s" in job.message


def test_a_worker_that_fell_silent_is_shown_as_offline(worker: Worker) -> None:
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=41))
    lifecycle.reap()
    worker.refresh_from_db()
    assert worker.state == Worker.State.OFFLINE


def test_a_paused_job_is_paused_again_by_its_next_worker(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    lifecycle.start(job.pk, 1)
    lifecycle.set_paused(job.pk, 1, True)
    lifecycle.lose(job.pk, 1, "killed")
    assert list(job.events.filter(status="PENDING").values_list("kind", flat=True)) == ["pause"]


def test_what_was_asked_of_a_job_that_ends_is_answered(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    lifecycle.claim(job.pk, worker)
    lifecycle.start(job.pk, 1)
    event = JobEvent.objects.create(job=job, kind="set_lr", status=JobEvent.Status.PENDING)
    lifecycle.fail(job.pk, 1, "the loss is not a number", "Traceback ...")
    event.refresh_from_db()
    assert (event.status, event.message) == ("REFUSED", "the job ended before this could be applied")
    job.refresh_from_db()
    assert (job.state, job.message, job.traceback) == (S.FAILED, "the loss is not a number", "Traceback ...")


def test_every_move_is_told_to_the_pages(branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch)
    seen = []
    for move in (
        lambda: lifecycle.claim(job.pk, worker),
        lambda: lifecycle.start(job.pk, 1),
        lambda: lifecycle.hand_back(job.pk, 1, "x"),
    ):
        move()
        seen.append(
            tuple(Topic.objects.filter(name__in=["jobs", f"job:{job.pk}"]).values_list("version", flat=True))
        )
    assert seen == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("kind", [JobKind.EVALUATE, JobKind.GENERATE])
def test_other_kinds_of_job_live_the_same_life(
    worker: Worker, kind: str, make_job: Callable[..., Job]
) -> None:
    job = make_job(None, kind=kind)
    assert lifecycle.claim(job.pk, worker) is not None
    assert lifecycle.start(job.pk, 1)
    assert lifecycle.finish(job.pk, 1, {"dataset": 1})


def test_states_held_are_those_with_a_lease() -> None:
    assert {S.CLAIMED, S.RUNNING, S.PAUSED} == HELD
