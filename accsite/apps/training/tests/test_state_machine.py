"""Whatever workers, users, the reaper and the sweeper do in whatever order, a job keeps to the table."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accsite.apps.jobs.models import Job, JobEvent, OutboxMessage, Worker
from accsite.apps.jobs.services import control, lifecycle
from accsite.apps.jobs.states import HELD, TERMINAL, TRANSITIONS, JobState
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.both_databases

MAX_ATTEMPTS = 3


class JobMachine(RuleBasedStateMachine):
    """One job, three workers that may hold stale claims, and everybody who can touch it.

    The model: who holds it (``holder`` = the attempt, or None), how often it was lost, whether it has ended.
    """

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.workers = [rows.make_worker(f"cpu-{index}") for index in range(3)]
        self.branch = rows.make_branch(None)
        self.job = rows.make_job(self.branch)
        self.attempt, self.lost = 0, 0
        self.holder: int | None = None
        self.state = JobState.QUEUED
        self.seen = [self.state]

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def moved(self, won: bool, attempt: int, *targets: JobState, origins: frozenset[JobState] = HELD) -> bool:
        """Check that a move was won exactly when the model says so, and follow it."""
        expected = attempt == self.holder and self.state in origins
        assert won is expected
        for target in targets if expected else ():
            assert target in TRANSITIONS[self.state], (self.state, target)
            self.state = target
        if self.state not in HELD:
            self.holder = None
        return expected

    @rule(target=claims, worker=st.integers(0, 2))
    def claim(self, worker: int) -> int:
        claim = lifecycle.claim(self.job.pk, self.workers[worker])
        assert (claim is not None) is (self.state == JobState.QUEUED)
        if claim is not None:
            self.attempt += 1
            assert claim.attempt == self.attempt
            self.holder, self.state = self.attempt, JobState.CLAIMED
        return self.attempt

    @rule(attempt=claims)
    def start(self, attempt: int) -> None:
        won = lifecycle.start(self.job.pk, attempt)
        self.moved(won, attempt, JobState.RUNNING, origins=frozenset({JobState.CLAIMED}))

    @rule(attempt=claims, paused=st.booleans())
    def set_paused(self, attempt: int, paused: bool) -> None:
        won = lifecycle.set_paused(self.job.pk, attempt, paused)
        target, origin = (
            (JobState.PAUSED, JobState.RUNNING) if paused else (JobState.RUNNING, JobState.PAUSED)
        )
        self.moved(won, attempt, target, origins=frozenset({origin}))

    @rule(attempt=claims)
    def renew(self, attempt: int) -> None:
        assert lifecycle.renew(self.job.pk, attempt) is (attempt == self.holder)

    @rule(attempt=claims)
    def finish(self, attempt: int) -> None:
        won = lifecycle.finish(self.job.pk, attempt, {})
        self.moved(won, attempt, JobState.SUCCEEDED, origins=frozenset({JobState.RUNNING}))

    @rule(attempt=claims)
    def fail(self, attempt: int) -> None:
        self.moved(lifecycle.fail(self.job.pk, attempt, "broke"), attempt, JobState.FAILED)

    @rule(attempt=claims)
    def cancelled(self, attempt: int) -> None:
        self.moved(lifecycle.cancelled(self.job.pk, attempt), attempt, JobState.CANCELLED)

    @rule(attempt=claims)
    def hand_back(self, attempt: int) -> None:
        self.moved(lifecycle.hand_back(self.job.pk, attempt, "draining"), attempt, JobState.QUEUED)

    @rule(attempt=claims)
    def lose(self, attempt: int) -> None:
        last = JobState.FAILED if self.lost + 1 >= MAX_ATTEMPTS else JobState.QUEUED
        if self.moved(lifecycle.lose(self.job.pk, attempt, "killed"), attempt, JobState.LOST, last):
            self.lost += 1

    @rule()
    def lease_ends_and_the_reaper_comes(self) -> None:
        Job.objects.filter(pk=self.job.pk, state__in=HELD).update(
            lease_expires_at=timezone.now() - timedelta(seconds=1)
        )
        taken = lifecycle.reap()
        assert taken == ([self.job.pk] if self.state in HELD else [])
        if taken:
            self.lost += 1
            self.holder = None
            self.state = JobState.FAILED if self.lost >= MAX_ATTEMPTS else JobState.QUEUED

    @rule()
    def user_stops(self) -> None:
        self.job.refresh_from_db()
        if self.state in TERMINAL:
            with pytest.raises(WrongState):
                control.cancel(actor=None, job=self.job)
            return
        control.cancel(actor=None, job=self.job)
        if self.state == JobState.QUEUED:
            self.state = JobState.CANCELLED

    @invariant()
    def the_row_is_as_the_model_says(self) -> None:
        row = Job.objects.get(pk=self.job.pk)
        assert (row.state, row.attempt, row.workers_lost) == (self.state, self.attempt, self.lost)
        assert (row.lease_expires_at is not None) is (self.state in HELD)
        assert (row.finished_at is not None) is (self.state in TERMINAL)

    @invariant()
    def only_a_waiting_job_has_a_doorbell(self) -> None:
        bells = OutboxMessage.objects.filter(job=self.job).count()
        if self.state != JobState.QUEUED:
            assert bells == 0
        elif self.attempt:
            assert bells == 1

    @invariant()
    def nothing_asked_stays_open_after_the_end(self) -> None:
        if self.state in TERMINAL:
            assert not JobEvent.objects.filter(job=self.job, status=JobEvent.Status.PENDING).exists()

    @invariant()
    def every_worker_is_still_there(self) -> None:
        assert Worker.objects.count() == 3


@pytest.mark.django_db
def test_any_order_of_events_keeps_to_the_table() -> None:
    run_state_machine_as_test(
        JobMachine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
