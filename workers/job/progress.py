"""Tells how far a job has come, at most four times a second and never on the thread that does the work."""

from __future__ import annotations

import contextvars
import threading
import time
from types import TracebackType

import structlog
from django.db import Error as DatabaseError

from accsite.apps.jobs.services import progress as service
from workers.job.context import JobContext
from workers.job.durable import disconnect

EVERY_SECONDS = 0.25
PARTS = 1_000

log = structlog.get_logger(__name__)


class Progress:
    """Call it with the fraction done, 0..1, from anywhere; within ``with``, what it was told last is written.

    total: the steps that 1 stands for; None: a thousandth is a step. The lease tells a job that was lost.
    """

    def __init__(self, context: JobContext, total: int | None) -> None:
        self.total = total or PARTS
        self._context = context
        self._fraction = 0.0
        self._written = -1
        self._began = time.monotonic()
        self._stop = threading.Event()
        variables = contextvars.copy_context()
        self._thread = threading.Thread(target=variables.run, args=(self._run,), name="progress", daemon=True)

    def __call__(self, fraction: float) -> None:
        """Note how much is done; it never goes back."""
        self._fraction = max(self._fraction, min(1.0, float(fraction)))

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(EVERY_SECONDS):
                self._write()
            self._write()
        finally:
            disconnect()

    def _write(self) -> None:
        step = round(self._fraction * self.total)
        if step == self._written:
            return
        seconds = time.monotonic() - self._began
        rate = step / seconds if step and seconds > 0 else None
        job = self._context.job.pk
        try:
            if service.report(job, self._context.attempt, step=step, total=self.total, rate=rate):
                self._written = step
            else:
                self._stop.set()
        except DatabaseError as error:
            log.warning("progress_not_written", error=str(error).strip())
            disconnect()
