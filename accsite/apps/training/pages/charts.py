"""What the chart, its legend and the lists of jobs show: queries only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
from django.db.models import Q

from acc.specs import TrainSpec
from acc.training.losses import health, series
from accsite.apps.jobs.models import TRAININGS, Job, JobKind
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.training.models import Branch, Task, TrackedRun
from accsite.apps.training.selectors.alarms import grave_alarms
from accsite.apps.training.selectors.loss import last_losses_of, last_points, loss_history
from accsite.hues import HUES
from accsite.numbers import compact

RECENT_JOBS = 5
# The same as in points.js.
RAW_STEPS, MOST_LETTERS = 4096, 4000
LEAST_COLUMNS, MOST_COLUMNS, COLUMNS_OF_ALL = 160, 1000, 5000


@dataclass(frozen=True)
class LegendLine:
    """One task's curve: its name, colour slot, last raw loss, trivial baseline, and how it stands.

    ``tolerance``: how far from its baseline a loss may be and still be at it. ``floor``: see
    ``acc.training.protocols.Baseline``. ``words`` says who the trivial predictor is. ``stopped_at``: the step of
    ``last`` if the task has not been trained since, so that its value tells nothing of now. ``begun``: no job of the
    branch has told a loss yet; ``last`` is that of the checkpoint which the branch begins from. ``told``: the series,
    where a loop of one's own has named it rather than a task. ``part``: of a task that returns several losses by name,
    the one that this is, and ``place`` its place among them, from 1 on.
    """

    key: str
    slot: int
    name: str
    last: float | None
    health: health.Health
    baseline: float | None = None
    tolerance: float = 0.0
    floor: bool = False
    words: str = ""
    stopped_at: int | None = None
    begun: bool = False
    told: str = ""
    part: str = ""
    place: int = 0

    @property
    def series(self) -> str:
        return self.told or (self.key if self.part else series.raw(self.key))

    @property
    def hue(self) -> int:
        return self.slot % HUES

    @property
    def dash(self) -> int:
        """The dashes of the line: other ones for the next task of the same hue, and for each loss of a task."""
        return (self.slot + HUES // 2 * (self.slot // HUES) + self.place) % HUES

    @property
    def against(self) -> str:
        """How far the last loss is from its baseline: ``-38 %``; chart.js says the same while points come."""
        if self.last is None or not self.baseline or not math.isfinite(self.last):
            return ""
        share = 100 * (self.last - self.baseline) / abs(self.baseline)
        size = f"{compact(self.last / self.baseline)} x" if abs(share) >= 1000 else f"{abs(share):.0f} %"
        if -100 < share < -99:  # never all of it while something is left
            size = f"{min(int(-10 * share) / 10, 99.9):.1f} %"
        return "±0 %" if abs(share) <= 0.5 else f"{'-' if share < 0 else '+'}{size}"


@dataclass(frozen=True)
class JobRow:
    """A job, the newest loss of each of its tasks as (name, colour slot or '', series, value or None), its alarms.

    alarms: the grave ones, in words.
    """

    job: Job
    losses: list[tuple[str, int | str, str, float | None]]
    alarms: str = ""


def legend(branch: Branch | None, job: Job | None) -> list[LegendLine]:
    """Return the curves of a chart: the tasks that the job trained and those attached since, in order."""
    if branch is None:
        return []
    if job is not None and job.kind == JobKind.TRACK:
        return _told(job)
    losses = last_points(job) if job else _losses_at_start(branch)
    recent = recent_losses(job) if job else {}
    baselines = baselines_of(job) if job else {}
    trained = {task["key"] for task in job.spec.get("tasks", [])} if job else set()
    trained |= {series.task_key(name) for name in losses}
    growing = job is None or job.state in ACTIVE
    lines: list[LegendLine] = []
    for task in branch.tasks.all():
        if task.key in trained or (growing and task.removed_at is None):
            lines.append(
                _line(task, job, losses.get(series.raw(task.key)), recent, baselines.get(task.key, {}))
            )
            lines += _parts(task, lines[-1], losses, recent)
    return lines


def _parts(
    task: Task, whole: LegendLine, losses: dict[str, tuple[int, float]], recent: dict[str, Any]
) -> list[LegendLine]:
    """Return the losses that a task returned by name, in the order of their names."""
    named = {name: part for name in losses if (part := series.part_of(name)) and part[0] == task.key}
    return [
        replace(
            whole,
            key=name,
            name=f"{task.name}: {named[name][1]}",
            last=losses[name][1],
            health=health.assess(recent.get(name, ())),
            baseline=None,
            floor=False,
            words="",
            part=named[name][1],
            place=place,
        )
        for place, name in enumerate(sorted(named), 1)
    ]


def _told(job: Job) -> list[LegendLine]:
    """Return the curves of a loop of one's own: what it told, in the order in which it did."""
    names = list(TrackedRun.objects.filter(job=job).values_list("series", flat=True).first() or [])
    losses, recent = last_points(job), recent_losses(job)
    return [
        LegendLine(
            key=f"s{slot}",
            slot=slot,
            name=name,
            last=losses[told][1] if told in losses else None,
            health=health.assess(recent.get(told, ()), None),
            told=told,
        )
        for slot, name in enumerate(names)
        for told in [series.raw(name)]
    ]


def _line(
    task: Task,
    job: Job | None,
    last: tuple[int, float] | None,
    recent: dict[str, Any],
    baseline: dict[str, Any],
) -> LegendLine:
    name = series.raw(task.key)
    loss, floor = baseline.get("loss"), bool(baseline.get("floor"))
    stopped = job is not None and last is not None and last[0] < job.step - health.window(job.step)
    return LegendLine(
        key=task.key,
        slot=task.colour_slot,
        name=task.name,
        last=last[1] if last else None,
        health=health.assess(recent.get(name, ()), loss, floor=floor),
        baseline=loss,
        tolerance=0.0 if loss is None else health.tolerance(loss, floor=floor),
        floor=floor,
        words=baseline.get("words", ""),
        stopped_at=last[0] if last and stopped else None,
        begun=job is None and last is not None,
    )


def _losses_at_start(branch: Branch) -> dict[str, tuple[int, float]]:
    start = branch.head or branch.forked_from
    return {name: (start.step, value) for name, value in start.losses.items()} if start else {}


def ordered(lines: list[LegendLine], order: str) -> list[LegendLine]:
    """Return the lines as their viewer has put them: keys with dots between them; those not named come last."""
    places = {key: place for place, key in enumerate(order.split("."))}
    return sorted(lines, key=lambda line: places.get(line.key, len(places)))


def first_look(job: Job | None, lines: Sequence[LegendLine], address: str) -> str:
    """Return the address of what the chart draws first, as points.js asks for it: fetched with the page.

    Empty where there is nothing to fetch.
    """
    if job is None or not job.step or not lines:
        return ""
    names = [line.series for line in lines]
    columns = max(LEAST_COLUMNS, min(MOST_COLUMNS, COLUMNS_OF_ALL // len(names)))
    asked = {
        "format": "points",
        **({"points": columns} if job.step > RAW_STEPS else {}),
        "series": ",".join(names),
    }
    return f"{address}?{urlencode(asked)}"


def recent_losses(job: Job) -> dict[str, Any]:
    """Return series -> values of the newest steps, as many as tell the health of a loss."""
    if not job.step:
        return {}
    header, columns = loss_history(job, start=job.step - health.window(job.step))
    return dict(zip(header["series"], columns.astype(np.float64), strict=True))


def baselines_of(job: Job) -> dict[str, dict[str, Any]]:
    """Return task key -> the newest baseline measured in the job."""
    events = job.events.filter(kind="baseline").order_by("id")
    return {payload["task"]: payload for payload in events.values_list("payload", flat=True)}


def recent_jobs(branch: Branch) -> list[JobRow]:
    """Return the newest train jobs of a branch, and what else is at work or has failed."""
    telling = Q(kind__in=TRAININGS) | Q(state__in=[*ACTIVE, JobState.FAILED])
    return job_rows(list(branch.jobs.filter(telling).order_by("-id")[:RECENT_JOBS]))


def job_rows(jobs: Sequence[Job]) -> list[JobRow]:
    """Return the jobs with their tasks' newest losses: of an ended job those it ended with."""
    trained = [job for job in jobs if job.makes_points]
    open_ended = last_losses_of([job for job in trained if "losses" not in job.result])
    tasks: dict[tuple[int, str], tuple[str, int]] = {
        (branch_id, key): (name, slot)
        for branch_id, key, name, slot in Task.objects.filter(
            branch__in={job.branch_id for job in trained}
        ).values_list("branch_id", "key", "name", "colour_slot")
    }
    told = {
        (job, name): (name, slot % HUES)
        for job, names in TrackedRun.objects.filter(
            job__in=[job.pk for job in trained if job.kind == JobKind.TRACK]
        ).values_list("job", "series")
        for slot, name in enumerate(names)
    }
    grave = grave_alarms(trained)
    return [
        JobRow(
            job,
            _losses(job, open_ended.get(job.pk, {}), told if job.kind == JobKind.TRACK else tasks),
            grave.get(job.pk, ""),
        )
        for job in jobs
    ]


def _losses(
    job: Job, newest: dict[str, float], known: dict[tuple[int, str], tuple[str, int]]
) -> list[tuple[str, int | str, str, float | None]]:
    ended = {
        series.raw(key): value for key, value in job.result.get("losses", {}).items() if key != series.TOTAL
    }
    losses: dict[str, float | None] = {}
    if job.state in ACTIVE:  # each has its place before it has a value, which the page writes there
        tasks_on = [task for task in job.spec.get("tasks", []) if task.get("enabled", True)]
        losses |= {series.raw(task["key"]): None for task in tasks_on}
    losses |= ended or {name: value for name, value in newest.items() if name.startswith(series.raw(""))}
    rows = []
    for name, value in losses.items():
        key = series.task_key(name) or ""
        label, slot = known.get(
            ((job.pk if job.kind == JobKind.TRACK else job.branch_id) or 0, key), (key, "")
        )
        rows.append((label, slot, name, value))
    return rows


def training_again(branch: Branch, train: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the API's request and the arguments of manage.py that train a branch so; ``train``: TrainSpec.

    Fields that are as by default are left out.
    """
    usual = TrainSpec(steps=1).model_dump(mode="json")
    asked = {
        name: value for name, value in (train or {}).items() if name == "steps" or value != usual.get(name)
    }
    request: dict[str, Any] = {"kind": "train", "branch": branch.pk}
    if asked:
        request["train"] = asked
    arguments = ["train", "--experiment", branch.experiment.slug, "--branch", branch.slug]
    for name, value in asked.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    return request, arguments
