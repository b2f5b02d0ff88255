"""How pages call the images, and what was asked of them, that numbers were measured on."""

from __future__ import annotations

from functools import cached_property

from django.db.models import Min

from accsite.apps.evaluation.models import Metric
from accsite.apps.training.models import Branch


class Samples:
    """The names of all samples of a branch; the same on every page."""

    def __init__(self, branch: Branch) -> None:
        rows = Metric.objects.filter(evaluation__branch=branch, concept="", group="").exclude(sample="")
        self._rows = rows
        first = rows.values("task_key", "name", "dataset", "sample").annotate(first=Min("evaluation_id"))
        self._names: dict[tuple[str, str, str], str] = {}
        counts: dict[tuple[str, str, str], int] = {}
        for each in first.order_by("first"):
            of = each["task_key"], each["name"], each["dataset"]
            counts[of] = counts.get(of, 0) + 1
            other = f", other images or options ({counts[of]})" if counts[of] > 1 else ""
            self._names[each["task_key"], each["name"], each["sample"]] = each["dataset"] + other

    @cached_property
    def _named(self) -> set[int]:
        """The evaluations that name samples."""
        return set(self._rows.values_list("evaluation", flat=True).distinct())

    def name(self, metric: Metric) -> str:
        """Return the dataset, and what tells the sample from earlier ones of the same metric on it."""
        name = self._names.get((metric.task_key, metric.name, metric.sample))
        if name is None and metric.evaluation_id in self._named:
            return metric.dataset  # of joint tasks, which look at several datasets, samples have no name
        return name or f"{metric.dataset}, measured by an earlier version of ACC"
