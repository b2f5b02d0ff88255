"""What a run has in its columns: parameters of its model and training, weights and losses of its tasks, metrics.

The part of a name before the first ``/`` says what it is of: ``study``, ``model``, ``train``, ``data``, ``config``
(of a loop of one's own), ``weight``, ``loss`` and ``best`` of a task, ``metric``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from acc.text import clean
from acc.training.losses import series
from accsite.apps.evaluation.models import Metric
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.studies.models import StudyResult
from accsite.apps.training.models import LossBlock
from accsite.apps.training.selectors.loss import last_losses_of

Fact = float | str
Facts = dict[str, Fact]

FAMILIES = {
    "run": "The run",
    "study": "Study",
    "metric": "Metrics",
    "loss": "Last losses",
    "best": "Best losses",
    "train": "Training",
    "model": "Model",
    "data": "Data",
    "weight": "Weights of tasks",
    "config": "Configuration",
}
"""What a name begins with -> what stands above such columns, in their order. ``run``: what every run has."""

MOST_PER_RUN = 400
"""Columns of one run: a configuration of a loop of one's own may be of any size."""
LONGEST = 200
DEEPEST = 8


def facts_of(jobs: Sequence[Job]) -> dict[int, Facts]:
    """Return what each of these trainings has in its columns, by id of job; a handful of queries for them all."""
    last, best, metrics = last_losses_of(jobs), _best_losses(jobs), _metrics(jobs)
    studies = _studies(jobs)
    found: dict[int, Facts] = {}
    for job in jobs:
        facts: Facts = dict(_asked(job))
        facts |= {f"loss/{name}": value for name, value in _losses(last.get(job.pk, {}))}
        facts |= {f"best/{name}": value for name, value in _losses(best.get(job.pk, {}))}
        facts |= metrics.get(job.pk, {})
        facts |= studies.get(job.branch_id, {})
        named = {clean(name): value for name, value in facts.items() if len(name) <= LONGEST}
        found[job.pk] = dict(list(named.items())[-MOST_PER_RUN:])
    return found


def as_row(fact: Fact) -> tuple[float | None, str]:
    """Return number and text of a fact as they are kept: what is no finite number is a text, such as ``nan``."""
    if isinstance(fact, str):
        return None, clean(fact[:LONGEST], LONGEST)
    return (fact, "") if math.isfinite(fact) else (None, str(fact))


def _asked(job: Job) -> Iterator[tuple[str, Fact]]:
    """Yield what the run was asked to be; a task's weight is that which it began with."""
    spec = job.spec if isinstance(job.spec, dict) else {}
    if job.kind == JobKind.TRACK:
        yield from _flat("config/", spec.get("config"))
        return
    model = spec.get("model") or {}
    yield from _flat("train/", spec.get("train"))
    yield from _flat("model/", {name: value for name, value in model.items() if name != "params"})
    yield from _flat("model/", model.get("params"))
    tasks = [task for task in spec.get("tasks") or () if isinstance(task, dict) and "key" in task]
    datasets = dict.fromkeys(str(task["dataset"]) for task in tasks if task.get("dataset"))
    if datasets:
        yield "data/datasets", ", ".join(datasets)
    for task in tasks:
        if task.get("enabled", True):
            yield f"weight/{task['key']}", float(task.get("weight", 1.0))


def _flat(beginning: str, values: Any, depth: int = 0) -> Iterator[tuple[str, Fact]]:
    """Yield the plain values of a mapping, those of mappings in it with dots between the names."""
    if not isinstance(values, Mapping) or depth > DEEPEST:
        return
    for key, value in values.items():
        name = f"{beginning}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value, depth + 1)
        elif (plain := _plain(value)) is not None:
            yield name, plain


def _plain(value: Any) -> Fact | None:
    """Return a value of JSON as it is kept, None for what has no place in a cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return str(value)[:LONGEST]
    if isinstance(value, str):
        return value or None
    if isinstance(value, list) and value and not isinstance(value[0], dict | list):
        return ", ".join(map(str, value))
    return None


def _losses(values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the total and the raw loss of each task, as the numbers that people read: float32 as 0.1 is written."""
    for name, value in values.items():
        if name == series.TOTAL:
            yield name, _short(value)
        elif name.startswith("raw/"):
            yield name.removeprefix("raw/"), _short(value)


def _short(value: float) -> float:
    return float(str(np.float32(value)))


def _best_losses(jobs: Sequence[Job]) -> dict[int, dict[str, float]]:
    """Return the lowest value that each series of each job had at any step, from the summaries of its rows."""
    best: dict[int, dict[str, float]] = defaultdict(dict)
    rows = LossBlock.objects.filter(job__in=[job.pk for job in jobs]).order_by()
    for job, names, minima in rows.values_list("job_id", "series", "minima").iterator():
        of = best[job]
        for name, value in zip(names, np.frombuffer(minima, "<f4").tolist(), strict=True):
            if not math.isnan(value) and value < of.get(name, math.inf):
                of[name] = value
    return best


def _studies(jobs: Sequence[Job]) -> dict[int | None, Facts]:
    """Return the study that each branch was made for, and as which arm, by id of branch."""
    rows = StudyResult.objects.filter(branch__in=[job.branch_id for job in jobs])
    return {
        branch: {"study/study": study, "study/arm": arm}
        for branch, study, arm in rows.order_by("pk").values_list("branch_id", "study__slug", "arm")
    }


def _metrics(jobs: Sequence[Job]) -> dict[int, Facts]:
    """Return what was measured last of the newest measured checkpoint of each job: of a task, or of the whole latent.

    The dataset is part of the name, as it is wherever numbers are compared; all are of the rows held out.
    """
    rows = (
        Metric.objects.on()
        .filter(
            evaluation__checkpoint__job__in=[job.pk for job in jobs],
            evaluation__checkpoint__deleted_at=None,
            concept="",
            group="",
            value__isnull=False,
        )
        .order_by("evaluation__checkpoint__job_step", "evaluation__checkpoint", "evaluation")
        .values_list(
            "evaluation__checkpoint__job", "evaluation__checkpoint", "task_key", "name", "dataset", "value"
        )
    )
    found: dict[int, Facts] = {}
    of: dict[int, int] = {}
    for job, checkpoint, task, name, dataset, value in rows:
        assert value is not None
        if of.get(job) != checkpoint:  # one farther than those before it: its numbers alone count
            of[job], found[job] = checkpoint, {}
        place = "/".join(filter(None, ["metric", task, name]))
        found[job][f"{place} on {dataset}" if dataset else place] = value
    return found
