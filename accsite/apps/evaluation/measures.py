"""Lets trees be coloured, and pruned, by what was measured of their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.services.recording import forget
from accsite.apps.training.models import Checkpoint

ON = " on "
WHOLE = {"concept": "", "group": ""}  # numbers of single concepts and groups stand on the pages of evaluation


class Metrics:
    """The newest value of each metric: ``metric/<task key>/<name>``, or ``metric/<name>`` of the whole model.

    Where an experiment's models were measured on several datasets, each has a name of its own, ``metric/ufr on grid``:
    colours of one tree are of one dataset.
    """

    prefix = "metric/"

    def names(self, experiment_id: int) -> Mapping[str, bool]:
        """Return the metrics that were measured of an experiment's checkpoints."""
        rows = _of_experiment(experiment_id).order_by("task_key", "name", "dataset")
        found = list(rows.values_list("task_key", "name", "dataset", "higher_is_better").distinct())
        several = _measured_on_several((key, name, dataset) for key, name, dataset, _ in found)
        return {
            _name(key, name, dataset if (key, name) in several else ""): higher is not False
            for key, name, dataset, higher in found
        }

    def values(self, experiment_id: int, name: str) -> Mapping[int, float]:
        """Return checkpoint -> newest value of a metric."""
        key, _, metric = name.removeprefix(self.prefix).rpartition("/")
        metric, _, dataset = metric.partition(ON)
        rows = _of_experiment(experiment_id).filter(task_key=key, name=metric)
        if dataset:
            rows = rows.filter(dataset=dataset)
        found = rows.order_by("evaluation_id").values_list("evaluation__checkpoint", "value")
        return {pk: value for pk, value in found if value is not None}

    def of(self, checkpoint: Checkpoint) -> Mapping[str, float]:
        """Return the newest value of every metric of one checkpoint, by the names that its experiment knows."""
        known = self.names(checkpoint.experiment_id)
        rows = Metric.objects.filter(evaluation__checkpoint=checkpoint, value__isnull=False, **WHOLE)
        found: dict[str, float] = {}
        for row in rows.order_by("evaluation_id"):
            assert row.value is not None
            alone = _name(row.task_key, row.name)
            found[alone if alone in known else _name(row.task_key, row.name, row.dataset)] = row.value
        return found


def forget_purged(checkpoints: Sequence[int], **_: Any) -> None:
    """Remove what was measured of checkpoints that are removed for good."""
    forget(Evaluation.objects.filter(checkpoint__in=checkpoints))


def _of_experiment(experiment_id: int) -> QuerySet[Metric]:
    return Metric.objects.filter(
        evaluation__checkpoint__experiment=experiment_id, value__isnull=False, **WHOLE
    )


def _measured_on_several(found: Iterable[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """Return the task keys and names of metrics that stand for more than one dataset."""
    seen: dict[tuple[str, str], set[str]] = {}
    for key, name, dataset in found:
        seen.setdefault((key, name), set()).add(dataset)
    return {metric for metric, datasets in seen.items() if len(datasets) > 1}


def _name(key: str, name: str, dataset: str = "") -> str:
    where = f"{ON}{dataset}" if dataset else ""
    return f"{Metrics.prefix}{key}/{name}{where}" if key else f"{Metrics.prefix}{name}{where}"
