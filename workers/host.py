"""One worker: its row and heartbeat, its zygote, and the one job that it runs at a time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import QuerySet

from accsite.apps.training.models import Job
from accsite.apps.training.services import lifecycle, workers
from accsite.apps.training.states import HELD
from workers import processes
from workers.children import Nursery
from workers.devices import resolve
from workers.durable import disconnect, insist
from workers.telemetry import Telemetry

log = structlog.get_logger(__name__)


class Host:
    """What the process of one worker holds. ``start`` once, ``run`` for each message, ``stop`` at the end."""

    def __init__(self, nursery: Nursery, *, name: str, queues: Sequence[str], device: str) -> None:
        self.name, self.queues, self.wanted = name, tuple(queues), device
        self.device = ""
        self.nursery = nursery
        self._running: int | None = None
        self._unheld_since: float | None = None
        self._asked_to_drain = False
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        self._drainer: threading.Thread | None = None
        self._guard: threading.Thread | None = None

    def start(self) -> None:
        """Bind the device and register; raises InvalidInput for a device that is not there."""
        resolve(self.wanted, cuda=True)  # a device that is not there is told before torch is waited for
        facts = self.nursery.wait_until_ready()
        self.device = resolve(self.wanted, cuda=facts["cuda"])
        telemetry = Telemetry(self.device)
        insist(
            lambda: workers.register(
                name=self.name,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                device=self.device,
                queues=self.queues,
                telemetry=telemetry.read(),
            )
        )
        disconnect()
        log.info(
            "worker_online", worker=self.name, device=self.device, queues=self.queues, zygote=facts["pid"]
        )
        self._heart = threading.Thread(target=self._beat, args=(telemetry,), name="heartbeat", daemon=True)
        self._heart.start()
        self._guard = threading.Thread(target=self._end_what_stands_still, name="guard", daemon=True)
        self._guard.start()
        # Made beforehand: a signal handler must start nothing that takes a lock of somebody else's.
        self._drainer = threading.Thread(target=self._drain_when_asked, name="drain", daemon=True)
        self._drainer.start()

    def run(self, job_id: int) -> None:
        """Run a job in a fresh process and return at its end; one that its process left is set free."""
        if self._draining.is_set():
            return  # the job still waits in its row, and the sweeper rings for it again
        self._running, self._unheld_since = job_id, None
        try:
            status = self.nursery.run(job_id, self.device)
        finally:
            self._running = None
        if status != 0:
            self._release(job_id, f"its process on {self.name} {processes.describe_exit(status)}")

    def drain(self) -> None:
        """Take no more jobs and have the one in progress saved and handed back; safe in a signal handler."""
        if not self._asked_to_drain:  # a second signal inside the first must not wait for the event's lock
            self._asked_to_drain = True
            self._draining.set()

    def stop(self) -> None:
        """End zygote and heartbeat and say that this worker is gone."""
        self._draining.set()
        self._stopped.set()
        for thread in (self._heart, self._drainer, self._guard):
            if thread is not None:
                thread.join(5)
        self.nursery.stop()
        try:
            workers.offline(name=self.name)
        except DatabaseError as error:
            log.warning("not_marked_offline", error=str(error).strip())
        disconnect()

    def _drain_when_asked(self) -> None:
        self._draining.wait()
        self.nursery.end_job()
        if self._stopped.is_set():
            return
        log.info("draining", worker=self.name)
        try:
            workers.drain(name=self.name)
        except DatabaseError as error:
            log.warning("not_marked_draining", error=str(error).strip())
        finally:
            disconnect()

    def _release(self, job_id: int, reason: str) -> None:
        """Have the job of a process that broke taken from it at once, not only when its lease ends."""

        def lose() -> None:
            job = self._held(job_id).first()
            if job is not None and lifecycle.lose(job.pk, job.attempt, reason):
                log.warning("job_lost", job_id=job_id, reason=reason)

        insist(lose, given_up=self._stopped)

    def _held(self, job_id: int) -> QuerySet[Job]:
        """Return the job if this worker holds it."""
        return Job.objects.filter(pk=job_id, worker__name=self.name, state__in=HELD)

    def _end_what_is_not_ours(self) -> None:
        """Kill a process that has not ended by itself a lease after its job ended or was taken from it."""
        running = self._running
        if running is None or self._held(running).exists():
            self._unheld_since = None
            return
        now = time.monotonic()
        self._unheld_since = self._unheld_since or now
        if now - self._unheld_since > settings.ACC_LEASE_SECONDS and running == self._running:
            log.warning(
                "job_process_killed", job_id=running, hint="its job is not ours any more, and it hangs"
            )
            self.nursery.kill_job()

    def _end_what_stands_still(self) -> None:
        """Kill a process that was stopped (SIGSTOP) for longer than a lease; asks no database.

        It may hold the database's lock, and then nobody could learn from there that its lease has ended.
        """
        since: tuple[int, float] | None = None
        while not self._stopped.wait(settings.ACC_HEARTBEAT_SECONDS):
            pid = self.nursery.job_pid
            if pid is None or not processes.is_stopped(pid):
                since = None
            elif since is None or since[0] != pid:
                since = (pid, time.monotonic())
            elif time.monotonic() - since[1] > settings.ACC_LEASE_SECONDS:
                log.warning("job_process_killed", pid=pid, hint="it was stopped for longer than a lease")
                self.nursery.kill_job()
                since = None

    def _beat(self, telemetry: Telemetry) -> None:
        try:
            while not self._stopped.wait(settings.ACC_HEARTBEAT_SECONDS):
                try:
                    workers.heartbeat(name=self.name, telemetry=telemetry.read())
                    self._end_what_is_not_ours()
                except DatabaseError as error:
                    log.warning("heartbeat_not_written", error=str(error).strip())
                    disconnect()
        finally:
            disconnect()


_current: Host | None = None


def current() -> Host:
    """Return the host of this process; raises RuntimeError in a Celery worker that was not started by ACC."""
    if _current is None:
        raise RuntimeError("start workers with `python -m workers.launch`, not with Celery's own command")
    return _current


def install(host: Host) -> None:
    """Make ``host`` the one that this process's Celery tasks use."""
    global _current  # noqa: PLW0603 - Celery finds its tasks by name, so they find their host here
    _current = host
