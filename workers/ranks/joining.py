"""A worker's share in jobs that workers of other machines hold: it runs their parts beside its queue."""

from __future__ import annotations

import threading
import time
from functools import partial

import structlog
from django.conf import settings

from accsite.apps.jobs.models import JobPart
from accsite.apps.jobs.services import parts
from workers.fork.client import ForkServerClient, NoZygote, Work
from workers.job.durable import disconnect, insist
from workers.machine import processes

log = structlog.get_logger(__name__)


class Joining:
    """Joins the parts that wait for a worker, each in a process of its own, and sees how they end."""

    def __init__(self, forks: ForkServerClient, worker: str, device: str) -> None:
        self._forks, self._worker, self._device = forks, worker, device
        self._running: dict[int, threading.Thread] = {}

    def look(self) -> None:
        """Join what waits; raises the database's errors."""
        self._running = {pk: thread for pk, thread in self._running.items() if thread.is_alive()}
        for part in parts.waiting_for(self._worker):
            if part.pk not in self._running:
                thread = threading.Thread(target=self._run, args=(part,), name=f"part-{part.pk}", daemon=True)
                self._running[part.pk] = thread
                thread.start()

    def wait(self) -> None:
        """Wait for rank 0 to put the jobs down whose parts run here, as long as it may take to hear a stop."""
        until = time.monotonic() + settings.ACC_STOP_SECONDS
        for thread in self._running.values():
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, part: JobPart) -> None:
        try:
            status = self._forks.run(Work(part.job_id, part.pk), self._device)
            left = status is not None and JobPart.objects.live().filter(pk=part.pk).exists()
            how = processes.describe_exit(status) if left and status is not None else ""
        except NoZygote as error:
            how = f"did not start ({error})"
        if how:
            log.warning("part_lost", job_id=part.job_id, part=part.pk, how=how)
            insist(partial(parts.end, part, lost=f"{part.ranks} {how} on {self._worker}"))
        disconnect()
