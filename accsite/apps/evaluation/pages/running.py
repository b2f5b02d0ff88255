"""What is being measured of a checkpoint, and why the last try failed."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accsite.apps.evaluation.selectors.asked import TABS
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Checkpoint


def jobs_of(checkpoint: Checkpoint) -> list[tuple[Job, str]]:
    """Return the jobs that wait or run, and the newest that ended unless it succeeded, with what they measure."""
    rows = Job.objects.filter(kind=JobKind.EVALUATE, checkpoint=checkpoint, preview=False)
    found = list(rows.filter(state__in=ACTIVE).select_related("worker").order_by("pk"))
    last = rows.exclude(state__in=ACTIVE).order_by("-finished_at", "-pk").first()
    if last is not None and last.state != JobState.SUCCEEDED:
        found.append(last)
    return [
        (job, ", ".join(TABS.get(part, part).lower() for part in job.spec.get("suite", []))) for job in found
    ]


def jobs_context(checkpoint: Checkpoint, versions: dict[str, int] | None = None) -> dict[str, Any]:
    """Return what the panel of jobs shows; versions are read first unless they are given."""
    topic = f"evaluations:{checkpoint.branch_id}"
    return {
        "versions": versions or live.versions(["jobs", topic]),
        "jobs": jobs_of(checkpoint),
        "jobs_url": reverse("evaluation:jobs", args=[checkpoint.pk]),
        "topic": topic,
    }
