"""One worker: its row and heartbeat, its zygote, and the jobs that it runs (one at a time, unless they wait)."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import QuerySet

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle, parts, queue, workers
from accsite.apps.jobs.states import HELD
from accsite.supervisor.health import say_alive
from workers.fork.client import ForkServerClient, Work
from workers.job import joblog
from workers.job.durable import disconnect, insist
from workers.machine import processes
from workers.machine.devices import resolve
from workers.machine.network import address_of
from workers.machine.telemetry import Telemetry
from workers.ranks.joining import Joining

log = structlog.get_logger(__name__)


class Host:
    """What the process of one worker holds. ``start`` once, ``run`` for each message, ``stop`` at the end."""

    def __init__(self, forks: ForkServerClient, *, name: str, queues: Sequence[str], device: str) -> None:
        self.name, self.queues, self.wanted = name, tuple(queues), device
        self.device = ""
        self.forks = forks
        self._logs = joblog.Keeper(name, forks.jobs)
        self._running: dict[int, float | None] = {}  # job -> since when it is not ours any more
        self._rung_again: set[int] = set()  # of those that run
        self._slots = threading.Lock()  # over who takes what
        self._joining: Joining | None = None
        self._asked_to_drain = False
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        self._drainer: threading.Thread | None = None
        self._guard: threading.Thread | None = None

    def start(self) -> None:
        """Bind the device and register; raises InvalidInput for a device or network interface that is not there."""
        resolve(self.wanted, cuda=True)  # a device that is not there is told before torch is waited for
        # A worker that computes nothing has no zygote before its first job.
        facts: dict[str, Any] = {"cuda": False, "pid": None}
        if self.forks.started:
            facts = self.forks.wait_until_ready()
        self.device = resolve(self.wanted, cuda=facts["cuda"])
        address = address_of(settings.ACC_RANKS_INTERFACE) if settings.ACC_RANKS_INTERFACE else ""
        if address:
            self._joining = Joining(self.forks, self.name, self.device)
        telemetry = Telemetry(self.device)
        insist(
            lambda: workers.register(
                name=self.name,
                hostname=settings.ACC_MACHINE or socket.gethostname(),
                address=address,
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
        self._logs.start()
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
        first = self._next(job_id)
        with self._slots:
            job_id = job_id if first in self._running else first  # another slot is about to claim that one
            if job_id in self._running:
                self._rung_again.add(job_id)  # the same message twice, or it was lost and waits again already
                return
            self._running[job_id] = None
        try:
            status = self.forks.run(Work(job_id), self.device, records=self._records(job_id))
            if status is not None:  # whatever it is: a job that its process has left unfinished is nobody's
                self._release(job_id, f"its process on {self.name} {processes.describe_exit(status)}")
        finally:
            with self._slots:
                self._running.pop(job_id, None)
                rung = job_id in self._rung_again
                self._rung_again.discard(job_id)
        if rung:
            self.run(job_id)

    def _next(self, rung: int) -> int:
        """Return the job to take for the doorbell of ``rung``: whichever is first in that queue."""
        try:
            return queue.next_for(self.name, rung)
        except DatabaseError as error:
            log.warning("queue_not_read", error=str(error).strip())
            return rung
        finally:
            disconnect()

    def _records(self, job_id: int) -> bool:
        """Return whether a job has records that a process of its own keeps."""
        try:
            recorded = [name for name, kind in kinds.KINDS.items() if kind.recorded]
            return Job.objects.filter(pk=job_id, kind__in=recorded).exists()
        except DatabaseError:
            return True
        finally:
            disconnect()

    def drain(self) -> None:
        """Take no more jobs and have the one in progress saved and handed back; safe in a signal handler."""
        if not self._asked_to_drain:  # a second signal inside the first must not wait for the event's lock
            self._asked_to_drain = True
            self._draining.set()

    def stop(self) -> None:
        """End zygote and heartbeat and say that this worker is gone."""
        self._draining.set()
        if self._joining is not None:
            self._joining.wait()
        self._stopped.set()
        for thread in (self._heart, self._drainer, self._guard):
            if thread is not None:
                thread.join(5)
        self.forks.stop()
        if self._heart is None:
            return  # it was never registered
        self._logs.stop()
        try:
            workers.offline(name=self.name)
        except DatabaseError as error:
            log.warning("not_marked_offline", error=str(error).strip())
        disconnect()

    def _drain_when_asked(self) -> None:
        self._draining.wait()
        self.forks.end_jobs()
        if self._stopped.is_set():
            return
        log.info("draining", worker=self.name)
        try:
            parts.drain(self.name)
            workers.drain(name=self.name)
        except DatabaseError as error:
            log.warning("not_marked_draining", error=str(error).strip())
        finally:
            disconnect()

    def _release(self, job_id: int, reason: str) -> None:
        """Have the job of a process that broke taken from it at once, not only when its lease ends."""

        def lose() -> None:
            job = self._held(job_id).first()
            if job is not None:
                joblog.keep_now(self.name, job_id)
            if job is not None and lifecycle.lose(job.pk, job.attempt, reason):
                log.warning("job_lost", job_id=job_id, reason=reason)

        insist(lose, given_up=self._stopped)

    def _held(self, job_id: int) -> QuerySet[Job]:
        return Job.objects.filter(pk=job_id, worker__name=self.name, state__in=HELD)

    def _end_what_is_not_ours(self) -> None:
        """Kill processes that have not ended by themselves a lease after their job ended or was taken from them.

        A job without a process yet (its zygote still starts) has had no chance to claim its row: it is let be.
        """
        now = time.monotonic()
        processes_of = self.forks.pids()
        for running in list(self._running):
            if Work(running) not in processes_of or self._held(running).exists():
                self._unheld(running, None)
                continue
            since = self._running.get(running) or now
            self._unheld(running, since)
            if now - since > settings.ACC_LEASE_SECONDS:
                log.warning(
                    "job_process_killed", job_id=running, hint="its job is not ours any more, and it hangs"
                )
                self.forks.kill(processes_of[Work(running)])

    def _unheld(self, job_id: int, since: float | None) -> None:
        if job_id in self._running:
            self._running[job_id] = since

    def _end_what_stands_still(self) -> None:
        """Kill processes that were stopped (SIGSTOP) for longer than a lease; asks no database.

        They may hold the database's lock, and then nobody could learn from there that their lease has ended.
        """
        since: dict[int, float] = {}
        while not self._stopped.wait(settings.ACC_HEARTBEAT_SECONDS):
            still = [pid for pid in self.forks.all_pids() if processes.is_stopped(pid)]
            now = time.monotonic()
            since = {pid: since.get(pid, now) for pid in still}
            for pid in still:
                if now - since[pid] > settings.ACC_LEASE_SECONDS:
                    log.warning("job_process_killed", pid=pid, hint="it was stopped for longer than a lease")
                    self.forks.kill(pid)

    def _beat(self, telemetry: Telemetry) -> None:
        try:
            while not self._stopped.wait(settings.ACC_HEARTBEAT_SECONDS):
                try:
                    workers.heartbeat(name=self.name, telemetry=telemetry.read())
                    say_alive()
                    self._end_what_is_not_ours()
                    if self._joining is not None and not self._draining.is_set():
                        self._joining.look()
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
