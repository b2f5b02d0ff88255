"""A job's doorbell is written with it, rung when it is committed, and rung again if nobody hears it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import transaction
from django.utils import timezone

from accsite.apps.jobs.models import Job, OutboxMessage
from accsite.apps.jobs.services import lifecycle, outbox
from accsite.apps.jobs.states import JobState
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.supervisor.redis import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def broker(redis_server: RedisServer) -> Iterator[Any]:
    client = redis.Redis.from_url(redis_server.url)
    client.delete("train", "eval", "default")
    yield client
    client.close()


def submit() -> Job:
    branch = rows.make_branch(None, f"digits-{Job.objects.count()}")
    rows.make_plugins()
    rows.make_task(branch, rows.make_dataset(f"data-{branch.pk}"))
    return jobs.submit_training(actor=None, branch=branch, train={"steps": 1})


def age(seconds: float) -> None:
    moment = timezone.now() - timedelta(seconds=seconds)
    OutboxMessage.objects.update(rung_at=moment, created_at=moment)


def test_a_submitted_job_rings_once_on_its_queue(broker: Any) -> None:
    submit()
    assert broker.llen("train") == 1
    message = OutboxMessage.objects.get()
    assert (message.rings, message.rung_at is not None) == (1, True)


def test_nothing_rings_for_what_was_rolled_back(broker: Any) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        submit()
        raise RuntimeError
    assert broker.llen("train") == 0
    assert not Job.objects.exists()


def test_without_a_broker_the_job_is_accepted_at_once_and_rung_later(
    redis_server: RedisServer, broker: Any
) -> None:
    redis_server.stop()
    try:
        began = time.monotonic()
        job = submit()
        assert time.monotonic() - began < 2
        assert outbox.sweep() == []
    finally:
        redis_server.start()
    assert OutboxMessage.objects.get().rung_at is None
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(seconds=outbox.RING_SECONDS))
    assert outbox.sweep() == [job.pk]
    assert broker.llen("train") == 1


def test_a_broker_that_hangs_delays_a_request_by_no_more_than_it_is_waited_for(
    redis_server: RedisServer, broker: Any
) -> None:
    began = time.monotonic()
    submit()
    usual = time.monotonic() - began
    redis_server.pause()
    try:
        began = time.monotonic()
        submit()
        # a broker that is waited for without an end takes many times as long, however busy the machine is
        assert time.monotonic() - began < 2 * outbox.RING_SECONDS + usual
    finally:
        redis_server.resume()
    assert list(OutboxMessage.objects.order_by("id").values_list("rings", flat=True)) == [1, 0]


def test_a_doorbell_that_an_idle_worker_did_not_hear_rings_again(broker: Any) -> None:
    job = submit()
    rows.make_worker("cpu-0")
    assert outbox.sweep() == []
    age(outbox.RING_AGAIN_SECONDS)
    assert outbox.sweep() == [job.pk]
    assert outbox.sweep() == []
    assert broker.llen("train") == 2


def test_while_every_worker_is_busy_messages_do_not_pile_up(broker: Any) -> None:
    worker = rows.make_worker("cpu-0")
    busy, waiting = submit(), submit()
    assert lifecycle.claim(busy.pk, worker) is not None
    age(outbox.RING_AGAIN_SECONDS + 1)
    assert outbox.sweep() == []
    age(2 * outbox.RING_AGAIN_SECONDS + 1)
    assert outbox.sweep() == [waiting.pk]
    age(2 * outbox.RING_AGAIN_SECONDS + 1)
    assert outbox.sweep() == []


def test_a_job_that_nobody_waits_for_has_no_doorbell_left(broker: Any) -> None:
    job = submit()
    Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED)
    assert outbox.sweep() == []
    assert not OutboxMessage.objects.exists()
