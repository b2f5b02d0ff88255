"""What rank 0 knows of the parts of its job that other machines run: their rows, read again and again."""

from __future__ import annotations

import time

from accsite.apps.jobs.models import Job, JobPart
from accsite.apps.jobs.services import parts

LOOK_SECONDS = 0.5


class Elsewhere:
    """The parts of a job, as their rows were when ``look`` read them last; none for a job of one machine."""

    def __init__(self, job: Job | None = None) -> None:
        self._job = job
        self.parts: list[JobPart] = [] if job is None else parts.of(job)
        self._silent: set[int] = set()
        self._looked = 0.0

    @property
    def ranks(self) -> int:
        """How many ranks other machines run."""
        return sum(len(part.devices) for part in self.parts)

    @property
    def draining(self) -> str:
        """The worker of a part that is to shut down; '' if none is."""
        return next((_name(part) for part in self.parts if part.draining), "")

    @property
    def named(self) -> str:
        """All parts with their workers, in words; '' if there are none."""
        return " and ".join(f"{part.ranks} on {_name(part)}" for part in self.parts)

    def look(self) -> None:
        """Read the rows again if that was a while ago; raises the database's errors."""
        if self._job is None or not self.parts or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self.parts = parts.of(self._job)
        self._silent = set(parts.silent(self._job).values_list("pk", flat=True))
        self._looked = time.monotonic()

    def lost(self) -> list[tuple[str, bool]]:
        """Return how parts broke, in words, each with whether that was by itself."""
        found = []
        for part in self.parts:
            if part.lost:
                found.append((part.lost, parts.LOST_OTHERS not in part.lost))
            elif part.error:
                found.append((f"{part.ranks} failed on {_name(part)}", True))
            elif part.pk in self._silent:
                found.append((f"{part.ranks} said nothing for longer than a lease on {_name(part)}", True))
        return found

    def complaint(self) -> str:
        """Return what a part said was wrong with the job itself; '' if none did."""
        return next((part.error for part in self.parts if part.error), "")


def _name(part: JobPart) -> str:
    return part.worker.name if part.worker else "a worker that was removed"
