"""Reads what happened and what waits, of what a user may see: made of the events of jobs, and of broken plugins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from acc.text import clean
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.selectors import waits_for
from accsite.apps.jobs.states import DIVERGED, HELD, JobState
from accsite.apps.news.models import Seen
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.selectors.alarms import event_word, is_over

SHOWN = 60
SHOWN_IN_THE_BELL = 8
WAITING_SHOWN = 8
MOST_UNREAD = 99
LOOKED_BACK = 2_000
"""Of the newest events that may be news: what is older is news to nobody, however long they were away."""
AT_A_TIME = 400
TOLD = ("alarm", "state")
ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.LOST)
SENTENCE_CHARS = 300


@dataclass(frozen=True)
class News:
    """One thing that happened. ``mark``: the state that its colour and icon follow; ``log``: where its log is read."""

    at: datetime
    mark: str
    word: str
    title: str
    sentence: str
    url: str
    log: str = ""
    unread: bool = False


@dataclass(frozen=True)
class Waiting:
    """A job that waits, and why."""

    job: Job
    why: str


@dataclass(frozen=True)
class Counts:
    """How much there is: of one's own news that are unread, how many of them failed, and of all jobs at work."""

    unread: int
    failed: int
    running: int
    waiting: int

    @property
    def many(self) -> bool:
        """Whether there are more unread than are counted."""
        return self.unread > MOST_UNREAD


@dataclass(frozen=True)
class Place:
    """Up to where somebody has read, or may say to have read."""

    event: int
    at: datetime


def seen_by(user: Any) -> Place:
    """Return up to where a user has read: at first, up to when they came."""
    row = Seen.objects.filter(user=user).first()
    return Place(row.event, row.at) if row is not None else Place(0, user.date_joined)


def newest() -> Place:
    """Return up to where there is something to be read now."""
    return Place(JobEvent.objects.aggregate(newest=Max("pk"))["newest"] or 0, timezone.now())


def counts(user: Any) -> Counts:
    """Return what the bell and the rail say, in few queries whatever there is."""
    seen = seen_by(user)
    unread = _told(user, after=seen, limit=MOST_UNREAD + 1)
    broken = _broken().filter(updated_at__gt=seen.at).count()
    active = Job.objects.visible_to(user).active()
    by_state = Counter(active.order_by().values_list("state", flat=True))
    return Counts(
        unread=len(unread) + broken,
        failed=sum(state in {JobState.FAILED, JobState.LOST} for state in unread.values()) + broken,
        running=sum(by_state[state] for state in HELD),
        waiting=by_state[JobState.QUEUED] + by_state[JobState.LOST],
    )


def news(user: Any, *, everyones: bool = False, limit: int = SHOWN) -> list[News]:
    """Return what happened, newest first: of what is one's own, or of all that one may see."""
    seen = seen_by(user)
    told = _told(user, everyones=everyones, limit=limit)
    events = JobEvent.objects.filter(pk__in=told).select_related("job").defer("job__spec", "job__traceback")
    rows = list(events.order_by("-pk"))
    runs = _runs([event.job for event in rows])
    found = [_of_event(event, seen, runs) for event in rows]
    found += [_of_file(file, seen) for file in _broken()[:limit]]
    return sorted(found, key=lambda each: each.at, reverse=True)[:limit]


def waiting(user: Any, limit: int = WAITING_SHOWN) -> list[Waiting]:
    """Return the jobs that wait, the next one first, each with why."""
    jobs = Job.objects.visible_to(user).filter(state=JobState.QUEUED).select_related("branch__experiment")
    return [
        Waiting(job, waits_for(job) or "is about to start")
        for job in jobs.order_by("-priority", "pk")[:limit]
    ]


def _told(user: Any, *, limit: int, after: Place | None = None, everyones: bool = False) -> dict[int, str]:
    """Return event -> the state that it tells of, of the newest that are news: ends, lost workers, and alarms.

    A few hundred events are read at a time, and then whose jobs they are: a join of both would read all there are.
    """
    rows = JobEvent.objects.filter(kind__in=TOLD, pk__gt=after.event if after else 0).order_by("-pk")
    if after is not None and after.event == 0:  # who has never said up to where: since they came
        rows = rows.filter(created_at__gt=after.at)
    found: dict[int, str] = {}
    for begin in range(0, LOOKED_BACK, AT_A_TIME):
        some = list(rows.values_list("pk", "job", "kind", "payload")[begin : begin + AT_A_TIME])
        states = {
            pk: (job, _state(payload))
            for pk, job, kind, payload in some
            if kind == "alarm" or _state(payload)
        }
        jobs = Job.objects.visible_to(user).filter(pk__in={job for job, _ in states.values()}, preview=False)
        if not everyones:
            jobs = jobs.filter(Q(created_by=user) | Q(created_by=None) | Q(branch__experiment__owner=user))
        theirs = set(jobs.values_list("pk", flat=True)) if states else set()
        found |= {pk: state for pk, (job, state) in states.items() if job in theirs}
        if len(found) >= limit or len(some) < AT_A_TIME:
            break
    return dict(list(found.items())[:limit])


def _state(payload: Any) -> str:
    """Return the state that an event tells of, if that is news."""
    state = payload.get("state", "") if isinstance(payload, dict) else ""
    return state if state in ENDS else ""


def _broken() -> QuerySet[PluginFile]:
    return PluginFile.objects.exclude(error="").order_by("-updated_at")


def _runs(jobs: list[Job]) -> dict[int, int]:
    """Return job -> run, of the jobs of recipes among them."""
    recipes = [job.pk for job in jobs if job.kind == JobKind.RECIPE]
    return dict(RecipeRun.objects.filter(job__in=recipes).values_list("job", "pk")) if recipes else {}


def _of_event(event: JobEvent, seen: Place, runs: dict[int, int]) -> News:
    job = event.job
    page = reverse("training:job", args=[job.pk])
    unread = event.pk > seen.event and (seen.event > 0 or event.created_at > seen.at)
    payload = event.payload if isinstance(event.payload, dict) else {}
    sentence = clean(event.message, SENTENCE_CHARS)
    if event.kind == "alarm":
        how = JobState.SUCCEEDED if is_over(event) else JobState.LOST
        about = f"Job {job.pk}: {job.title}"
        return News(event.created_at, how, event_word(event), about, sentence, page, "", unread)
    state = JobState(payload["state"])
    mark, word = str(state), str(state.label)
    url, log = page, f"{page}?tab=log" if state == JobState.FAILED else ""
    if state == JobState.SUCCEEDED:
        sentence = "" if sentence == "done" else sentence
        if (job.result or {}).get("diverged"):
            mark, word = DIVERGED, "ended, diverged"
        if job.kind == JobKind.EVALUATE and job.checkpoint_id:
            url = reverse("evaluation:checkpoint", args=[job.checkpoint_id])
    if job.pk in runs:
        url = reverse("recipes:recipe-run", args=[runs[job.pk]])
    return News(event.created_at, mark, word, f"Job {job.pk}: {job.title}", sentence, url, log, unread)


def _of_file(file: PluginFile, seen: Place) -> News:
    where = f"{file.path}:{file.error_line}" if file.error_line else file.path
    url = f"{reverse('registry:plugins')}#broken-{file.pk}"
    sentence = clean(file.error, SENTENCE_CHARS)
    return News(
        file.updated_at, JobState.FAILED, "not loaded", where, sentence, url, "", file.updated_at > seen.at
    )
