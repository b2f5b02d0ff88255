"""A fork server: torch, Django and the engine are imported once, and every job gets a fresh process at once.

It has one thread, no connection to database or Redis, and never touches CUDA: none of these survive a fork.
Run by ``workers.fork.client`` as ``python -m workers.zygote --parent PID --channel FD``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from django.conf import settings

from workers.fork.channel import Channel
from workers.job.records import Pipe
from workers.machine import processes

# What jobs need, and what torch and the drivers would only import at first use, in every job again.
PRELOAD = (
    "torch",
    "torch._dynamo",
    "torch.profiler._cupti_monitor",
    "numpy.ctypeslib",
    "safetensors.torch",
    "safetensors.numpy",
    "channels_redis.core",
    "redis.asyncio",
    "acc.api",
    "acc.models",
    "acc.plugins",
    "acc.evaluation",
    "acc.render",
    "acc.training.trainer",
    "workers.job.record_keeper",
    "workers.ranks.part",
    "workers.runner",
)

LOOK_SECONDS = 1.0
KEEPER_LEASES = 1.5
"""So many leases after its job has ended, one that keeps records is ended; by itself it leaves after one."""

log = structlog.get_logger(__name__)


class NotForkable(RuntimeError):
    """Something lives in this process that a fork would break."""


def preload() -> None:
    """Import all that jobs need, and open nothing."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    gc.disable()  # little of what is imported is garbage, and to look for it meanwhile takes a tenth of the time
    import django
    from django.db import connections

    django.setup()
    from accsite.apps.live.sender import keep_random_apart

    for name in PRELOAD:
        importlib.import_module(name)
    for alias in connections:
        connections[alias]  # imports the driver; the connection itself is made by its first query
    keep_random_apart()
    # What lives now lives for ever: out of the collector's reach, its pages stay shared with the forks.
    gc.collect()
    gc.freeze()
    gc.enable()


def require_forkable() -> None:
    """Raise NotForkable if a thread, a database connection or CUDA is alive in this process."""
    import torch
    from django.db import connections

    count = processes.threads()
    if count != 1:
        raise NotForkable(f"the zygote has {count} threads; a fork would inherit their locks, but not them")
    open_ones = [c.alias for c in connections.all(initialized_only=True) if c.connection is not None]
    if open_ones:
        raise NotForkable(f"the zygote holds a connection to the database {', '.join(open_ones)}")
    if torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork():
        raise NotForkable("the zygote has initialised CUDA, which a forked process cannot use")


_Run = Callable[[dict[str, Any], Pipe | None], int]


@dataclass
class _Child:
    """What runs in a child: see ``workers.fork.client.Work``; keeper: the process that keeps its records, 0 for none.

    status: how it ended, once it has, and its keeper may not go on after ``keeper_until``.
    """

    work: list[int]
    keeper: int = 0
    status: int | None = None
    keeper_until: float = 0.0


class Zygote:
    """Forks a child for each request of its worker, and reports each child's end.

    A child whose records are kept has a second process beside it, which outlives it until all is written that it has
    handed over: only then its end is reported.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        processes.adopt_orphans()  # of jobs that are over: what is left of a living one belongs to that
        self.children: dict[int, _Child] = {}  # by process id
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Work until the worker is gone; its children are then killed."""
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ending = any(child.status is not None for child in self.children.values())
                ready = {key.fd for key, _ in selector.select(LOOK_SECONDS if ending else None)}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                    self._reap()
                if self.channel.fileno() in ready:
                    request = self.channel.receive()
                    if request is None:
                        break
                    self._fork(request)
                self._end_late_keepers()
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _fork(self, request: dict[str, Any]) -> None:
        require_forkable()
        sys.stdout.flush()
        sys.stderr.flush()
        pipe = keepers = None
        if request["records"]:
            pipe, keepers = Pipe.pair()
        pid = self._fork_one(request, _work, pipe, keepers)
        child = self.children[pid] = _Child(request["work"])
        if pipe is not None and keepers is not None:
            child.keeper = self._fork_one(request, _keep_records, keepers, pipe)
            pipe.forget()
            keepers.forget()
        self._tell("started", child, pid, keeper=child.keeper)

    def _fork_one(self, request: dict[str, Any], run: _Run, pipe: Pipe | None, other: Pipe | None) -> int:
        """Return the id of a fork that runs ``run`` with the request and ``pipe``, and has no ``other`` end of it."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            if other is not None:
                other.forget()
            self._be_child(parent, request, run, pipe)
        return pid

    def _be_child(self, parent: int, request: dict[str, Any], run: _Run, pipe: Pipe | None) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # Of its own session: Ctrl-C in a terminal reaches the whole group, and must not end a job.
            os.setsid()
            processes.end_with(parent)
            processes.adopt_orphans()
            self.channel.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            status = run(request, pipe)
        except BaseException:
            log.exception("the job's process broke", work=request.get("work"))
        finally:
            # Never back into the zygote's loop, and no exit handlers of what the zygote had imported.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Tell of the jobs that have ended, each once nothing that it started is left and its records are written."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            kept = next((job for job, child in self.children.items() if child.keeper == pid), None)
            if kept is not None:
                self.children[kept].keeper = 0
                self._tell("records_closed", self.children[kept], kept)
                self._tell_if_over(kept)
            elif pid in self.children:  # else something that a job had started
                self._note_end(pid, os.waitstatus_to_exitcode(status))

    def _note_end(self, pid: int, status: int) -> None:
        child = self.children[pid]
        child.status = status
        self._tell("work_closed", child, pid)
        child.keeper_until = time.monotonic() + KEEPER_LEASES * settings.ACC_LEASE_SECONDS
        # Also for the keeper of its records: what a job has started holds its end of the pipe, too.
        _, alive = processes.end_all(lambda: processes.descendants(os.getpid(), but=self._pids()))
        if alive:
            log.warning("processes_left", work=child.work, pids=alive, hint="they were killed and do not end")
        self._tell_if_over(pid)

    def _tell_if_over(self, pid: int) -> None:
        child = self.children[pid]
        if child.status is not None and not child.keeper:
            del self.children[pid]
            self._tell("ended", child, pid, status=child.status)

    def _end_late_keepers(self) -> None:
        """End those that have not ended by themselves though their job has: each would keep the job from another."""
        now = time.monotonic()
        for child in self.children.values():
            if child.keeper and child.status is not None and now > child.keeper_until:
                log.warning(
                    "record_keeper_killed", work=child.work, hint="its job has ended, and it does not"
                )
                os.kill(child.keeper, signal.SIGKILL)
                child.keeper_until = float("inf")

    def _pids(self) -> set[int]:
        keepers = {child.keeper for child in self.children.values() if child.keeper}
        return keepers | {pid for pid, child in self.children.items() if child.status is None}

    def _tell(self, event: str, child: _Child, pid: int, **more: int) -> None:
        self.channel.send({"event": event, "work": child.work, "pid": pid, **more})


def _work(request: dict[str, Any], records: Pipe | None) -> int:
    from workers import runner
    from workers.ranks import part

    job_id, part_id = request["work"]
    if part_id:
        return part.main(part_id, request["worker"])
    return runner.main(job_id, request["worker"], request["device"], records)


def _keep_records(request: dict[str, Any], pipe: Pipe | None) -> int:
    from workers.job import record_keeper

    assert pipe is not None
    return record_keeper.main(request["worker"], request["work"][0], pipe)


def _nothing(_number: int, _frame: object) -> None:
    """Let SIGCHLD wake the selector through its descriptor."""


def main() -> int:
    """Preload, say so, and serve."""
    parser = argparse.ArgumentParser(prog="workers.zygote", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True)
    arguments = parser.parse_args()
    processes.end_with(arguments.parent)
    # SIGTERM is the worker's business. Blocked rather than ignored, so that one sent to a child that has just
    # been forked waits until the child can take it. SIGINT of a terminal means the worker, too.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel.inherited(arguments.channel)
    began = time.perf_counter()
    preload()
    require_forkable()
    import torch

    channel.send(
        {
            "event": "ready",
            "pid": os.getpid(),
            "seconds": round(time.perf_counter() - began, 2),
            "torch": torch.__version__,
            "cuda": torch.version.cuda is not None,
        }
    )
    try:
        Zygote(channel).serve()
    except BrokenPipeError:
        return 0  # the worker is gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
