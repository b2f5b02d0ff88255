"""Lets trees be coloured, and pruned, by what was measured of their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.services.recording import forget
from accsite.apps.training.models import Checkpoint

WHOLE = {"concept": "", "group": ""}  # numbers of single concepts and groups stand on the pages of evaluation


class Metrics:
    """The newest value of each metric: ``metric/<task key>/<name>``, or ``metric/<name>`` of the whole model."""

    prefix = "metric/"

    def names(self, experiment_id: int) -> Mapping[str, bool]:
        """Return the metrics that were measured of an experiment's checkpoints."""
        rows = Metric.objects.filter(
            evaluation__checkpoint__experiment=experiment_id, value__isnull=False, **WHOLE
        )
        found = (
            rows.order_by("task_key", "name").values_list("task_key", "name", "higher_is_better").distinct()
        )
        return {_name(key, name): higher is not False for key, name, higher in found}

    def values(self, experiment_id: int, name: str) -> Mapping[int, float]:
        """Return checkpoint -> newest value of a metric."""
        key, _, metric = name.removeprefix(self.prefix).rpartition("/")
        rows = Metric.objects.filter(
            evaluation__checkpoint__experiment=experiment_id,
            task_key=key,
            name=metric,
            value__isnull=False,
            **WHOLE,
        )
        found = rows.order_by("evaluation_id").values_list("evaluation__checkpoint", "value")
        return {pk: value for pk, value in found if value is not None}

    def of(self, checkpoint: Checkpoint) -> Mapping[str, float]:
        """Return the newest value of every metric of one checkpoint."""
        rows = Metric.objects.filter(evaluation__checkpoint=checkpoint, value__isnull=False, **WHOLE)
        found = rows.order_by("evaluation_id").values_list("task_key", "name", "value")
        return {_name(key, name): value for key, name, value in found if value is not None}


def forget_purged(checkpoints: Sequence[int], **_: Any) -> None:
    """Remove what was measured of checkpoints that are removed for good."""
    forget(Evaluation.objects.filter(checkpoint__in=checkpoints))


def _name(key: str, name: str) -> str:
    return f"{Metrics.prefix}{key}/{name}" if key else f"{Metrics.prefix}{name}"
