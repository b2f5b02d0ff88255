"""Doorbells: a row written with the job, a message once it is committed, a sweeper for the rest."""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accsite.apps.jobs.models import Job, OutboxMessage, Worker
from accsite.apps.jobs.states import JobState
from accsite.celery import app

log = structlog.get_logger(__name__)

RING_SECONDS = 1.5
"""The longest that a request waits for its doorbell; after that the sweeper rings."""
RING_AGAIN_SECONDS = 5.0
"""Age of an unheard doorbell at which it is rung again while a worker of its queue has nothing to do."""
RING_AGAIN_AT_MOST_SECONDS = 600.0
"""The same while every worker is busy: a job may wait for hours, and messages must not pile up."""


def queue_up(job: Job) -> None:
    """Write the doorbell of a job that has just become QUEUED, and ring it once that is committed."""
    message = OutboxMessage.objects.create(job=job, queue=job.queue)
    transaction.on_commit(partial(_ring_first, message.pk, job.pk, job.queue), robust=True)


def sweep() -> list[int]:
    """Ring again for queued jobs that nobody claimed; return their ids.

    A bell that was never rung is due at once. One that was rung is due after RING_AGAIN_SECONDS if a worker
    of its queue sits idle (so the message was lost), else after twice as long each time.
    """
    now = timezone.now()
    OutboxMessage.objects.exclude(job__state=JobState.QUEUED).delete()
    idle = _idle_queues()
    rung: list[int] = []
    waiting = OutboxMessage.objects.filter(
        Q(rung_at=None) | Q(rung_at__lt=now - timedelta(seconds=RING_AGAIN_SECONDS))
    )
    for message in waiting.order_by("id"):
        if message.rung_at is None:
            due = message.created_at + timedelta(seconds=RING_SECONDS)
        else:
            patience = RING_AGAIN_SECONDS
            if message.queue not in idle:
                patience = min(patience * 2**message.rings, RING_AGAIN_AT_MOST_SECONDS)
            due = message.rung_at + timedelta(seconds=patience)
        if due > now:
            continue
        if not _ring(message.pk, message.job_id, message.queue):
            break  # the broker is away; the next sweep tries again
        rung.append(message.job_id)
    return rung


def ring_waiting(queue_name: str) -> None:
    """Ring for one job that waits in a queue, once this transaction is committed: a worker has come free."""
    message = (
        OutboxMessage.objects.filter(queue=queue_name, job__state=JobState.QUEUED).order_by("id").first()
    )
    if message is not None:
        transaction.on_commit(partial(_ring_first, message.pk, message.job_id, queue_name), robust=True)


def _ring_first(message_id: int, job_id: int, queue_name: str) -> None:
    _ring(message_id, job_id, queue_name)


def _ring(message_id: int, job_id: int, queue_name: str) -> bool:
    """Send the message and note it in its row; return whether the broker took it within RING_SECONDS."""
    if not _bell.ring(job_id, queue_name):
        log.warning("doorbell_not_rung", job=job_id, queue=queue_name, hint="the sweeper will ring again")
        return False
    message = OutboxMessage.objects.filter(pk=message_id).first()
    if message is not None:
        OutboxMessage.objects.filter(pk=message_id).update(rung_at=timezone.now(), rings=message.rings + 1)
    return True


def _idle_queues() -> set[str]:
    return {name for queues in Worker.objects.idle().values_list("queues", flat=True) for name in queues}


@dataclass
class _Ring:
    job_id: int
    queue: str
    done: threading.Event = field(default_factory=threading.Event)
    sent: bool = False


class _Bell:
    """One thread with one connection to the broker: a Redis that hangs holds nobody up beyond RING_SECONDS.

    A fork begins with a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._rings: queue.Queue[_Ring] = queue.Queue()

    def ring(self, job_id: int, queue_name: str) -> bool:
        """Return whether the broker took the message in time."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._rings = os.getpid(), queue.Queue(maxsize=100)
                threading.Thread(target=self._run, args=(self._rings,), name="doorbell", daemon=True).start()
        ring = _Ring(job_id, queue_name)
        try:
            self._rings.put_nowait(ring)
        except queue.Full:
            return False
        return ring.done.wait(RING_SECONDS) and ring.sent

    def _run(self, rings: queue.Queue[_Ring]) -> None:
        connection: Any = None
        address = app.conf.broker_write_url
        while True:
            ring = rings.get()
            if app.conf.broker_write_url != address:
                _close(connection)
                connection, address = None, app.conf.broker_write_url
            for _ in range(2):  # a connection that died while idle is found out by its first use
                reused = connection is not None
                try:
                    connection = connection or _connect()
                    app.send_task(
                        "workers.run_job",
                        args=[ring.job_id],
                        queue=ring.queue,
                        connection=connection,
                        retry=False,
                        ignore_result=True,
                    )
                    ring.sent = True
                    break
                except Exception as error:  # whatever the broker does, the thread must live
                    log.info("broker_unreachable", error=f"{type(error).__name__}: {error}")
                    _close(connection)
                    connection = None
                    if not reused:
                        break
            ring.done.set()


def _connect() -> Any:
    options = {"max_retries": 0, "socket_timeout": 1, "socket_connect_timeout": 1}
    return app.connection_for_write(connect_timeout=1, transport_options=options)


def _close(connection: Any) -> None:
    if connection is not None:
        try:
            connection.release()
        except Exception as error:
            log.info("broker_close_failed", error=str(error))


_bell = _Bell()
