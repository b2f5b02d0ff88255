"""The worker's side of the fork server: keeps a zygote ready, and runs one job at a time in a fork of it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import structlog

from workers import processes
from workers.channel import Channel

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

log = structlog.get_logger(__name__)


class NoZygote(RuntimeError):
    """No zygote became ready in time, so no job could be started."""


class Nursery:
    """Owns the zygote, replaces it when it dies, and runs a job in a fork of it."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.facts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._failures = 0
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._in_flight = False
        self._asked_to_end = False
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        # The kernel ties the zygote's life to the thread that starts it; this one lives as long as we do.
        self._keeper = threading.Thread(target=self._keep, name="zygote-keeper", daemon=True)

    def start(self) -> None:
        """Begin to have a zygote; returns at once."""
        self._keeper.start()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Return what the zygote said of itself (torch, cuda, pid); raises NoZygote after ``seconds``."""
        if not self._ready.wait(seconds):
            raise NoZygote(f"no fork server was ready within {seconds:g} s; its errors are in this log")
        return self.facts

    def run(self, job_id: int, device: str) -> int:
        """Run the job in a fresh process; return its exit status, negative if a signal ended it.

        Only one call at a time. Raises NoZygote if none becomes ready.
        """
        for _ in range(2):
            self.wait_until_ready()
            with self._lock:
                if self._channel is None:
                    continue
                try:
                    self._channel.send({"job": job_id, "worker": self.worker, "device": device})
                except OSError:
                    self._ready.clear()
                    continue
                self._in_flight = True
            return self._ended.get()
        raise NoZygote("the fork server died each time it was asked for a process")

    def end_job(self) -> None:
        """Ask the job that runs now, or is about to, to put its work down (SIGTERM)."""
        with self._lock:
            self._asked_to_end = True
            self._terminate()

    @property
    def job_pid(self) -> int | None:
        """The process id of the job that runs now."""
        return self._pid

    def kill_job(self) -> None:
        """Kill the job that runs now."""
        with self._lock:
            if self._pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)

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

    def _serve_one(self) -> None:
        ours, theirs = Channel.pair()
        command = [sys.executable, "-m", "workers.zygote"]
        command += ["--parent", str(os.getpid()), "--channel", str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )
        theirs.close()
        with self._lock:
            self._channel, self._process = ours, process
        try:
            while (message := ours.receive()) is not None:
                self._hear(message)
        finally:
            self._ready.clear()
            process.kill()
            status = process.wait()
            with self._lock:
                self._channel, self._pid = None, None
                if self._in_flight:
                    self._finished(ZYGOTE_DIED)  # the kernel ended its children with it
            ours.close()
            if not self._closing.is_set():
                log.error("zygote_died", how=processes.describe_exit(status))

    def _hear(self, message: dict[str, Any]) -> None:
        if message["event"] == "ready":
            self.facts = message
            log.info("zygote_ready", seconds=message["seconds"], torch=message["torch"])
            self._ready.set()
            return
        with self._lock:
            if message["event"] == "started":
                self._pid = message["pid"]
                if self._asked_to_end:
                    self._terminate()
            else:
                self._pid = None
                self._finished(message["status"])

    def _finished(self, status: int) -> None:
        self._in_flight = False
        self._ended.put(status)

    def _terminate(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
