"""Keeps a job's lease alive, and finds out when the job has been given to somebody else."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from accsite.apps.jobs.services import lifecycle
from workers.job.durable import disconnect
from workers.machine import processes

RENEWALS_PER_LEASE = 4
SETTLE_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Lease:
    """Renews a lease on a thread of its own; ``fenced`` is set for good once it is lost.

    It is the lease of an attempt at a job, or by ``renew`` that of a part of one.

    A database that is away proves nothing: the lease may still be ours, so the work goes on, and the fencing
    token refuses whatever should come too late.
    """

    def __init__(self, job_id: int, attempt: int, renew: Callable[[], bool] | None = None) -> None:
        self.job_id, self.attempt = job_id, attempt
        self._renew = renew or partial(lifecycle.renew, job_id, attempt)
        self.fenced = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seconds = min(settings.ACC_HEARTBEAT_SECONDS, settings.ACC_LEASE_SECONDS / RENEWALS_PER_LEASE)
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def when_fenced(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called once the lease is lost; at once if it is already."""
        with self._lock:
            self._listeners.append(listener)
            lost = self.fenced.is_set()
        if lost:
            listener()

    def lost(self) -> None:
        """Note that the job is no longer ours; whoever learns it first says so here."""
        with self._lock:
            if self.fenced.is_set():
                return
            self.fenced.set()
            listeners = list(self._listeners)
        log.warning("fenced", attempt=self.attempt, hint="the job is another's now; nothing more is written")
        for listener in listeners:
            listener()

    def _run(self) -> None:
        try:
            adopted = processes.Adopted()
            while not self._stop.wait(self._seconds):
                adopted.look()
                try:
                    ours = self._renew()
                except DatabaseError as error:
                    log.warning("lease_not_renewed", error=str(error).strip())
                    disconnect()
                    continue
                if not ours:
                    # The end of the job, just written by another thread, looks the same for a moment.
                    if not self._stop.wait(SETTLE_SECONDS):
                        self.lost()
                    return
        finally:
            disconnect()
