"""What a worker is told when its job is no longer its own."""

from __future__ import annotations

from acc.errors import AccError


class Fenced(AccError):
    """The job was taken from this attempt (its lease ended, or it was stopped); nothing was written."""

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} no longer holds job {job_id}; nothing was written")
        self.job_id, self.attempt = job_id, attempt
