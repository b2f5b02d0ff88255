"""Curves of trainings, one axis for them all: each by itself, or those of several as mean with its 95 % band."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import TextField
from django.db.models.functions import Cast
from numpy.typing import NDArray

from acc.differences import student
from acc.training.losses import series
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import LossBlock
from accsite.apps.training.selectors.loss import bucket_steps, loss_means
from accsite.hues import HUES

COLUMNS = 240
"""Places on the axis, at most twice as many as are drawn."""
MOST_CURVES = 60
MOST_OF_A_GROUP = 50
MOST_JOBS = 600
"""Of all curves together; many groups are drawn from fewer jobs each, so that an answer takes no longer."""
DASHES = 8
"""How many kinds of dashes ``static/js/chart.js`` has."""


@dataclass(frozen=True)
class Line:
    """A curve: mean of ``n`` runs at each place of the axis, NaN where none has a value; the band, of two or more."""

    key: str
    label: str
    n: int
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """What is drawn: ``steps``: the middle of each place of the axis; ``names``: all series that these runs have."""

    name: str
    names: list[str]
    steps: NDArray[np.float64]
    lines: list[Line]

    def as_json(self) -> dict[str, Any]:
        """Return it as pages read it: numbers in five digits, finer than a chart can be read; None for no value."""
        return {
            "name": self.name,
            "names": self.names,
            "steps": self.steps.tolist(),
            "lines": [
                {
                    "key": line.key,
                    "label": line.label,
                    "n": line.n,
                    "mean": _plain(line.mean),
                    **({"low": _plain(line.low), "high": _plain(line.high)} if line.n > 1 else {}),
                }
                for line in self.lines
            ],
        }


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values.tolist()]


def look_of(place: int) -> tuple[int, int]:
    """Return hue and dashes of the curve at a place: both differ from those of its neighbours."""
    return place % HUES, (place + place // HUES) % DASHES


def most_of(groups: int) -> int:
    """Return of how many jobs a curve is the mean at most, where there are so many curves."""
    return min(MOST_OF_A_GROUP, MOST_JOBS // max(1, min(groups, MOST_CURVES)))


def curves(asked: Sequence[tuple[str, str, Sequence[int]]], name: str = "") -> Curves:
    """Return the curves of (key, label, ids of jobs), as a mean where there are several, of ``most_of`` at most.

    name: the series, ``total`` by default, or else the first that there is. A job takes part where it has values.
    """
    asked = [(key, label, ids[: most_of(len(asked))]) for key, label, ids in asked[:MOST_CURVES]]
    jobs = Job.objects.only("pk", "step").in_bulk({pk for _, _, ids in asked for pk in ids})
    longest = max((job.step for job in jobs.values()), default=0)
    width = bucket_steps(0, longest, COLUMNS)
    count = -(-longest // width) if longest else 0
    names = _names(jobs.values())
    chosen = name if name in names else series.TOTAL if series.TOTAL in names else names[0] if names else ""
    found = loss_means(jobs.keys(), chosen, width, longest) if chosen else {}
    lines = []
    for key, label, ids in asked:
        values = [found[pk] for pk in ids if pk in found]
        if values:
            lines.append(mean_line(key, label, np.stack(values)))
    steps = np.minimum(np.arange(count) * width + (width - 1) / 2, max(longest - 1, 0))
    return Curves(chosen, names, steps, lines)


def _names(jobs: Any) -> list[str]:
    """Return the series of which there is a loss in any of the jobs, the total first."""
    rows = LossBlock.objects.filter(job__in=[job.pk for job in jobs]).order_by()
    told = rows.annotate(told=Cast("series", TextField())).values_list("told", flat=True).distinct()
    names = {
        name for each in told for name in json.loads(each) if name == series.TOTAL or name.startswith("raw/")
    }
    return sorted(names, key=lambda name: (name != series.TOTAL, name))


def mean_line(key: str, label: str, values: NDArray[np.float64]) -> Line:
    """Return the mean over jobs (jobs, places) with t interval, at each place of the jobs that have a value there."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    mean = np.full(values.shape[1], np.nan)
    np.divide(np.where(known, values, 0).sum(axis=0), n, out=mean, where=n > 0)
    squares = np.where(known, np.square(values - mean), 0).sum(axis=0)
    half = np.full(values.shape[1], np.nan)
    several = n > 1
    quantiles = np.array([0.0, 0.0, *(student(freedom) for freedom in range(1, len(values)))])
    half[several] = quantiles[n[several]] * np.sqrt(squares[several] / (n[several] - 1) / n[several])
    return Line(key, label, len(values), mean, mean - half, mean + half)
