"""A lease is renewed for as long as the job is ours, and its loss is noticed once."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from accsite.apps.jobs.services import lifecycle
from workers.job.lease import Lease

pytestmark = pytest.mark.both_databases


def test_a_lease_is_put_off_again_and_again(claimed, lease):
    first = claimed.fresh().lease_expires_at
    time.sleep(0.6)
    assert claimed.fresh().lease_expires_at > first
    assert claimed.fresh().lease_expires_at > timezone.now() + timedelta(seconds=0.3)
    assert not lease.fenced.is_set()


def test_the_loss_of_the_job_is_noticed_and_told_once(claimed, lease):
    told: list[str] = []
    called = threading.Event()
    lease.when_fenced(lambda: told.append("fenced"))
    lease.when_fenced(called.set)
    claimed.taken()
    assert called.wait(3)
    lease.lost()
    assert told == ["fenced"]
    assert lease.fenced.is_set()
    late: list[str] = []
    lease.when_fenced(lambda: late.append("at once"))
    assert late == ["at once"]


def test_the_end_of_the_job_itself_is_no_loss(claimed):
    with Lease(claimed.job.pk, claimed.attempt) as lease:
        assert lifecycle.finish(claimed.job.pk, claimed.attempt, {})
        time.sleep(0.3)
    assert not lease.fenced.is_set()


def test_a_database_that_is_away_for_a_while_does_not_cost_the_lease(claimed, monkeypatch):
    broken = threading.Event()
    renew = lifecycle.renew

    def unsteady(*arguments):
        if not broken.is_set():
            raise OperationalError("database is locked")
        return renew(*arguments)

    monkeypatch.setattr(lifecycle, "renew", unsteady)
    with Lease(claimed.job.pk, claimed.attempt) as lease:
        time.sleep(0.3)
        assert not lease.fenced.is_set()
        before = claimed.fresh().lease_expires_at
        broken.set()
        time.sleep(0.4)
        assert claimed.fresh().lease_expires_at > before
