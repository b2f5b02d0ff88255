"""Who uses a dataset: tasks, checkpoints that were trained on it, and jobs that are still to read it."""

from __future__ import annotations

from django.db.models import F, QuerySet

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Task, Visibility


def dataset_uses(dataset: Dataset, limit: int) -> list[str]:
    """Return the names of up to ``limit`` users of a dataset, tasks first."""
    tasks = (
        Task.objects.filter(dataset=dataset)
        .select_related("branch__experiment")
        .order_by(F("removed_at").asc(nulls_first=True), "pk")
    )
    found = [
        _shown(task.branch, f"{'removed ' if task.removed_at else ''}task", f"'{task.name}' of {task.branch}")
        for task in tasks[:limit]
    ]
    if len(found) < limit:
        checkpoints = _naming(Checkpoint.objects.select_related("branch__experiment"), dataset)
        rows = checkpoints[: limit - len(found)]
        found += [_shown(row.branch, "checkpoint", f"'{row}' of {row.branch}") for row in rows]
    if len(found) < limit:
        jobs = _naming(Job.objects.active().select_related("branch__experiment"), dataset)
        found += [_shown(job.branch, f"job {job.pk}", job.title) for job in jobs[: limit - len(found)]]
    return found


def _shown(branch: Branch | None, kind: str, name: str) -> str:
    """Return what a user of the dataset is called; whoever reads it may not know of a private experiment."""
    private = branch is not None and branch.experiment.visibility == Visibility.PRIVATE
    return f"{kind} of a private experiment" if private else f"{kind} {name}"


def _naming(rows: QuerySet, dataset: Dataset) -> QuerySet:  # type: ignore[type-arg]
    """Return the rows whose specification names the dataset; an address is never given to another one."""
    return rows.filter(spec__datasets__has_key=dataset.slug).defer("spec").order_by("-pk")
