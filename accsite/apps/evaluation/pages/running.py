"""What is being measured of a checkpoint, and why the last try failed."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accsite.apps.evaluation.selectors.asked import TABS, tab_of
from accsite.apps.jobs.models import TRAININGS, Job, JobKind
from accsite.apps.jobs.states import ACTIVE, HELD, JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Checkpoint


def trained_now() -> dict[int, int]:
    """Return of every branch that is trained now, by id, the step that it has come to."""
    rows = Job.objects.filter(kind__in=TRAININGS, branch__isnull=False, state__in=HELD).order_by("pk")
    read = rows.values_list("branch_id", "start_checkpoint__step", "step")
    return {branch: (begun or 0) + step for branch, begun, step in read if branch is not None}


def jobs_of(checkpoint: Checkpoint) -> list[tuple[Job, str]]:
    """Return the jobs that wait or run, and the newest that ended unless it succeeded, with what they measure."""
    rows = Job.objects.filter(kind=JobKind.EVALUATE, checkpoint=checkpoint, preview=False)
    found = list(rows.filter(state__in=ACTIVE).select_related("worker").order_by("pk"))
    last = rows.exclude(state__in=ACTIVE).order_by("-finished_at", "-pk").first()
    if last is not None and last.state != JobState.SUCCEEDED:
        found.append(last)
    return [
        (job, ", ".join(TABS[part].lower() if part in TABS else part for part in job.spec.get("suite", [])))
        for job in found
    ]


def jobs_context(
    checkpoint: Checkpoint, tab: str = "metrics", versions: dict[str, int] | None = None
) -> dict[str, Any]:
    """Return what the tabs and the jobs beside them show; versions are read first unless they are given.

    tab: the one that is open. A tab whose part is being measured is ``busy``.
    """
    topic = f"evaluations:{checkpoint.branch_id}"
    versions = versions or live.versions(["jobs", topic])
    jobs = jobs_of(checkpoint)
    busy = {tab_of(part) for job, _ in jobs if job.state in ACTIVE for part in job.spec.get("suite", [])}
    return {
        "versions": versions,
        "jobs": jobs,
        "jobs_url": f"{reverse('evaluation:jobs', args=[checkpoint.pk])}?tab={tab}",
        "tab": tab,
        "tabs": [
            (key, title, reverse("evaluation:tab", args=[checkpoint.pk, key]), key in busy)
            for key, title in TABS.items()
        ],
        "topic": topic,
    }


def is_measured(checkpoint: Checkpoint, part: str) -> bool:
    """Return whether a job that waits or runs is to measure this part."""
    specs = Job.objects.filter(
        kind=JobKind.EVALUATE, checkpoint=checkpoint, preview=False, state__in=ACTIVE
    ).values_list("spec", flat=True)
    return any(part == tab_of(measured) for spec in specs for measured in spec.get("suite", []))
