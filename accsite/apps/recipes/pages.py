"""What the pages of recipes show: queries only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Max
from django.utils import timezone

from acc.training.losses import series
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.selectors import FRAMES, PhaseRow, RunPage, StepRow
from accsite.apps.training.models import Checkpoint

SHOWN_METRICS = ("ufr", "accuracy", "r2")
MOST_METRICS = 2
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
MOST_TICKS = 7
LEAST_SECONDS = 1.0
LEAST_SHARE = 0.4
"""In percent of the whole: what takes no time can be seen all the same."""


@dataclass(frozen=True)
class Bar:
    """A stretch of time. ``start``, ``end``: seconds since the run began; ``x``, ``width``: percent of all its time."""

    start: float
    end: float
    x: float
    width: float
    running: bool
    words: str
    state: str = ""


@dataclass(frozen=True)
class Outcome:
    """A number that a step came to."""

    name: str
    value: float


@dataclass(frozen=True)
class Line:
    """A step that has a job of its own: its bar, what it made, and how far it is."""

    row: StepRow
    bar: Bar
    outcomes: list[Outcome]
    checkpoint: Checkpoint | None

    @property
    def step(self) -> RecipeStep:
        return self.row.step


@dataclass
class Group:
    """A phase with its lines; ``dots``: its steps that took no job. Without a name: what is in no phase."""

    phase: PhaseRow
    bar: Bar | None
    lines: list[Line] = field(default_factory=list)
    dots: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class Tick:
    """A mark of the axis."""

    seconds: int
    x: float


@dataclass(frozen=True)
class Gantt:
    """A run over time. ``now``, ``span``: seconds since it began, of this moment and of the right edge."""

    groups: list[Group]
    ticks: list[Tick]
    now: float
    span: float
    running: bool


def gantt(page: RunPage) -> Gantt:
    """Return when each phase and each step of a run was at work."""
    run, rows = page.run, page.steps
    zero = min((row.step.started_at for row in rows), default=run.created_at)
    running = run.is_active
    moment = timezone.now() if running else _ended(rows, zero)
    now = (moment - zero).total_seconds()
    left = run.job.words.eta_seconds if running and run.job is not None else None
    span = max(LEAST_SECONDS, now + (left or 0))

    def bar(start: float, end: float, going: bool, words: str = "", state: str = "") -> Bar:
        width = max(LEAST_SHARE, 100 * (end - start) / span)
        x = min(100 * start / span, 100 - width)
        return Bar(start, end, x, width, going, words, state)

    groups = {phase.name: Group(phase, None) for phase in page.phases}
    for row in rows:
        step = row.step
        start = (step.started_at - zero).total_seconds()
        end = (step.finished_at - zero).total_seconds() if step.finished_at else now
        going = running and step.finished_at is None
        if step.verb == "phase":
            group = groups.setdefault(row.words, Group(PhaseRow(row.words), None))
            known = group.bar
            if known is not None:  # the same phase again, for another seed: one bar for all of them
                start, end = min(known.start, start), max(known.end, end)
                going = going or known.running
            group.bar = bar(start, end, going)
            continue
        if step.verb in FRAMES:
            continue
        group = groups.setdefault(step.phase, Group(PhaseRow(step.phase), None))
        words = f"{step.verb.replace('_', ' ')} {row.words}".strip()
        drawn = bar(start, end, going, words, step.state)
        if step.job_id is None:
            group.dots.append(drawn)
        else:
            group.lines.append(Line(row, drawn, list(_outcomes(step)), step.checkpoint))
    shown = [group for group in groups.values() if group.phase.name or group.lines or group.dots]
    return Gantt(shown, _ticks(span), now, span, running)


def _ended(rows: Sequence[StepRow], zero: datetime) -> datetime:
    return max((row.step.finished_at or row.step.started_at for row in rows), default=zero)


def _ticks(span: float) -> list[Tick]:
    days = 86400 * max(1, math.ceil(span / 86400 / MOST_TICKS))
    every = next((each for each in TICKS if span / each <= MOST_TICKS), days)
    return [Tick(at, 100 * at / span) for at in range(0, math.floor(span) + 1, every)]


def _outcomes(step: RecipeStep) -> Iterator[Outcome]:
    if step.verb == "train" and step.checkpoint is not None:
        total = step.checkpoint.losses.get(series.TOTAL)
        if isinstance(total, int | float):
            yield Outcome("loss", float(total))
    measured = (step.result or {}).get("metrics") if step.verb == "evaluate" else None
    if isinstance(measured, dict):
        names = [
            name for wanted in SHOWN_METRICS for name in sorted(measured) if name.rpartition("/")[2] == wanted
        ]
        for name in names[:MOST_METRICS]:
            if isinstance(measured[name], int | float):
                yield Outcome(name.replace("/", " "), float(measured[name]))


@dataclass(frozen=True)
class Made:
    """What the newest run of a recipe that came to its end was made of."""

    run: RecipeRun
    phases: list[PhaseShare]
    steps: int


@dataclass(frozen=True)
class PhaseShare:
    """A phase as it was planned, and where it stands among all steps, in percent."""

    name: str
    x: float
    width: float


def made(user: Any) -> dict[str, Made]:
    """Return recipe -> what its newest finished run was made of, of the runs that ``user`` may see."""
    seen = RecipeRun.objects.visible_to(user).filter(job__state=JobState.SUCCEEDED)
    newest = seen.order_by().values("recipe").annotate(last=Max("pk")).values_list("last", flat=True)
    runs = RecipeRun.objects.filter(pk__in=list(newest)).select_related("job")
    return {run.recipe: _made(run) for run in runs}


def _made(run: RecipeRun) -> Made:
    plan = run.plan if isinstance(run.plan, dict) else {}
    phases = plan.get("phases", [])
    weights = [max(1, each["verbs"]) for each in phases]
    whole = sum(weights) or 1
    shares = []
    for at, each in enumerate(phases):
        shares.append(
            PhaseShare(each["name"], 100 * sum(weights[:at]) / whole, 100 * weights[at] / whole - 0.7)
        )
    return Made(run, shares, int(plan.get("steps", 0)))
