"""The curves of a study: of each arm the mean over its seeds with band, of a loss or of a metric over steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from django.db.models import Count
from numpy.typing import NDArray

from accsite.apps.evaluation.models import Metric
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import in_order
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.selectors.curves import MOST_CURVES, Curves, curves, mean_line, most_of

METRIC = "metric/"
Values = dict[tuple[int, int], float]
"""(job, step) -> value."""


def curves_of(study: Study, name: str = "") -> Curves:
    """Return a curve for each arm, over the first seeds that have a training; ``name``: a loss, or ``metric/``.

    At most MOST_CURVES arms, and ``most_of`` seeds of each. Metrics are of trainings that were measured at two steps
    or more.
    """
    asked = _jobs_by_arm(study)
    found = curves([(str(at), arm, jobs) for at, (arm, jobs) in enumerate(asked)], name)
    metrics = _metrics_over_steps([job for _, jobs in asked for job in jobs])
    names = [*found.names, *sorted(metrics)]
    if name in metrics or (not found.name and metrics):
        chosen = name if name in metrics else min(metrics)
        return _of_metric(chosen, names, asked, metrics[chosen])
    return Curves(found.name, names, found.steps, found.lines)


def job_of(rows: Sequence[StudyResult]) -> Mapping[int, Job]:
    """Return by id of an arm and a seed the job that trained it, or the newest that tried to."""
    known = {row.pk: row.job_id for row in rows if row.job_id is not None}
    without = {row.branch_id: row.pk for row in rows if row.job_id is None and row.branch_id is not None}
    tried = Job.objects.filter(branch__in=without, kind=JobKind.TRAIN).order_by("pk")
    known |= {without[branch]: pk for pk, branch in tried.values_list("pk", "branch")}
    jobs = Job.objects.only("pk", "state", "attempt", "kind").in_bulk(set(known.values()))
    return {row: jobs[pk] for row, pk in known.items() if pk in jobs}


def _jobs_by_arm(study: Study) -> list[tuple[str, list[int]]]:
    plan = study.planned
    arms = [arm.name for arm in plan.arms[:MOST_CURVES]]
    rows = study.results.filter(arm__in=arms).only("study", "arm", "seed", "job", "branch")
    begun = in_order(plan, rows.exclude(branch=None, job=None))
    by_arm = {arm: [row for row in begun if row.arm == arm][: most_of(len(arms))] for arm in arms}
    jobs = job_of([row for mine in by_arm.values() for row in mine])
    return [(arm, [jobs[row.pk].pk for row in mine if row.pk in jobs]) for arm, mine in by_arm.items()]


def _metrics_over_steps(jobs: Sequence[int]) -> dict[str, Values]:
    """Return what was measured of these trainings at two steps or more, by name."""
    measured = Checkpoint.objects.filter(job__in=jobs, evaluations__isnull=False).order_by()
    steps = measured.values("job").annotate(steps=Count("job_step", distinct=True))
    several = list(steps.filter(steps__gt=1).values_list("job", flat=True))
    found: dict[str, Values] = defaultdict(dict)
    if not several:
        return found
    rows = Metric.objects.on().filter(
        evaluation__checkpoint__job__in=several,
        evaluation__checkpoint__deleted_at=None,
        value__isnull=False,
    )
    for metric in rows.order_by("evaluation").select_related("evaluation__checkpoint"):
        checkpoint = metric.evaluation.checkpoint
        assert checkpoint is not None
        assert checkpoint.job_id is not None
        assert metric.value is not None
        called = f"{METRIC}{metric.called}{f' on {metric.dataset}' if metric.dataset else ''}"
        found[called][checkpoint.job_id, checkpoint.job_step] = metric.value
    return found


def _of_metric(name: str, names: list[str], asked: Sequence[tuple[str, list[int]]], values: Values) -> Curves:
    steps = sorted({step for _, step in values})
    lines = []
    for at, (arm, jobs) in enumerate(asked):
        known: list[NDArray[np.float64]] = [
            np.array([values.get((job, step), np.nan) for step in steps])
            for job in jobs
            if any((job, step) in values for step in steps)
        ]
        if known:
            lines.append(mean_line(str(at), arm, np.stack(known)))
    return Curves(name, names, np.array(steps, dtype=np.float64), lines)
