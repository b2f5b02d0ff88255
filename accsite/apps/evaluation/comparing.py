"""Checkpoints side by side: numbers with their differences, and what the differences are worth."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from acc.errors import InvalidInput
from accsite.apps.evaluation.models import Metric
from accsite.apps.training.models import Checkpoint

MOST = 6
Verdict = Literal["significant", "not significant", ""]


class Measured(BaseModel):
    """One number of one checkpoint, and its difference from the first of the comparison."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: Verdict = Field("", description="empty where no interval is known to judge by")
    better: bool | None = Field(None, description="than the first; null where neither is good, or equal")


class Row(BaseModel):
    """One metric over the checkpoints."""

    task: str
    name: str
    concept: str
    group: str
    higher_is_better: bool | None
    values: list[Measured]


class Compared(BaseModel):
    """A checkpoint of a comparison."""

    checkpoint: int
    experiment: str
    branch: str
    step: int


class Comparison(BaseModel):
    """Metrics of several checkpoints; differences are from the first."""

    checkpoints: list[Compared]
    metrics: list[Row]


def check_ids(value: Any) -> list[int]:
    """Return ids of two to six different checkpoints; raises InvalidInput (checkpoints)."""
    whole = isinstance(value, list) and all(isinstance(pk, int) and not isinstance(pk, bool) for pk in value)
    if not whole or not 2 <= len(set(value)) <= MOST or len(set(value)) != len(value):
        raise InvalidInput(
            {"checkpoints": f"{value!r} is refused; send a list of 2 to {MOST} different ids of checkpoints"}
        )
    return list(value)


def newest_metrics(checkpoint: Checkpoint) -> dict[tuple[str, str, str, str], Metric]:
    """Return the newest row of each metric of a checkpoint, by task key, name, concept and group."""
    rows = Metric.objects.filter(evaluation__checkpoint=checkpoint).order_by("evaluation_id", "id")
    return {(row.task_key, row.name, row.concept, row.group): row for row in rows}


def compare(checkpoints: Sequence[Checkpoint]) -> Comparison:
    """Return the newest numbers of checkpoints beside each other."""
    found = [newest_metrics(checkpoint) for checkpoint in checkpoints]
    keys = dict.fromkeys(key for metrics in found for key in metrics)
    rows = []
    for key in sorted(keys, key=lambda key: (key[0] == "", key[2] != "", key)):
        metrics = [each.get(key) for each in found]
        known = next(metric for metric in metrics if metric is not None)
        values = [_measured(metric, metrics[0] if number else None) for number, metric in enumerate(metrics)]
        task, name, concept, group = key
        rows.append(
            Row(
                task=task,
                name=name,
                concept=concept,
                group=group,
                higher_is_better=known.higher_is_better,
                values=values,
            )
        )
    named = [
        Compared(
            checkpoint=each.pk,
            experiment=each.branch.experiment.slug,
            branch=each.branch.slug,
            step=each.step,
        )
        for each in checkpoints
    ]
    return Comparison(checkpoints=named, metrics=rows)


def as_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV: a line for each metric and checkpoint."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        ["task", "metric", "concept", "group", "checkpoint", "branch", "step", *Measured.model_fields]
    )
    for row in comparison.metrics:
        for where, value in zip(comparison.checkpoints, row.values, strict=True):
            who = [where.checkpoint, f"{where.experiment}/{where.branch}", where.step]
            numbers = value.model_dump().values()
            writer.writerow(
                [*(safe(cell) for cell in (row.task, row.name, row.concept, row.group)), *who, *numbers]
            )
    return out.getvalue()


def safe(text: str) -> str:
    """Return a name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _measured(metric: Metric | None, first: Metric | None) -> Measured:
    if metric is None:
        return Measured(value=None, reason="not measured of this checkpoint")
    found = Measured(value=metric.value, low=metric.low, high=metric.high, reason=metric.reason)
    if first is None or first.value is None or metric.value is None:
        return found
    found.difference = metric.value - first.value
    if found.difference and metric.higher_is_better is not None:
        found.better = (found.difference > 0) == metric.higher_is_better
    widths = [_half_width(first), _half_width(metric)]
    if None not in widths:
        half = math.hypot(*(width for width in widths if width is not None))
        found.difference_low, found.difference_high = found.difference - half, found.difference + half
        found.verdict = "significant" if abs(found.difference) > half else "not significant"
    return found


def _half_width(metric: Metric) -> float | None:
    if metric.low is None or metric.high is None:
        return None
    return (metric.high - metric.low) / 2
