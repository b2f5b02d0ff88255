"""One worker process: Celery with one slot, bound to one device, with a warm zygote.

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
from typing import IO, Any

QUEUES = ("train", "eval", "default")


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
    name = options.name or f"{socket.gethostname()}-{'-'.join(queues)}-{options.device.replace(':', '')}"
    if not re.fullmatch(r"[\w.-]{1,120}", name):
        parser.error(f"--name: {name!r} is refused: use letters, digits, dots, dashes and underscores")
    return serve(name=name, queues=queues, device=options.device)


def serve(*, name: str, queues: list[str], device: str) -> int:
    """Run the worker; return its exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django

    django.setup()
    import structlog
    from celery import signals
    from django.conf import settings

    from acc.errors import AccError
    from accsite.celery import app
    from workers import host as hosts
    from workers.children import NoZygote

    log = structlog.get_logger("workers.launch")
    lock = only_one(Path(settings.HOME) / "run", name)
    if lock is None:
        say(f"worker {name!r} runs already on this ACC_HOME; give this one another --name")
        return 2
    host = hosts.Host(name=name, queues=queues, device=device)
    try:
        host.start()
    except (AccError, NoZygote) as error:
        say(str(error))
        host.stop()
        return 2
    hosts.install(host)

    @signals.setup_logging.connect(weak=False)
    def _keep_logging(**_: Any) -> None:
        """Leave logging as Django's settings made it."""

    @signals.worker_shutting_down.connect(weak=False)
    def _drain(**_: Any) -> None:
        host.drain()

    @signals.worker_ready.connect(weak=False)
    def _ready(**_: Any) -> None:
        # Ctrl-C, even twice, means the same as SIGTERM: the supervisor says when patience ends, not Celery.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
        log.info("worker_serving", worker=name, queues=queues)

    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        queues=queues,
        pool="threads",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    try:
        worker.start()
    finally:
        host.stop()
        lock.close()
    return int(worker.exitcode or 0)


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
