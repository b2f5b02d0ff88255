"""Looks for the ends of the jobs that a recipe waits for: one query for all of them, however many threads wait."""

from __future__ import annotations

import threading
from collections import Counter

import structlog
from django.db import Error as DatabaseError

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import TERMINAL
from workers.job.durable import disconnect

LOOK_SECONDS = 0.15
LONGEST_SECONDS = 2.0
"""How long is waited for a look; whoever waits then looks by itself."""

log = structlog.get_logger(__name__)


class Ends:
    """Wakes who waits for the end of a job. Used by all threads of a recipe; ``ending``: of the recipe itself."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self._waiting: Counter[int] = Counter()
        self._looks = False
        self._seen = threading.Condition()
        self._ended: set[int] = set()

    def wait(self, job_id: int) -> None:
        """Return when a job has ended or the recipe is to end, after LONGEST_SECONDS in any case."""
        with self._seen:
            self._waiting[job_id] += 1
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look, name="ends", daemon=True).start()
            self._seen.wait_for(lambda: job_id in self._ended or self._ending.is_set(), LONGEST_SECONDS)
            self._waiting -= Counter([job_id])

    def _look(self) -> None:
        try:
            while True:
                self._ending.wait(LOOK_SECONDS)
                with self._seen:
                    asked = list(self._waiting)
                    if not asked or self._ending.is_set():
                        self._looks = False
                        self._seen.notify_all()
                        return
                try:
                    ended = Job.objects.filter(pk__in=asked, state__in=TERMINAL).values_list("pk", flat=True)
                    found = set(ended)
                except DatabaseError as error:
                    log.info("ends_not_read", error=str(error).strip())
                    disconnect()
                    continue
                with self._seen:
                    self._ended = found
                    if found:
                        self._seen.notify_all()
        finally:
            disconnect()
