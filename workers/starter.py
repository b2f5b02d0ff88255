"""Imports once what the processes of the platform and their fork servers need, and forks them: they share its memory.

Started by the supervisor of `manage.py up`, and asked over a socket. It has one thread and no connection; a process
of the table is a fork of it, a worker's zygote and the watcher's check server are forks of those. Whatever it has
started is asked to end (SIGTERM) when it ends itself: by itself if it can, by the kernel if it was killed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import selectors
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from acc import forked
from accsite.supervisor import family
from accsite.supervisor.starter import receive, send

PRELOAD = (
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "watchdog.observers",
    "acc.plugins.check_server",
    "accsite.apps.datasets.services.uploads",
    "accsite.apps.trees.services.deletion",
    "workers.hands",
    "workers.host",
    "workers.latent",
    "workers.launch",
    "workers.plugins.watch",
    "workers.sweeper",
    "workers.tasks",
    "workers.watcher",
)
LOOK_SECONDS = 0.1


@dataclass
class _Started:
    """A fork: the number of its request, and until when it may go on once it was asked to end."""

    number: int
    fork: forked.Fork
    grace_seconds: float


class Starter:
    """Forks what it is asked for, tells of each end, and ends all when the supervisor is gone or says so."""

    def __init__(self, end: socket.socket, environment: dict[str, str]) -> None:
        self._end, self._environment = end, environment
        self._started: list[_Started] = []
        self._asked_to_end = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Work until SIGTERM, or until the supervisor is gone."""
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGINT, _nothing)  # the supervisor's business
        signal.signal(signal.SIGTERM, self._stop)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._tell({"event": "ready"})
        with selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._asked_to_end:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                    self._reap()
                if self._end.fileno() in ready:
                    request = receive(self._end)
                    if request is None:
                        break
                    self._fork(*request)
        self._end_all()

    def _stop(self, _number: int, _frame: object) -> None:
        self._asked_to_end = True

    def _fork(self, request: dict[str, Any], files: list[int]) -> None:
        from workers.zygote import require_forkable

        require_forkable()
        (output,) = files
        fork = forked.fork(
            request["module"],
            request["arguments"],
            environment=self._environment,
            stdout=output,
            stderr=output,
            death_signal=signal.SIGTERM,
        )
        os.close(output)
        started = _Started(request["number"], fork, request["grace_seconds"])
        self._started.append(started)
        handle = os.pidfd_open(fork.pid)
        self._tell({"event": "started", "number": started.number, "pid": fork.pid}, handle)
        os.close(handle)

    def _reap(self) -> None:
        for started in list(self._started):
            status = started.fork.poll()
            if status is not None:
                self._started.remove(started)
                self._tell({"event": "ended", "number": started.number, "status": status})

    def _end_all(self) -> None:
        """Ask all that was started to end, and kill what is not gone after its grace period."""
        began = time.monotonic()
        for started in self._started:
            started.fork.send_signal(signal.SIGTERM)
        while self._started:
            self._reap()
            for started in self._started:
                if time.monotonic() - began > started.grace_seconds:
                    with suppress(ProcessLookupError):
                        os.killpg(started.fork.pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS)

    def _tell(self, message: dict[str, Any], *files: int) -> None:
        with suppress(OSError):  # the supervisor is gone: that is read where requests are
            send(self._end, message, files)


def preload() -> None:
    """Import all that the forks need, and open nothing."""
    from workers import zygote

    zygote.preload()
    for name in PRELOAD:
        importlib.import_module(name)
    from accsite.celery import app

    # Else Celery checks the whole site, and so imports every page of it. The forks have the environment of before.
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    app.loader.import_default_modules()
    app.finalize()
    gc.collect()
    gc.freeze()


def _nothing(_number: int, _frame: object) -> None:
    """Let a signal wake the selector through its descriptor."""


def main() -> int:
    """Preload, say so, and serve."""
    parser = argparse.ArgumentParser(prog="python -m workers.starter", description=__doc__)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--room", default="", help="room for the titles of the forks")
    arguments = parser.parse_args()
    os.environ.pop(forked.ROOM, None)
    family.settle(os.environ)
    environment = dict(os.environ)
    # Titles take the place of the arguments alone: the environment is where a worker's processes bear its mark.
    environment["SPT_NOENV"] = os.environ["SPT_NOENV"] = "1"
    from setproctitle import setproctitle

    setproctitle("acc starter")
    from workers.fork.client import ONE_THREAD

    os.environ.update(ONE_THREAD)
    end = socket.socket(fileno=arguments.channel)
    preload()
    from workers.zygote import require_forkable

    require_forkable()
    forked.warm()
    Starter(end, environment).serve()
    return 0


if __name__ == "__main__":
    os._exit(main())
