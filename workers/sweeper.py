"""Rings again for jobs that nobody came for, and takes jobs from workers that fell silent.

``python -m workers.sweeper``
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from accsite.supervisor.health import say_alive

TIDY_SECONDS = 30.0


def main() -> int:
    """Sweep and reap every ACC_SWEEP_SECONDS until SIGTERM or SIGINT."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django

    django.setup()
    import structlog
    from django.conf import settings

    log = structlog.get_logger("workers.sweeper")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("sweeper_started", every_seconds=settings.ACC_SWEEP_SECONDS)
    while not stop.is_set():
        say_alive()
        once()
        tidy()
        stop.wait(settings.ACC_SWEEP_SECONDS)
    return 0


def once() -> None:
    """Reap and sweep; a database or broker that is away is logged and tried again the next time."""
    import structlog
    from django.db import Error as DatabaseError

    from accsite.apps.jobs.services import lifecycle, outbox
    from workers.job.durable import disconnect

    log = structlog.get_logger("workers.sweeper")
    try:
        taken = lifecycle.reap()
        if taken:
            log.warning("jobs_taken_from_silent_workers", jobs=taken)
        rung = outbox.sweep()
        if rung:
            log.info("rang_again", jobs=rung)
    except DatabaseError as error:
        log.warning("sweep_failed", error=str(error).strip())
        disconnect()
    except Exception:
        # Whatever else goes wrong, other jobs still need their doorbells.
        log.exception("sweep_failed")
        disconnect()


_next_tidying = 0.0


def tidy() -> None:
    """Every TIDY_SECONDS, delete removed datasets and checkpoints whose time is over, and files nobody is to read."""
    global _next_tidying  # noqa: PLW0603 - one sweeper, one clock
    if time.monotonic() < _next_tidying:
        return
    _next_tidying = time.monotonic() + TIDY_SECONDS
    import structlog

    from accsite.apps.datasets import services as datasets
    from accsite.apps.datasets.services import uploads
    from accsite.apps.training.services import tracked
    from accsite.apps.trees.services import deletion
    from workers.job.durable import disconnect

    log = structlog.get_logger("workers.sweeper")
    try:
        gone = [*datasets.purge(), *uploads.purge(), *tracked.purge()]
        deletion.purge()
        if gone:
            log.info("purged", names=gone)
    except Exception:
        log.exception("tidying_failed")
        disconnect()


if __name__ == "__main__":
    sys.exit(main())
