"""The state machine of a job: one table, and nothing moves outside it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models


class JobState(models.TextChoices):
    QUEUED = "QUEUED", "queued"
    CLAIMED = "CLAIMED", "starting"
    RUNNING = "RUNNING", "running"
    PAUSED = "PAUSED", "paused"
    LOST = "LOST", "lost"
    SUCCEEDED = "SUCCEEDED", "done"
    FAILED = "FAILED", "failed"
    CANCELLED = "CANCELLED", "stopped"


S = JobState
# A user resumes a train job at its newest checkpoint (FAILED/CANCELLED -> QUEUED).
# A loop of one's own that fell silent stays LOST, and one that ended may be gone on with (-> RUNNING): it has no queue.
# A drained worker hands its job back (CLAIMED/RUNNING/PAUSED -> QUEUED); a silent one loses it (-> LOST).
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    S.QUEUED: frozenset({S.CLAIMED, S.CANCELLED}),
    S.CLAIMED: frozenset({S.RUNNING, S.QUEUED, S.FAILED, S.CANCELLED, S.LOST}),
    S.RUNNING: frozenset({S.PAUSED, S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST, S.QUEUED}),
    S.PAUSED: frozenset({S.RUNNING, S.CANCELLED, S.FAILED, S.LOST, S.QUEUED}),
    S.LOST: frozenset({S.QUEUED, S.FAILED, S.RUNNING}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset({S.QUEUED, S.RUNNING}),
    S.CANCELLED: frozenset({S.QUEUED, S.RUNNING}),
}

HELD = frozenset({S.CLAIMED, S.RUNNING, S.PAUSED})
"""A worker holds the job by its lease."""
ACTIVE = frozenset({S.QUEUED}) | HELD
TERMINAL = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST})
"""The job has ended, and nothing but its user begins it again: a worker's job is LOST for no more than a moment."""
RESUMABLE = frozenset({S.FAILED, S.CANCELLED})

NEVER_BEGAN = "cancelled before it began"
"""What is said of a job that was cancelled while it waited in its queue for its first attempt."""

DIVERGED = "DIVERGED"
"""What a job shows that ended of its own accord, but with a loss far above the best that it had reached."""


@dataclass(frozen=True)
class StateWords:
    """What may be said of a job now. ``mark``: what colour and icon follow; ``rate`` and ``eta_seconds`` while it runs.

    attempt: which one this is of, 0 where there was only one. diverged: the label says that it ended so.
    """

    mark: str
    label: str
    attempt: int
    diverged: bool
    rate: float | None
    eta_seconds: float | None


def sources(target: JobState) -> frozenset[JobState]:
    """Return the states from which a job may move to ``target``."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)
