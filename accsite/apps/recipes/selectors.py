"""Reads runs of recipes: what was done, what is under way, and what is still to come."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from django.db.models import Q, QuerySet
from django.utils import timezone

from acc import messages
from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.selectors.jobs import job_state
from accsite.apps.jobs.states import ACTIVE
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry import params
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch, Experiment

S = RecipeStep.State
FRAMES = ("phase", "parallel", "seed")
UNTOLD = ("log", *FRAMES)
"""Verbs that do nothing to the tree."""


@dataclass
class PhaseRow:
    """A phase: how it stands (a state of a step, or empty when it is still to come), its steps, its train steps."""

    name: str
    state: str = ""
    done: int = 0
    verbs: int = 0
    made: int = 0
    planned: int = 0
    seconds: float | None = None


@dataclass
class StepRow:
    """A call of a verb, in words, and how far its job is."""

    step: RecipeStep
    words: str
    depth: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Cell:
    """One value of the table that a recipe returned."""

    text: str
    number: bool


@dataclass
class RunPage:
    """What the page of a run shows."""

    run: RecipeRun
    phases: list[PhaseRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    lines: list[RecipeStep] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    columns: list[tuple[str, bool]] = field(default_factory=list)
    """Of the table that the recipe returned: name, and whether its values are numbers."""
    rows: list[list[Cell]] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)
    result_text: str = ""


class RunSummary(TypedDict):
    """What a list shows of a run, as plain JSON data."""

    id: int
    recipe: str
    label: str
    params: dict[str, Any]
    seed: int
    source_sha256: str
    state: str | None
    job: messages.Job | None
    result: Any
    can_resume: bool
    created_at: str


class RunPhase(TypedDict):
    """A ``PhaseRow`` as plain data."""

    name: str
    state: str
    done: int
    verbs: int
    made: int
    planned: int
    seconds: float | None


class RunStep(TypedDict):
    """A step of a run; ``job``: the one that it waited for, with that one's steps."""

    path: str
    verb: str
    args: dict[str, Any]
    phase: str
    line: int | None
    state: str
    job: int | None
    step: int | None
    total_steps: int | None
    result: Any
    message: str


class RunState(RunSummary):
    """A run as plain JSON data: its job, its phases and its steps."""

    plan: dict[str, Any]
    phases: list[RunPhase]
    steps: list[RunStep]
    log: list[str]
    branches: list[str]


def seen_runs(user: Any) -> QuerySet[RecipeRun]:
    """Return the runs that ``user`` may see; None, a shell, sees all."""
    return RecipeRun.objects.all() if user is None else RecipeRun.objects.visible_to(user)


def find_run(user: Any, pk: int) -> RecipeRun:
    """Return a run that ``user`` may see (None: any); raises InvalidInput."""
    seen = seen_runs(user)
    found = seen.select_related("job", "source", "created_by").filter(pk=pk).first()
    if found is None:
        newest = ", ".join(str(each) for each in seen.values_list("pk", flat=True)[:5]) or "none"
        raise InvalidInput({"run": f"there is no recipe run {pk}; the newest are: {newest}"})
    return found


def find_recipe(name: str) -> str:
    """Return the class name of a recipe, whatever its spelling; else ``name``."""
    found = params.find(PluginKind.RECIPE, name)
    return found.name if found else name


def trained(run: RecipeRun) -> tuple[int, float]:
    """Return the train steps that the jobs of a run have made, and the seconds since the first began."""
    of_it = Q(recipe_steps__run=run) | Q(recipe_steps__run__within__run=run)
    jobs = Job.objects.filter(of_it, kind=JobKind.TRAIN).distinct()
    rows = list(jobs.values_list("step", "started_at"))
    began = min((started for _, started in rows if started), default=None)
    seconds = (timezone.now() - began).total_seconds() if began else 0.0
    return sum(step for step, _ in rows), seconds


def run_state(run: RecipeRun) -> RunState:
    """Return a run with its phases and its steps."""
    page = run_page(run)
    return {
        **run_summary(run),
        "plan": run.plan,
        "phases": [cast(RunPhase, vars(phase)) for phase in page.phases],
        "steps": [
            {
                "path": row.step.path,
                "verb": row.step.verb,
                "args": row.step.args,
                "phase": row.step.phase,
                "line": row.step.line,
                "state": row.step.state,
                "job": row.step.job_id,
                "step": row.step.job.step if row.step.job else None,
                "total_steps": row.step.job.total_steps if row.step.job else None,
                "result": row.step.result,
                "message": row.step.message,
            }
            for row in page.steps
        ],
        "log": [line.message for line in page.lines],
        "branches": [str(branch) for branch in page.branches],
    }


def run_summary(run: RecipeRun) -> RunSummary:
    """Return what a list shows of a run."""
    return {
        "id": run.pk,
        "recipe": run.recipe,
        "label": run.label,
        "params": run.params,
        "seed": run.seed,
        "source_sha256": run.source_id or "",
        "state": run.job.state if run.job else None,
        "job": job_state(run.job) if run.job else None,
        "result": run.result,
        "can_resume": run.can_resume,
        "created_at": run.created_at.isoformat(),
    }


def run_page(run: RecipeRun) -> RunPage:
    """Return what the page of a run shows, with three queries."""
    found = run.steps.select_related("job", "branch__experiment", "checkpoint")
    steps = sorted(found, key=lambda step: [int(part) for part in step.path.split(".")])
    page = RunPage(run, phases=_phases(run, steps))
    page.steps = [
        StepRow(step, words(step), depth=step.path.count(".") // 2, seconds=_seconds(step))
        for step in steps
        if step.verb != "log"
    ]
    page.lines = sorted((step for step in steps if step.verb == "log"), key=lambda step: step.pk)
    branches = {step.branch_id: step.branch for step in steps if step.branch is not None}
    page.branches = sorted((each for each in branches.values() if each), key=lambda branch: branch.pk)
    page.experiments = list({each.experiment_id: each.experiment for each in page.branches}.values())
    if isinstance(run.result, list) and run.result and all(isinstance(row, dict) for row in run.result):
        names = list(dict.fromkeys(name for row in run.result for name in row))
        page.rows = [[_cell(row.get(name)) for name in names] for row in run.result]
        page.columns = [(name, all(row[at].number for row in page.rows)) for at, name in enumerate(names)]
    elif run.result is not None:
        page.result_text = json.dumps(run.result, indent=2, ensure_ascii=False)
    return page


def words(step: RecipeStep) -> str:
    """Return what a step does in a few words."""
    args = step.args
    model = args.get("model") or {}
    texts = {
        "create_model": f"{args.get('name')} ({model.get('architecture')}, latent {model.get('latent_dim')})",
        "create_dataset": f"{args.get('generator')} with seed {args.get('seed')}",
        "load_dataset": str(args.get("slug")),
        "load_checkpoint": str(args.get("checkpoint")),
        "attach_task": f"{args.get('name') or args.get('task_class')} on {args.get('dataset')}",
        "set_weight": f"{args.get('task')} to {args.get('weight')}",
        "save_checkpoint": str(args.get("tag") or ""),
        "fork": str(args.get("name")),
        "train": f"{(args.get('train') or {}).get('steps')} steps",
        "evaluate": ", ".join(args.get("suite") or []),
        "expand": ", ".join(f"{name} {value}" for name, value in (args.get("expansion") or {}).items()),
        "phase": str(args.get("name")),
        "parallel": f"{args.get('calls')} at once",
        "seed": f"{args.get('arm')}, seed {args.get('seed')}",
        "repeat": f"{args.get('arm')}, seed {args.get('seed')}",
        "study": str(args.get("name")),
    }
    return texts.get(step.verb, "")


def _phases(run: RecipeRun, steps: list[RecipeStep]) -> list[PhaseRow]:
    planned = run.plan.get("phases", []) if isinstance(run.plan, dict) else []
    rows = {
        each["name"]: PhaseRow(each["name"], verbs=each["verbs"], planned=each["steps"]) for each in planned
    }
    for step in steps:
        if step.verb == "phase":
            name = str(step.args.get("name"))
            row = rows.setdefault(name, PhaseRow(name))
            row.state, row.seconds = _worse(row.state, step.state), _seconds(step)
    seen: dict[str, int] = {}
    for phase, step in _within_phases(steps):
        if step.verb in UNTOLD or phase not in rows:
            continue
        if run.source_id is None:  # a program of ACC's own names phases without a step for each
            answered = S.SUCCEEDED if step.state == S.FAILED else step.state
            rows[phase].state = _worse(rows[phase].state, answered)
        seen[phase] = seen.get(phase, 0) + 1
        rows[phase].done += step.state == S.SUCCEEDED
        if step.state == S.FAILED and rows[phase].state == S.CANCELLED and step.run_id == run.pk:
            rows[phase].state = S.FAILED  # what ended it, and not what was stopped with it
        if step.verb == "train" and step.job is not None:
            rows[phase].made += step.job.step
    for row in rows.values():
        row.verbs = max(row.verbs, seen.get(row.name, 0))
    return list(rows.values())


def _within_phases(steps: list[RecipeStep]) -> Iterator[tuple[str, RecipeStep]]:
    """Yield (phase, step) of a run: its own, and in the phase of a study those that the study has made."""
    phases = {step.pk: step.phase for step in steps if step.verb == "study"}
    yield from ((step.phase, step) for step in steps if step.pk not in phases or step.state == S.FAILED)
    if phases:
        inner = RecipeStep.objects.filter(run__within__in=list(phases)).select_related("run", "job")
        yield from ((phases[step.run.within_id or 0], step) for step in inner)


def _cell(value: Any) -> Cell:
    if isinstance(value, float):
        return Cell(f"{value:.4g}", number=True)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Cell("\N{EN DASH}" if value is None else str(value), number=whole or value is None)


def _worse(one: str, other: str) -> str:
    rank = ["", S.SUCCEEDED, S.RUNNING, S.CANCELLED, S.FAILED]
    return max(one, other, key=rank.index)


def _seconds(step: RecipeStep) -> float | None:
    if step.finished_at is None and step.state != S.RUNNING:
        return None
    return ((step.finished_at or timezone.now()) - step.started_at).total_seconds()


def checkpoint_uses(ids: Collection[int]) -> Iterator[tuple[int, str]]:
    """Yield those of the checkpoints that a run under way has touched, with the reason in words."""
    steps = RecipeStep.objects.filter(checkpoint__in=ids, run__job__state__in=ACTIVE).select_related("run")
    for step in steps:
        yield (
            step.checkpoint_id or 0,
            f"is used by the run {step.run.pk} of {step.run.label}, which has not ended",
        )
