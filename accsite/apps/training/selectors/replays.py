"""Reads what replays have found."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypedDict

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.training.models import Checkpoint


class Replayed(TypedDict):
    """What a replay of a checkpoint has found.

    verdict: ``same``, ``differs`` (first in ``tensor`` of ``checkpoint``, from ``step`` of its job), ``cannot``;
    None for one that is under way or was stopped. changes: see ``workers.replay.rerun.Verdict``.
    """

    job: int
    state: str
    active: bool
    current_plugins: bool
    verdict: Literal["same", "differs", "cannot"] | None
    message: str
    checkpoint: int | None
    step: int | None
    tensor: str | None
    changes: dict[str, Any]
    finished_at: datetime | None


def last_replay(checkpoint: Checkpoint) -> Replayed | None:
    """Return what the newest replay of a checkpoint has found, None if there was none; see ``replayed``."""
    jobs = Job.objects.filter(kind=JobKind.REPLAY, checkpoint=checkpoint)
    job = jobs.order_by("-pk").first()
    return None if job is None else replayed(job)


def replayed(job: Job) -> Replayed:
    """Return what a replay job has found."""
    found = job.result if isinstance(job.result, dict) else {}
    failed = "cannot" if job.state == JobState.FAILED else None
    return {
        "job": job.pk,
        "state": job.state,
        "active": job.state in ACTIVE,
        "current_plugins": bool(job.spec.get("current_plugins")),
        "verdict": found.get("verdict", failed),
        "message": job.message,
        "checkpoint": found.get("checkpoint"),
        "step": found.get("step"),
        "tensor": found.get("tensor"),
        "changes": found.get("changes", {}),
        "finished_at": job.finished_at,
    }
