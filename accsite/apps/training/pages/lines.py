"""What led to the curves of a job: the jobs before it, back to the first weights, on one axis of the branch's steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint

MOST_JOBS = 12
"""So many jobs before the one that is shown are drawn; each is a history to fetch."""
_READ = ("step", "job_step", "job_id", "parent_id", "branch_id", "branch__name", "job__start_checkpoint_id")


@dataclass(frozen=True)
class Line:
    """Where on its branch a job begins, and what is drawn before that.

    parts: oldest first, each a job whose steps count from ``first`` of the branch until before ``until``; ``own`` says
    whether it was run on this branch, else ``branch`` names the one that it is of.
    """

    first: int
    parts: list[dict[str, Any]]

    @property
    def told(self) -> str:
        """The parts for the page's script; empty if there are none."""
        return json.dumps(self.parts, separators=(",", ":")) if self.parts else ""


def line(branch: Branch, job: Job | None) -> Line:
    """Return what is before a job of the branch, or before its first, by following the checkpoints it grew from."""
    node_id = job.start_checkpoint_id if job else branch.head_id or branch.forked_from_id
    first = 0
    parts: list[dict[str, Any]] = []
    for hop in range(4 * MOST_JOBS):
        if node_id is None or len(parts) == MOST_JOBS:
            break
        # Also nodes that wait for an undo of their deletion: the curve was trained all the same.
        node = Checkpoint.everything.values(*_READ).get(pk=node_id)
        if hop == 0:
            first = node["step"]
        began = node["step"] - node["job_step"]
        if node["job_id"] is not None and began < node["step"]:
            parts.append(
                {
                    "job": node["job_id"],
                    "points": reverse("api:job-loss-history", args=[node["job_id"]]),
                    "first": began,
                    "until": node["step"],
                    "own": node["branch_id"] == branch.pk,
                    "branch": node["branch__name"],
                }
            )
        node_id = node["job__start_checkpoint_id"] if node["job_id"] is not None else node["parent_id"]
    return Line(first, parts[::-1])
