"""One worker process: Celery with one slot, bound to one device, with a warm zygote.

A worker of the queue ``recipe`` has several: a recipe only waits for the jobs that it submits.

``python -m workers.launch --queues train --device auto --name worker-train``
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.host import Host

RECIPES = "recipe"
QUEUES = ("train", "eval", "default", RECIPES)
RECIPES_AT_ONCE = 8
TICK_SECONDS = 0.05


def main(arguments: list[str] | None = None) -> int:
    """Serve queues until SIGTERM or SIGINT, which drain; return the exit status (2 for bad arguments)."""
    parser = argparse.ArgumentParser(prog="python -m workers.launch", description=__doc__)
    parser.add_argument("--queues", default="train,eval,default", help=f"of {', '.join(QUEUES)}; by commas")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<n>")
    parser.add_argument("--name", default="", help="stable over restarts; default: host, queues and device")
    options = parser.parse_args(arguments)
    queues = [queue.strip() for queue in options.queues.split(",") if queue.strip()]
    unknown = sorted(set(queues) - set(QUEUES))
    if unknown or not queues:
        parser.error(f"--queues: {options.queues!r} is refused: use one or more of {', '.join(QUEUES)}")
    if RECIPES in queues and queues != [RECIPES]:
        # Else recipes that wait could hold the slot that the jobs they wait for need.
        parser.error(
            f"--queues: {options.queues!r} is refused: a worker of {RECIPES!r} serves no other queue"
        )
    name = options.name or f"{socket.gethostname()}-{'-'.join(queues)}-{options.device.replace(':', '')}"
    if not re.fullmatch(r"[\w.-]{1,120}", name):
        parser.error(f"--name: {name!r} is refused: use letters, digits, dots, dashes and underscores")
    return serve(name=name, queues=queues, device=options.device)


def serve(*, name: str, queues: list[str], device: str) -> int:
    """Run the worker; return its exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    # Celery would check the whole site, and so import every page of it; that is the web process's business.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "1")
    # The driver counts GPUs so; CUDA would put the fastest first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    for number in (signal.SIGTERM, signal.SIGINT):  # until Celery takes them over
        signal.signal(number, _leave)
    from django.conf import settings

    # Before anything is marked as this worker's: what is so marked and not below this process is ended.
    lock = only_one(settings.HOME / "run", name)
    if lock is None:
        say(f"worker {name!r} runs already on this ACC_HOME; give this one another --name")
        return 2
    from workers.fork.client import ForkServerClient, NoZygote, end_leftovers, mark

    mark(f"{settings.HOME}:{name}")
    forks = ForkServerClient(name)
    if list(queues) != [RECIPES]:
        forks.start()  # it imports torch while this process imports Django, or is a fork of it that has both
    import django

    django.setup()
    from acc.errors import AccError
    from workers import host as hosts

    end_leftovers()  # of a worker of this name that was killed: nobody else runs here by it now
    host = hosts.Host(forks, name=name, queues=queues, device=device)
    try:
        host.start()
        hosts.install(host)
        return consume(host)
    except (AccError, NoZygote) as error:
        say(str(error))
        return 2
    finally:
        host.stop()
        lock.close()


def consume(host: Host) -> int:
    """Take messages until told to end; return Celery's exit status."""
    import structlog
    from celery import signals

    from accsite.celery import app

    log = structlog.get_logger("workers.launch")

    @signals.setup_logging.connect(weak=False)
    def _keep_logging(**_: Any) -> None:
        """Leave logging as Django's settings made it."""

    @signals.worker_shutting_down.connect(weak=False)
    def _drain(**_: Any) -> None:
        host.drain()

    ticks: list[Any] = []

    @signals.worker_ready.connect(weak=False)
    def _ready(sender: Any, **_: Any) -> None:
        # Ctrl-C, even twice, means the same as SIGTERM: the supervisor says when patience ends, not Celery.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
        # Celery's loop does not notice when a thread of the pool has become free; without this it would look
        # for the next message up to a second later. The signal comes again after each reconnection.
        while ticks:
            ticks.pop().cancel()
        ticks.append(sender.hub.call_repeatedly(TICK_SECONDS, _nothing))
        log.info("worker_serving", worker=host.name, queues=host.queues)

    worker = app.Worker(
        hostname=f"{host.name}@{socket.gethostname()}",
        queues=list(host.queues),
        pool="threads",
        concurrency=RECIPES_AT_ONCE if RECIPES in host.queues else 1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _nothing() -> None:
    """Turn Celery's loop once."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def say(sentence: str) -> None:
    """Tell whoever started this process what is wrong."""
    sys.stderr.write(f"{sentence}\n")


def only_one(folder: Path, name: str) -> IO[str] | None:
    """Return a lock that this process holds until it ends; None if another worker of this name holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"worker-{name}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


if __name__ == "__main__":
    sys.exit(main())
