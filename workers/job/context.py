"""A claimed job in the hands of this process: what the body of each kind is given."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from accsite import blobs
from accsite.apps.jobs.models import Job
from workers.job.interruption import Interruption
from workers.job.lease import Lease
from workers.job.records import Pipe
from workers.job.team import Team
from workers.machine import processes


@dataclass(frozen=True)
class JobContext:
    """The claimed job, the fencing token of this attempt, the device that its worker is bound to, the other ranks.

    records: to the process that keeps the job's records, if it has one.
    others: the processes below this one that were there before the job, and are not its own.
    """

    job: Job
    attempt: int
    worker: str
    device: str
    lease: Lease
    interruption: Interruption
    team: Team = field(default_factory=Team)
    records: Pipe | None = None
    others: frozenset[int] = field(default_factory=lambda: frozenset(processes.descendants(os.getpid())))

    def device_for(self, wanted: str) -> str:
        """Return the device to compute on: the CPU if the job asks for it, else the worker's own."""
        return "cpu" if wanted == "cpu" else self.device

    def scratch(self) -> Path:
        """Return a folder for files in the making; what a dead attempt of this job left there is removed."""
        folder = blobs.scratch()
        for leftover in folder.glob(f"*job-{self.job.pk}-*"):
            leftover.unlink(missing_ok=True)
        return folder
