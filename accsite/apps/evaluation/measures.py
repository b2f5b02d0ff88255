"""Lets trees be coloured, and pruned, by what was measured of their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from acc.errors import InvalidInput
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.services.recording import forget
from accsite.apps.training.models import Checkpoint
from accsite.apps.trees.measures import Measured

ON = " on "
WHOLE = {"concept": "", "group": ""}  # numbers of single concepts and groups stand on the pages of evaluation


class Metrics:
    """The newest value of each metric: ``metric/<task key>/<name> on <dataset>``, of the whole model without a key.

    The dataset is part of the name: what is compared is of one dataset, and a name means the same after another one
    was measured as well. Where only one was, its name may be left out when a number is asked for.
    """

    prefix = "metric/"

    def names(self, experiment_id: int) -> Mapping[str, bool]:
        """Return the metrics that were measured of an experiment's checkpoints."""
        rows = _of_experiment(experiment_id).order_by("task_key", "name", "dataset", "evaluation_id")
        found = rows.values_list("task_key", "name", "dataset", "higher_is_better").distinct()
        return {_name(key, name, dataset): higher is not False for key, name, dataset, higher in found}

    def read(self, experiment_id: int, name: str) -> Measured:
        """Return the newest values of a metric; raises InvalidInput(metric) where a dataset has to be named."""
        key, _, rest = name.removeprefix(self.prefix).rpartition("/")
        metric, _, dataset = rest.partition(ON)
        rows = _of_experiment(experiment_id).filter(task_key=key, name=metric).order_by("evaluation_id")
        higher = dict(rows.values_list("dataset", "higher_is_better"))
        if not dataset and len(higher) > 1:
            names = ", ".join(_name(key, metric, each) for each in sorted(higher))
            raise InvalidInput(metric=f"{name!r} was measured on several datasets; choose one of: {names}")
        dataset = dataset or next(iter(higher), "")
        found = rows.filter(dataset=dataset).values_list("evaluation__checkpoint", "value")
        values = {pk: value for pk, value in found if value is not None}
        return Measured(_name(key, metric, dataset), values, higher.get(dataset) is not False)

    def of(self, checkpoint: Checkpoint) -> Mapping[str, float]:
        """Return the newest value of every metric of one checkpoint."""
        rows = Metric.objects.on().filter(evaluation__checkpoint=checkpoint, value__isnull=False, **WHOLE)
        found = rows.order_by("evaluation_id").values_list("task_key", "name", "dataset", "value")
        return {_name(key, name, dataset): value for key, name, dataset, value in found if value is not None}


def forget_purged(checkpoints: Sequence[int], **_: Any) -> None:
    """Remove what was measured of checkpoints that are removed for good."""
    forget(Evaluation.objects.filter(checkpoint__in=checkpoints))


def _of_experiment(experiment_id: int) -> QuerySet[Metric]:
    return Metric.objects.on().filter(
        evaluation__checkpoint__experiment=experiment_id, value__isnull=False, **WHOLE
    )


def _name(key: str, name: str, dataset: str) -> str:
    where = f"{ON}{dataset}" if dataset else ""
    return f"{Metrics.prefix}{key}/{name}{where}" if key else f"{Metrics.prefix}{name}{where}"
