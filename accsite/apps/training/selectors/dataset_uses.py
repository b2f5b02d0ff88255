"""Who uses a dataset: tasks, checkpoints that were trained on it, and jobs that are still to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F, QuerySet
from django.urls import reverse

from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.uses import Place
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task, Visibility


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


class Branches:
    """The branches that train on datasets, or could; see ``accsite.apps.datasets.uses.Trainers``."""

    def on(self, datasets: Sequence[Dataset], user: Any) -> dict[int, list[Place]]:
        """Return for each dataset that has any the visible branches with a task on it."""
        rows = Task.objects.filter(
            dataset__in=datasets, removed_at=None, branch__experiment__in=Experiment.objects.visible_to(user)
        )
        named = rows.values_list(
            "dataset_id",
            "branch__experiment__name",
            "branch__name",
            "branch__experiment__slug",
            "branch__slug",
        )
        found: dict[int, list[Place]] = {}
        for pk, experiment, branch, *slugs in named.order_by(
            "branch__experiment__name", "branch_id"
        ).distinct():
            found.setdefault(pk, []).append(_place(experiment, branch, slugs))
        return found

    def fitting(self, dataset: Dataset, user: Any, limit: int) -> list[Place]:
        """Return the newest branches that may be changed and whose model looks at images of this shape."""
        shape = {
            f"experiment__model_spec__image__{side}": getattr(dataset, side)
            for side in ("channels", "height", "width")
        }
        rows = Branch.objects.filter(experiment__in=Experiment.objects.changeable_by(user), **shape)
        named = rows.order_by("-pk").values_list("experiment__name", "name", "experiment__slug", "slug")
        return [_place(experiment, branch, slugs) for experiment, branch, *slugs in named[:limit]]


def _place(experiment: str, branch: str, slugs: list[str]) -> Place:
    return Place(
        f"{experiment} / {branch}",
        reverse("training:workbench", args=slugs),
        reverse("training:task-add", args=slugs),
    )
