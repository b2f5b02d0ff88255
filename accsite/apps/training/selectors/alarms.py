"""Reads the alarms of jobs: what each is called, which are grave, and which checkpoints were saved since one.

What pages, lists, the header, the title of a tab and the tree show of alarms is decided here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from acc.training.losses import series
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Experiment
from accsite.apps.training.selectors.resuming import RESUMED

ALARMS_SHOWN = 3
OVER = "over"
"""In the payload of an event that tells that the alarms of its kind and series are over."""
TELLING = ("alarm", RESUMED)
DIVERGENCE, COLLAPSE = "divergence", "collapse"
ALARM_WORDS = {
    "nan": "Not a number",
    DIVERGENCE: "Divergence",
    "task_off": "Task switched off",
    "proof": "Resume not proven",
    COLLAPSE: "Posterior collapse",
    "plateau": "Plateau",
    "baseline": "No baseline",
    "autosave": "Checkpoint not written",
    "stall": "No steps",
}
GRAVE = frozenset({"nan", DIVERGENCE, COLLAPSE})
"""Alarms that say the training is spoilt rather than that something should be looked at."""


@dataclass(frozen=True)
class Alarm:
    """An alarm of a job: its kind in words, whether it is grave, and the sentence; of one that is over how it ended."""

    event: JobEvent
    word: str
    grave: bool


def event_word(event: JobEvent) -> str:
    """Return what an event of an alarm is called: its kind, and whether that is over."""
    return f"{alarm_word(_kind(event))}{' is over' if is_over(event) else ''}"


def alarm_word(kind: str) -> str:
    return ALARM_WORDS.get(kind, kind.replace("_", " ").capitalize() or "Alarm")


def alarms(job: Job | None) -> list[Alarm]:
    """Return the newest alarm of each kind and series, newest first; without what the job's end says anyway."""
    if job is None:
        return []
    newest: dict[tuple[str, str], Alarm] = {}
    for event in reversed(_standing(list(job.events.filter(kind__in=TELLING).order_by("id")))):
        kind = _kind(event)
        grave = not is_over(event) and _is_grave(kind, job.state, job.result)
        if event.message != job.message:
            newest.setdefault((kind, event.payload.get("series", "")), Alarm(event, event_word(event), grave))
    return list(newest.values())[:ALARMS_SHOWN]


def grave_alarms(jobs: Iterable[Job]) -> dict[int, str]:
    """Return id -> the grave alarms in words, of those of the jobs that have any; with one query for them all."""
    trained = [job.pk for job in jobs if job.makes_points]
    raised = _grave(JobEvent.objects.filter(job__in=trained)) if trained else {}
    return {job: words for job in raised if (words := words_at(raised, job))}


Raised = dict[int, list[tuple[int, int | None, str]]]
"""Job -> (step of the job, the step by which it was over or None, words) of each of its grave alarms."""


def grave_alarms_in(experiment: Experiment) -> Raised:
    """Return the grave alarms of an experiment's trainings; see ``words_at``."""
    return _grave(JobEvent.objects.filter(job__branch__experiment=experiment))


def words_at(raised: Raised, job: int | None, step: int | None = None) -> str:
    """Return in words the grave alarms of a job that are not over; ``step``: those that stood when it was there."""
    told = raised.get(job or 0, ())
    words = [
        word
        for at, over, word in told
        if (over is None if step is None else at <= step and (over is None or step < over))
    ]
    return ", ".join(dict.fromkeys(words))


def _grave(events: QuerySet[JobEvent]) -> Raised:
    """Return the grave alarms among the events."""
    by_job: dict[int, list[JobEvent]] = defaultdict(list)
    needed = ("kind", "payload", "step", "job__state", "job__result")
    for event in events.filter(kind__in=TELLING).select_related("job").only(*needed).order_by("id"):
        by_job[event.job_id].append(event)
    found: Raised = {}
    for told in by_job.values():
        standing = _standing(told)
        for place, event in enumerate(standing):
            if is_over(event) or not _is_grave(_kind(event), event.job.state, event.job.result):
                continue
            over = next((later.step or 0 for later in standing[place + 1 :] if _ends(later, event)), None)
            found.setdefault(event.job_id, []).append((event.step or 0, over, alarm_word(_kind(event))))
    return found


def collapses(job: Job) -> dict[str, int]:
    """Return the key of a task -> the step at which its collapse was told, of those that are not over."""
    found: dict[str, int] = {}
    for event in _standing(list(job.events.filter(kind__in=TELLING).order_by("id"))):
        key = series.task_key(event.payload.get("series", ""))
        if key is None or _kind(event) != COLLAPSE:
            continue
        if is_over(event):
            found.pop(key, None)
        else:
            found[key] = event.step or 0
    return found


def is_over(event: JobEvent) -> bool:
    """Return whether an event tells that an alarm is over."""
    return bool(event.payload.get(OVER))


def _ends(event: JobEvent, alarm: JobEvent) -> bool:
    same = all(event.payload.get(name) == alarm.payload.get(name) for name in ("alarm", "series"))
    return same and is_over(event)


def _standing(events: Iterable[JobEvent]) -> list[JobEvent]:
    """Return the alarms among events in their order, without those of steps that a resume has taken back."""
    raised: list[JobEvent] = []
    for event in events:
        if event.kind == RESUMED:
            raised = [alarm for alarm in raised if (alarm.step or 0) < (event.step or 0)]
        else:
            raised.append(event)
    return raised


def _kind(event: JobEvent) -> str:
    return str(event.payload.get("alarm", ""))


def _is_grave(kind: str, state: str, result: dict[str, Any] | None) -> bool:
    """Return whether an alarm still tells that the training is spoilt: not of a divergence that was got over."""
    ended_well = state in (JobState.SUCCEEDED, JobState.CANCELLED) and not (result or {}).get("diverged")
    return kind in GRAVE and not (kind == DIVERGENCE and ended_well)
