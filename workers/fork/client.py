"""The worker's side of the fork server: keeps a zygote ready, and runs each job in a fork of it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from acc import forked
from workers.fork.channel import Channel
from workers.machine import processes

READY_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
# BLAS and OpenMP must not start threads at import; a job sets its own number after the fork. Threads that wait
# must sleep: spinning ones keep the cores from those they wait for when the machine is busy.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}
ZYGOTE_DIED = -signal.SIGKILL
MARK = "ACC_WORKER_MARK"
"""A variable of the environment by which the processes of a worker are known, wherever they end up."""

log = structlog.get_logger(__name__)


class Work(NamedTuple):
    """What a process is made for: a job, or the part of it with this id, whose rank 0 is on another machine."""

    job: int
    part: int = 0


_Process = subprocess.Popen[bytes] | forked.Fork


class NoZygote(RuntimeError):
    """No zygote became ready in time, so no job could be started."""


def mark(worker: str) -> None:
    """Mark everything that this process starts as the worker's: ``worker`` is unique on this machine.

    Only for who holds the worker's lock: ``end_leftovers`` ends whatever else bears the mark.
    """
    os.environ[MARK] = worker
    forked.show(MARK, worker)


def end_leftovers() -> None:
    """End what carries this worker's mark and is not below this process: left by one that was killed."""
    if MARK not in os.environ:
        return

    def find() -> list[int]:
        marked = processes.marked(f"{MARK}={os.environ[MARK]}")
        ours = set(processes.descendants(os.getpid()))
        return [pid for pid in marked if pid not in ours]

    killed, alive = processes.end_all(find)
    if killed:
        log.warning("leftovers_ended", pids=killed, alive=alive)


@dataclass
class _Running:
    """A process that was asked of the zygote; its id while it runs, and that of who keeps its records."""

    pid: int | None = None
    keeper: int | None = None
    ended: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)


class ForkServerClient:
    """Owns the zygote, replaces it when it dies, and runs jobs in forks of it."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.facts: dict[str, Any] = {}
        self.started = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # of the next, and of being asked to end
        self._is_ready = False
        self._closing = threading.Event()
        self._failures = 0
        self._channel: Channel | None = None
        self._process: _Process | None = None
        self._first: tuple[Channel, _Process] | None = None
        self._running: dict[Work, _Running] = {}
        self._asked_to_end = False
        # The kernel ties a zygote's life to the thread that starts it. The main thread starts the first where that is
        # a fork, this one the others: both live as long as we do.
        self._keeper = threading.Thread(target=self._keep, name="zygote-keeper", daemon=True)

    def start(self) -> None:
        """Begin to have a zygote; returns at once. Called again, it does nothing."""
        with self._lock:
            if not self.started:
                self.started = True
                if forked.possible():  # as long as there is no thread
                    self._first = self._launch()
                self._keeper.start()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Return what the zygote said of itself (torch, cuda, pid); raises NoZygote after ``seconds``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_ready or self._asked_to_end, seconds):
                raise NoZygote(f"no fork server was ready within {seconds:g} s; its errors are in this log")
            return self.facts

    def run(self, work: Work, device: str, *, records: bool = False) -> int | None:
        """Run ``work`` in a fresh process; return its exit status, negative if a signal ended it.

        records: whether a second process is to keep its records, which are written when this returns.
        What runs here already is left to that process, and what comes after ``end_jobs`` to another worker (None).
        Raises NoZygote if none becomes ready.
        """
        self.start()
        for _ in range(2):
            self.wait_until_ready()
            with self._lock:
                if work in self._running or self._asked_to_end:
                    return None
                if self._channel is None:
                    continue
                try:
                    self._channel.send(
                        {"work": work, "worker": self.worker, "device": device, "records": records}
                    )
                except OSError:
                    self._is_ready = False
                    continue
                running = self._running[work] = _Running()
            return running.ended.get()
        raise NoZygote("the fork server died each time it was asked for a process")

    def end_jobs(self) -> None:
        """Ask the jobs that run now, or are about to, to put their work down (SIGTERM); no others begin."""
        with self._changed:
            self._asked_to_end = True
            self._changed.notify_all()
            for running in self._running.values():
                self._terminate(running)

    def pids(self) -> dict[Work, int]:
        """Return process ids by what they run now."""
        with self._lock:
            return {work: each.pid for work, each in self._running.items() if each.pid is not None}

    def jobs(self) -> set[int]:
        """Return the jobs of which something runs now, or was asked to."""
        with self._lock:
            return {work.job for work in self._running}

    def all_pids(self) -> list[int]:
        """Return the processes of what runs now, and those that keep their records."""
        with self._lock:
            return self._all_pids()

    def kill(self, pid: int) -> None:
        """Kill one of ``all_pids`` if it still is."""
        with self._lock:
            if pid in self._all_pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _all_pids(self) -> list[int]:
        return [pid for each in self._running.values() for pid in (each.pid, each.keeper) if pid]

    def stop(self) -> None:
        """End the zygote, and with it whatever still runs in a fork of it."""
        self._closing.set()
        with self._lock:
            if self._channel is not None:
                # The zygote reads this as end-of-file, upon which it kills its children and leaves.
                self._channel.shut()
            process = self._process
        if process is not None:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keep(self) -> None:
        while not self._closing.is_set():
            began = time.monotonic()
            self._serve_one()
            if self._closing.is_set():
                return
            self._failures = 1 if time.monotonic() - began > STEADY_SECONDS else self._failures + 1
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
            log.warning("zygote_replaced", after_seconds=round(pause, 1))
            self._closing.wait(pause)

    def _launch(self) -> tuple[Channel, _Process]:
        ours, theirs = Channel.pair()
        process = forked.start(
            "workers.zygote",
            ["--parent", str(os.getpid()), "--channel", str(theirs.fileno())],
            environment={**os.environ, **ONE_THREAD},
            keep=[theirs.fileno()],
        )
        theirs.close()
        return ours, process

    def _serve_one(self) -> None:
        (ours, process), self._first = self._first or self._launch(), None
        with self._lock:
            self._channel, self._process = ours, process
        try:
            while (message := ours.receive()) is not None:
                self._hear(message)
        finally:
            with self._lock:
                self._is_ready = False
            process.kill()
            status = process.wait()
            end_leftovers()  # the kernel ended its children with it, but not what those had started
            with self._lock:
                self._channel = None
                for work in list(self._running):
                    self._finished(work, ZYGOTE_DIED)
            ours.close()
            if not self._closing.is_set():
                log.error("zygote_died", how=processes.describe_exit(status))

    def _hear(self, message: dict[str, Any]) -> None:
        if message["event"] == "ready":
            self.facts = message
            log.info("zygote_ready", seconds=message["seconds"], torch=message["torch"])
            with self._changed:
                self._is_ready = True
                self._changed.notify_all()
            return
        work = Work(*message["work"])
        with self._lock:
            running = self._running.get(work)
            if running is None:
                return
            match message["event"]:
                case "started":
                    running.pid, running.keeper = message["pid"], message["keeper"] or None
                    if self._asked_to_end:
                        self._terminate(running)
                case "work_closed":  # its id may be another process's from now on
                    running.pid = None
                case "records_closed":
                    running.keeper = None
                case "ended":
                    self._finished(work, message["status"])

    def _finished(self, work: Work, status: int) -> None:
        running = self._running.pop(work, None)
        if running is not None:
            running.ended.put(status)

    def _terminate(self, running: _Running) -> None:
        if running.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGTERM)
