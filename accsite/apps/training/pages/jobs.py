"""What the pages of jobs and of a workbench show: queries only, each page's in one function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import BooleanField, Case, Count, Q, When, Window
from django.http import Http404

from acc.specs import EvalSpec
from acc.training.losses import series
from accsite.apps.jobs.models import TRAININGS, Job, JobEvent, JobKind, JobQuerySet
from accsite.apps.jobs.selectors import Now, asked, waits_for
from accsite.apps.jobs.states import ACTIVE, HELD, NEVER_BEGAN, JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.selectors.alarms import event_word, grave_alarms
from accsite.apps.training.services.stores import KIND, TakenOver
from accsite.ids import row_id
from accsite.numbers import compact
from accsite.pages import visible_row

EVENTS_SHOWN = 50
RUNS_SHOWN = 100
SHOWN_ABOVE = ("branch__experiment", "checkpoint__experiment", "checkpoint__branch")
SHOWN_WITH_A_JOB = ("branch__experiment", "worker", "created_by")
UNTOLD = ("baseline",)
"""Kinds of events that are figures for charts rather than something that happened."""


@dataclass(frozen=True)
class EventRow:
    """An event of a job, what it says in words, and whether it is marked on the chart."""

    event: JobEvent
    text: str
    marked: bool


def find_job(user: Any, pk: int) -> Job:
    """Return a job that ``user`` may see; raises Http404."""
    rows = Job.objects.visible_to(user).select_related(*SHOWN_WITH_A_JOB, "start_checkpoint")
    return visible_row(rows, f"job {pk}", pk=pk)


def find_branch(user: Any, experiment: str, branch: str) -> Branch:
    """Return a branch that ``user`` may see by its slugs; raises Http404."""
    rows = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    what = f"branch {experiment}/{branch}"
    return visible_row(
        rows.select_related("experiment", "head"), what, experiment__slug=experiment, slug=branch
    )


def current_branch(user: Any) -> Branch | None:
    """Return the branch worked on last: that of the newest train job, else the newest branch."""
    visible = Experiment.objects.visible_to(user)
    jobs = Job.objects.filter(kind__in=TRAININGS, branch__experiment__in=visible)
    job = jobs.select_related("branch__experiment").order_by("-id").first()
    if job is not None:
        return job.branch
    return Branch.objects.filter(experiment__in=visible).select_related("experiment").order_by("-id").first()


def top_job(user: Any, *, branch: int | None = None, job: int | None = None) -> dict[str, Any]:
    """Return the job of the top bar of a page about a branch, about a job, or about neither.

    It is the page's own job while that is active, which may be controlled there (``own``); else, to look at, the
    newest at work, else the newest that waits; train jobs first. ``whose`` it is stands beside its number.
    """
    versions = live.versions(["jobs"])
    shown = None
    if Job.objects.active().exists():  # else the long question of which of them may be seen is not asked
        own_jobs = Q(pk=job) if job else Q(branch=branch) if branch else None
        shown = _first(Job.objects.visible_to(user).active_of_all(), own_jobs)
    own = getattr(shown, "own", False)
    topic = f"job:{shown.pk}" if shown else ""
    return {
        "job": shown,
        "own": own,
        "page": f"?branch={branch}" if branch else f"?job={job}" if job else "",
        "whose": whose(shown) if shown else "",
        "others": shown.active - 1 if shown else 0,
        "topic": topic,
        "asked": asked(shown) if shown else "",
        "grave": grave_alarms([shown]).get(shown.pk, "") if shown else "",
        "versions": versions | (live.versions([topic]) if topic else {}),
    }


def _first(active: JobQuerySet, own: Q | None) -> Any:
    """Return the job that comes first, with ``own``: whether it is one of those, and ``active``: of how many."""
    orders = {"own": own, "trains": Q(kind__in=TRAININGS), "held": Q(state__in=HELD)}
    told = {name: _is(each) for name, each in orders.items() if each is not None}
    found = active.annotate(**told, active=Window(Count("pk"))).order_by(
        *(f"-{name}" for name in told), "-id"
    )
    return found.select_related(*SHOWN_ABOVE).first()


def _is(condition: Q) -> Case:
    return Case(When(condition, then=True), default=False, output_field=BooleanField())


def whose(job: Job) -> str:
    """Return in words what a job works on: ``experiment / branch``, or its title if it is of no experiment."""
    if job.branch is not None:
        return f"{job.branch.experiment.name} / {job.branch.name}"
    if job.checkpoint is not None:
        return f"{job.checkpoint.experiment.name} / {job.checkpoint.branch.name}"
    return job.title


def bench_job(branch: Branch, chosen: str | None) -> Job | None:
    """Return the train job that a workbench shows: the chosen one, else the one at work, else the newest that was.

    A job that waits is shown only where there has been no other; one that was cancelled before its first step left
    nothing to show, and never takes the place of one that did.
    """
    jobs = branch.jobs.filter(kind__in=TRAININGS).select_related("worker").order_by("-id")
    if chosen:
        job = jobs.filter(pk=row_id(chosen)).first()
        if job is None:
            raise Http404(f"there is no train job {chosen[:80]!r} on this branch")
        return job
    at_work = jobs.filter(state__in=HELD | {JobState.LOST}).first()
    shown = jobs.left_something()
    return at_work or shown.exclude(state=JobState.QUEUED, attempt=0).first() or shown.last()


def waiting_behind(branch: Branch, job: Job | None) -> list[tuple[Job, str]]:
    """Return the train jobs of a branch that wait, in the order they were submitted in, without the one shown.

    Each stands with what it waits for, in words.
    """
    active = list(branch.jobs.filter(kind=JobKind.TRAIN, state__in=ACTIVE).order_by("id"))
    queued = [each for each in active if each.state == JobState.QUEUED and each != job]
    if not queued:
        return []
    now = Now()
    return [(each, waits_for(each, siblings=active, now=now)) for each in queued]


def reads(task: Task) -> str:
    """Return the part of the latent that a task reads: a factor, ``start:end``, or empty for all of it."""
    if task.factor or task.latent_start is None:
        return task.factor
    return f"{task.latent_start}:{task.latent_end}"


def events(job: Job | None, names: dict[str, str]) -> list[EventRow]:
    """Return the newest events of a job; ``names`` gives the tasks' names by key.

    That it was cancelled before it began is told once, and is no mark on a curve that there is not.
    """
    if job is None:
        return []
    found = job.events.exclude(kind__in=UNTOLD).exclude(kind="stop", message=NEVER_BEGAN)
    newest = found.order_by("-id")[:EVENTS_SHOWN]
    return [EventRow(event, event_text(event, names), is_marked(event)) for event in newest]


def is_marked(event: JobEvent) -> bool:
    """Return whether an event belongs on the chart: all but the ordinary beginning and end of a job."""
    ordinary = event.kind == "state" and event_state(event) in {
        JobState.CLAIMED,
        JobState.RUNNING,
        JobState.SUCCEEDED,
    }
    return event.step is not None and not ordinary and event.message != NEVER_BEGAN


def event_state(event: JobEvent) -> str:
    """Return the state that an event of kind ``state`` tells of; empty if none."""
    payload = event.payload if isinstance(event.payload, dict) else {}
    return str(payload.get("state") or payload.get("to") or "")


def event_text(event: JobEvent, names: dict[str, str]) -> str:
    """Return an event in words: ``weight of digit → 0.5``."""
    payload: dict[str, Any] = event.payload if isinstance(event.payload, dict) else {}
    task = payload.get("task")
    key = str(task.get("key") if isinstance(task, dict) else task)
    name = names.get(key, key)
    state = event_state(event)
    texts = {
        "set_weight": f"weight of {name} → {payload.get('weight')}",
        "set_enabled": f"{name} {'on' if payload.get('enabled') else 'off'}",
        "set_lr": f"learning rate → {payload.get('lr')}",
        "set_clip": f"clipping → {payload.get('grad_clip_norm') or 'none'}",
        "add_task": f"task {name} added",
        "remove_task": f"task {name} removed",
        "alarm": event_word(event) if event.kind == "alarm" else "",
        "state": JobState(state).label if state in JobState.values else state or "state changed",
    }
    return texts.get(event.kind, event.kind.replace("_", " "))


def task_names(branch: Branch | None) -> dict[str, str]:
    """Return task key -> name for all tasks that a branch ever had."""
    return dict(branch.tasks.values_list("key", "name")) if branch else {}


def named_losses(losses: dict[str, float], spec: dict[str, Any]) -> list[tuple[str, float]]:
    pairs = ((task["name"], losses.get(series.raw(task["key"]))) for task in spec.get("tasks", []))
    return [(name, value) for name, value in pairs if value is not None]


@dataclass(frozen=True)
class SettingsPart:
    """A part of what a job was asked to do, such as one of its tasks: (setting, value) of each that is set."""

    title: str
    values: list[tuple[str, str]]


def taken_over(job: Job) -> dict[str, Any]:
    """Return the first runs that a job took over, each with the line that tells it, and how many more there are."""
    runs = (job.result or {}).get("runs", []) if job.kind == KIND else []
    return {
        "runs": [(run, str(TakenOver(**run))) for run in runs[:RUNS_SHOWN]],
        "more": len(runs[RUNS_SHOWN:]),
    }


def rows_query(job: Job) -> str:
    """Return how an address names the rows that an evaluation measured on; empty for those held out."""
    rows = job.spec.get("rows") if job.kind == JobKind.EVALUATE else None
    return "" if rows in (None, EvalSpec.model_fields["rows"].default) else f"?{urlencode({'rows': rows})}"


def spec_parts(job: Job) -> list[SettingsPart]:
    """Return the specification of a job as people read it: a part for each object in it, and first what is plain."""
    spec = job.spec if isinstance(job.spec, dict) else {}
    parts = [SettingsPart(_said(job.kind).capitalize(), _plain(spec))]
    for name, value in spec.items():
        for called, each in _objects(value):
            title = f"{_said(name).removesuffix('s')} {called}" if called else _said(name)
            parts.append(SettingsPart(title[:1].upper() + title[1:], _plain(each, deep=True)))
    return [part for part in parts if part.values]


def _objects(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects that a setting holds, by what each is called: those of a list or by name, else itself."""
    if isinstance(value, list):
        return [(str(each.get("name") or ""), each) for each in value if isinstance(each, dict)]
    if not isinstance(value, dict):
        return []
    if value and all(isinstance(each, dict) for each in value.values()):
        return [(str(each.get("name") or called), each) for called, each in value.items()]
    return [("", value)]


def _plain(values: dict[str, Any], *, deep: bool = False, before: str = "") -> list[tuple[str, str]]:
    """Return those settings that are set, by name; deep: also those of objects within."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if name.endswith(("sha256", "hash")):  # in the JSON for whoever compares
            continue
        if isinstance(value, dict):
            within = "" if name == "params" else f"{name} "
            found += _plain(value, deep=True, before=f"{before}{within}") if deep else []
        elif isinstance(value, list):
            if value and (deep or not any(isinstance(each, dict) for each in value)):
                found.append((_said(before + name), ", ".join(_word(each) for each in value)))
        elif value is not None and value != "":
            found.append((_said(before + name), _word(value)))
    return found


def _said(name: str) -> str:
    return name.replace("_", " ")


def _word(value: Any) -> str:
    """Return a setting as text: yes and no, a factor group as ``digit 0:6``, a target with its classes or its range."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and {"name", "start", "end"} <= value.keys():
        return f"{value['name']} {value['start']}:{value['end']}"
    if isinstance(value, dict) and {"name", "kind", "classes", "min", "max", "unit"} <= value.keys():
        if value["classes"]:
            return f"{value['name']} ({value['classes']} classes)"
        known = value["min"] is not None and value["max"] is not None
        ends = (
            f", {compact(value['min'])} to {compact(value['max'])} {value['unit']}".rstrip() if known else ""
        )
        return f"{value['name']} ({value['kind']}{ends})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def spec_text(job: Job) -> str:
    return json.dumps(job.spec, indent=2, ensure_ascii=False)
