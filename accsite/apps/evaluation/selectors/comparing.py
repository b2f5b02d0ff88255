"""Checkpoints side by side: numbers with their differences, and what the differences are worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from acc.differences import difference
from acc.errors import InvalidInput
from accsite.apps.evaluation.models import HELD_OUT, Evaluation, Metric
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint

MOST = 6
Verdict = Literal["beyond the noise", "within the noise", ""]
HEADLINE = ("ufr", "unified", "factored")
"""Of a whole representation: what its other numbers stand beside."""
CAVEAT = "beyond the noise of these images; another seed may differ"
NOT_THE_SAME = "not measured on the same images with the same options, so nothing is claimed"
NO_PAIRS = "no interval is known, so nothing is claimed"


class Measured(BaseModel):
    """One number of one checkpoint, and its difference from the first of the comparison."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: Verdict = Field(
        "",
        description="of the difference, against the noise of the same images; empty where nothing can be said",
    )
    claim: str = Field("", description="the verdict in words, or why there is none")
    better: bool | None = Field(None, description="than the first; null where neither is good, or equal")


class Row(BaseModel):
    """One metric over the checkpoints."""

    task: str
    name: str
    concept: str
    group: str
    dataset: str
    higher_is_better: bool | None
    values: list[Measured]


class Compared(BaseModel):
    """A checkpoint of a comparison."""

    checkpoint: int
    experiment: str
    branch: str
    step: int


class Comparison(BaseModel):
    """Metrics of several checkpoints; differences are from the first. ``dataset``: where representations were
    measured; tasks are measured on their own."""

    dataset: str
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
    rows = Metric.objects.on().filter(evaluation__checkpoint=checkpoint).order_by("evaluation_id", "id")
    return {(row.task_key, row.name, row.concept, row.group): row for row in rows}


def common_dataset(checkpoints: Sequence[Checkpoint], wanted: str = "") -> str:
    """Return the dataset that a comparison looks at: the one asked for, else the one that most of the checkpoints were
    measured on, of equals the one of the newest evaluation; empty if there is none."""
    if wanted:
        return wanted
    found: dict[str, tuple[set[int], int]] = {}
    rows = Evaluation.objects.filter(checkpoint__in=checkpoints).exclude(dataset="")
    for pk, dataset, checkpoint in rows.order_by("pk").values_list("pk", "dataset", "checkpoint"):
        measured, _ = found.get(dataset, (set(), 0))
        found[dataset] = (measured | {checkpoint}, pk)
    return max(found, key=lambda name: (len(found[name][0]), found[name][1]), default="")


def require_measured(checkpoints: Sequence[Checkpoint], wanted: str) -> None:
    """Raise InvalidInput (dataset) unless one of the checkpoints was measured on ``wanted``, or a job is to do so."""
    known = datasets_of(checkpoints)
    asked = Job.objects.active().filter(checkpoint__in=checkpoints, spec__dataset=wanted)
    if wanted not in known and not asked.exists():
        right = f"choose one of: {', '.join(known)}" if known else "they were measured on none yet"
        raise InvalidInput(
            {"dataset": f"{wanted!r} is not a dataset that these checkpoints were measured on; {right}"}
        )


def datasets_of(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Return every dataset that representations of the checkpoints were measured on, by name."""
    rows = Evaluation.objects.filter(checkpoint__in=checkpoints).exclude(dataset="")
    return sorted(set(rows.values_list("dataset", flat=True)))


def compare(checkpoints: Sequence[Checkpoint], dataset: str = "", rows: str = HELD_OUT) -> Comparison:
    """Return the numbers of checkpoints beside each other: for each metric the newest of the same images and options,
    where all have such, else the newest of each. Representations are compared on one dataset alone, and all numbers are
    of the same ``rows`` (``EvalSpec.rows``)."""
    where = common_dataset(checkpoints, dataset)
    found = [_candidates(checkpoint, where, rows) for checkpoint in checkpoints]
    keys = dict.fromkeys(key for metrics in found for key in metrics)
    compared = []
    for key in sorted(keys, key=_place):
        metrics = _alike([each.get(key, []) for each in found])
        known = next(metric for metric in metrics if metric is not None)
        values = [_measured(metric, metrics[0] if number else None) for number, metric in enumerate(metrics)]
        task, name, concept, group = key
        compared.append(
            Row(
                task=task,
                name=name,
                concept=concept,
                group=group,
                dataset=known.dataset,
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
    return Comparison(dataset=where, checkpoints=named, metrics=compared)


def as_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV: a line for each metric and checkpoint."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            *("task", "metric", "concept", "group", "dataset", "checkpoint", "branch", "step"),
            *Measured.model_fields,
        ]
    )
    for row in comparison.metrics:
        for where, value in zip(comparison.checkpoints, row.values, strict=True):
            who = [where.checkpoint, f"{where.experiment}/{where.branch}", where.step]
            numbers = value.model_dump().values()
            writer.writerow(
                [
                    *(safe(cell) for cell in (row.task, row.name, row.concept, row.group, row.dataset)),
                    *who,
                    *numbers,
                ]
            )
    return out.getvalue()


def safe(text: str) -> str:
    """Return a name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _place(key: Key) -> tuple[Any, ...]:
    """Return where a number stands: tasks first, then the headline of the representation, then what stands beside."""
    task, name, concept, _ = key
    beside = 0 if task else HEADLINE.index(name) if name in HEADLINE else len(HEADLINE)
    return task == "", concept != "", beside, key


def _measured(metric: Metric | None, first: Metric | None) -> Measured:
    if metric is None:
        return Measured(value=None, reason="not measured of this checkpoint")
    found = Measured(value=metric.value, low=metric.low, high=metric.high, reason=metric.reason)
    if first is None or first.value is None or metric.value is None:
        return found
    found.difference = metric.value - first.value
    if found.difference and metric.higher_is_better is not None:
        found.better = (found.difference > 0) == metric.higher_is_better
    if not (first.sample and first.sample == metric.sample):
        found.claim = NOT_THE_SAME if first.sample or metric.sample else NO_PAIRS
        return found
    sure = difference(first.value, first.without, metric.value, metric.without)
    if sure is None:
        found.claim = NO_PAIRS
        return found
    found.difference_low, found.difference_high = sure.low, sure.high
    found.verdict = "beyond the noise" if sure.beyond_noise else "within the noise"
    found.claim = CAVEAT if sure.beyond_noise else "within the noise of these images"
    return found


Key = tuple[str, str, str, str]


def _candidates(checkpoint: Checkpoint, dataset: str, rows: str) -> dict[Key, list[Metric]]:
    """Return the rows of each metric of a checkpoint, the newest first; of representations those on ``dataset``."""
    measured = Metric.objects.on(rows).filter(evaluation__checkpoint=checkpoint)
    found: dict[Key, list[Metric]] = {}
    for row in measured.order_by("-evaluation_id", "id"):
        if row.task_key or row.dataset == dataset:
            found.setdefault((row.task_key, row.name, row.concept, row.group), []).append(row)
    return found


def _alike(candidates: Sequence[Sequence[Metric]]) -> list[Metric | None]:
    """Return a row of each checkpoint: the newest of one sample that all have, else the newest of each."""
    samples = [{row.sample: row for row in reversed(rows) if row.sample} for rows in candidates]
    for row in candidates[0]:
        if row.sample and all(row.sample in each for each in samples):
            return [each[row.sample] for each in samples]
    return [rows[0] if rows else None for rows in candidates]
