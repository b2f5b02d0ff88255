"""Who uses a dataset: tasks, checkpoints that were trained on it, and jobs that are still to read it."""

from __future__ import annotations

from django.db.models import F, QuerySet

from accsite.apps.datasets.models import Dataset
from accsite.apps.training.models import Checkpoint, Job, Task


def dataset_uses(dataset: Dataset, limit: int) -> list[str]:
    """Return the names of up to ``limit`` users of a dataset, tasks first."""
    tasks = (
        Task.objects.filter(dataset=dataset)
        .select_related("branch__experiment")
        .order_by(F("removed_at").asc(nulls_first=True), "pk")
    )
    found = [
        f"{'removed ' if task.removed_at else ''}task '{task.name}' of {task.branch}"
        for task in tasks[:limit]
    ]
    if len(found) < limit:
        checkpoints = _naming(Checkpoint.objects.select_related("branch__experiment"), dataset)
        found += [f"checkpoint '{row}' of {row.branch}" for row in checkpoints[: limit - len(found)]]
    if len(found) < limit:
        jobs = _naming(Job.objects.active(), dataset)
        found += [f"{job}" for job in jobs[: limit - len(found)]]
    return found


def _naming(rows: QuerySet, dataset: Dataset) -> QuerySet:  # type: ignore[type-arg]
    """Return the rows whose specification names the dataset; an address is never given to another one."""
    return rows.filter(spec__datasets__has_key=dataset.slug).defer("spec").order_by("-pk")
