"""What led to the curves of a job: the jobs before it, back to the first weights, on one axis of the branch's steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Q
from django.urls import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint

MOST_JOBS = 12
"""So many jobs before the one that is shown are drawn; each is a history to fetch."""
MOST_HOPS = 4 * MOST_JOBS


class _Node(NamedTuple):
    pk: int
    step: int
    job_step: int
    job: int | None
    parent: int | None
    branch: int
    branch_name: str
    start: int | None


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
    return _line(branch, node_id)


def line_to(checkpoint: Checkpoint) -> Line:
    """Return the jobs that led to a checkpoint, and its step."""
    return _line(checkpoint.branch, checkpoint.pk)


def _line(branch: Branch, node_id: int | None) -> Line:
    """Return the jobs that led to a checkpoint, as its branch has them; nothing without one."""
    if node_id is None:
        return Line(0, [])
    nodes = _nodes(branch.experiment_id, node_id)
    first = nodes[node_id].step
    parts: list[dict[str, Any]] = []
    for _ in range(MOST_HOPS):
        if node_id is None or len(parts) == MOST_JOBS:
            break
        node = nodes[node_id]
        began = node.step - node.job_step
        if node.job is not None and began < node.step:
            parts.append(
                {
                    "job": node.job,
                    "points": reverse("api:job-loss-history", args=[node.job]),
                    "first": began,
                    "until": node.step,
                    "own": node.branch == branch.pk,
                    "branch": node.branch_name,
                }
            )
        node_id = node.start if node.job is not None else node.parent
    return Line(first, parts[::-1])


def _nodes(experiment: int, last: int) -> dict[int, _Node]:
    """Return the checkpoints that the line to ``last`` may pass, in one query however long it is.

    They are those that something began from, and not the many that a job saved on its way; also those that wait for
    an undo of their deletion, as the curve was trained all the same.
    """
    every = Checkpoint.everything.filter(experiment=experiment).order_by()
    begun = Job.objects.filter(branch__experiment=experiment, start_checkpoint__isnull=False)
    passed = (
        Q(pk=last)
        | Q(pk__in=begun.order_by().values("start_checkpoint"))
        | Q(pk__in=every.filter(job=None, parent__isnull=False).values("parent"))
    )
    read = ("pk", "step", "job_step", "job_id", "parent_id", "branch_id", "branch__name")
    rows = every.filter(passed).values_list(*read, "job__start_checkpoint_id")
    return {row[0]: _Node(*row) for row in rows}
