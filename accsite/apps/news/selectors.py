"""Reads what happened and what waits, of what a user may see: made of the events of jobs, and of broken plugins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone

from acc.text import clean
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.selectors import what_each_waits_for
from accsite.apps.jobs.states import DIVERGED, HELD, JobState
from accsite.apps.news.models import Seen
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.selectors.alarms import event_word, is_over

SHOWN = 60
SHOWN_IN_THE_BELL = 8
WAITING_SHOWN = 8
MOST_UNREAD = 99
LOOKED_BACK = 20_000
"""Of the newest events of all jobs, of any kind: what is older is news to nobody, however long they were away."""
AT_A_TIME = 400
FAILURES = (JobState.FAILED, JobState.LOST)
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
    """How much there is: of one's own news that are unread, how many of them failed, and of all jobs at work.

    Of both no more than one above ``MOST_UNREAD`` are counted.
    """

    unread: int
    failed: int
    running: int
    waiting: int

    @property
    def many(self) -> bool:
        """Whether there are more unread than are counted."""
        return self.unread > MOST_UNREAD

    @property
    def many_failed(self) -> bool:
        """Whether more of them failed than are counted."""
        return self.failed > MOST_UNREAD


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
    failed = sum(state in FAILURES for state in unread.values())
    if len(unread) > MOST_UNREAD:  # older ones failed, too
        failed = len(_told(user, after=seen, limit=MOST_UNREAD + 1, failures=True))
    broken = _broken().filter(updated_at__gt=seen.at).count()
    by_state = {}
    if Job.objects.active().exists():  # else the long question of which of them may be seen is not asked
        by_state = Job.objects.visible_to(user).active_of_all().counts_by("state")
    return Counts(
        unread=len(unread) + broken,
        failed=failed + broken,
        running=sum(by_state.get(state, 0) for state in HELD),
        waiting=by_state.get(JobState.QUEUED, 0) + by_state.get(JobState.LOST, 0),
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
    shown = list(jobs.order_by("-priority", "pk")[:limit])
    return [
        Waiting(job, why or "is about to start")
        for job, why in zip(shown, what_each_waits_for(shown), strict=True)
    ]


def is_cut_off() -> bool:
    """Return whether there are events that are too old to be news."""
    return JobEvent.objects.filter(pk__lte=_looked_back()).exists()


def _looked_back() -> Any:
    """Return the event behind which news begin, for a query to find by itself."""
    newest = JobEvent.objects.order_by("-pk").annotate(oldest=F("pk") - LOOKED_BACK)
    return Subquery(newest.values("oldest")[:1])


def _told(
    user: Any,
    *,
    limit: int,
    after: Place | None = None,
    everyones: bool = False,
    failures: bool = False,
) -> dict[int, str]:
    """Return event -> the state that it tells of, of the newest that are news: ends, lost workers, and alarms.

    That a part of a recipe or of a study is done is none: the whole tells of its end.
    after: only those behind it. failures: only of jobs that failed or were lost.
    A few hundred are read at a time, and then which of their jobs may be seen: a join of both would read all there are.
    """
    is_part = Exists(RecipeStep.objects.filter(job=OuterRef("job"), owns_job=True))
    told = Q(kind="state", payload__state__in=list(FAILURES))
    if not failures:
        told |= Q(kind="state", payload__state=JobState.SUCCEEDED) & ~Q(is_part)
    rows = JobEvent.objects.filter(told if failures else told | Q(kind="alarm"), job__preview=False)
    rows = rows.filter(pk__gt=_looked_back()).order_by("-pk")
    if after is not None:  # who has never said up to where: since they came
        rows = rows.filter(pk__gt=after.event) if after.event else rows.filter(created_at__gt=after.at)
    if not everyones:
        rows = rows.filter(Q(job__created_by=user) | Q(job__branch__experiment__owner=user))
    at_a_time = AT_A_TIME if everyones else min(AT_A_TIME, limit)  # of one's own, few are not to be seen
    found: dict[int, str] = {}
    some = list(rows.values_list("pk", "job", "payload")[:at_a_time])
    while some:
        theirs = Job.objects.visible_to(user).filter(pk__in={job for _, job, _ in some})
        seen = set(theirs.values_list("pk", flat=True))
        found |= {pk: _state(payload) for pk, job, payload in some if job in seen}
        if len(found) >= limit or len(some) < at_a_time:
            break
        some = list(rows.filter(pk__lt=some[-1][0]).values_list("pk", "job", "payload")[:at_a_time])
    return dict(list(found.items())[:limit])


def _state(payload: Any) -> str:
    """Return the state that an event tells of; '' for an alarm."""
    return str(payload.get("state", "")) if isinstance(payload, dict) else ""


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
