"""Jobs and what surrounds them: events, the outbox and the workers."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from acc.text import DETAIL_CHARS
from accsite.apps.access.permissions import is_administrator
from accsite.apps.jobs.states import ACTIVE, DIVERGED, HELD, TERMINAL, JobState, StateWords
from accsite.fields import CleanJSONField, CleanTextField


class JobKind(StrEnum):
    """The kinds that other code than their own class asks for; all there are know ``kinds.KINDS``."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    GENERATE = "generate"
    IMPORT = "import"
    RECIPE = "recipe"
    EXPAND = "expand"
    REPLAY = "replay"
    TRACK = "track"


TRAININGS = (JobKind.TRAIN, JobKind.TRACK)
"""The kinds whose jobs make loss points: trainings of ACC, and loops of one's own."""


Visible = Callable[[Any], Q]
"""Returns which jobs a user may see."""
ON_BRANCHES: list[Visible] = []
"""Of the jobs that work on a branch: filled in by the app whose branches they are."""
PRIVATE_KINDS: dict[str, Visible] = {}
"""Of the jobs of kinds that work on no branch and are not everyone's to see: filled in by the app of each."""


def _seen_by(user: Any) -> Q:
    seen = Q(branch=None) & ~Q(kind__in=PRIVATE_KINDS)
    for visible in ON_BRANCHES:
        seen |= visible(user)
    for kind, visible in PRIVATE_KINDS.items():
        seen |= Q(branch=None, kind=kind) & visible(user)
    return seen


class WorkerQuerySet(models.QuerySet["Worker"]):
    def serving(self, queue: str) -> list[Worker]:
        """Return the workers that are online and serve a queue."""
        return [worker for worker in self.filter(state=Worker.State.ONLINE) if queue in worker.queues]

    def idle(self) -> WorkerQuerySet:
        """Return the workers that are online, hold no job and run no part of one."""
        online = self.filter(state=Worker.State.ONLINE).exclude(jobs__state__in=HELD)
        return online.exclude(parts__in=JobPart.objects.live())


class Worker(models.Model):
    """One worker process bound to one device, as it last described itself."""

    class State(models.TextChoices):
        ONLINE = "ONLINE", "online"
        DRAINING = "DRAINING", "draining"
        RETIRED = "RETIRED", "retired"
        OFFLINE = "OFFLINE", "offline"

    name = models.CharField(max_length=120, unique=True, help_text="stable: host, queues and device")
    hostname = models.CharField(max_length=120, help_text="of its machine: workers of one share its devices")
    address = models.CharField(
        max_length=45, blank=True, help_text="where ranks on other machines reach it; empty: none can"
    )
    pid = models.PositiveIntegerField()
    device = models.CharField(max_length=32)
    queues = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=State, default=State.ONLINE)
    telemetry = models.JSONField(default=dict, help_text="device name, utilisation, memory, temperature")
    started_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField()

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: Any) -> JobQuerySet:
        """Return the jobs that work on what ``user`` may see; a recipe's job is as private as its run.

        Jobs of no branch are everyone's to see, but for those of PRIVATE_KINDS. Which these are is put into a query
        once for each user object, as roles are read: a page asks several times, and it takes 5 ms. To be asked of
        jobs, not of ``values``.
        """
        if not user.is_authenticated:
            return self.none()
        if is_administrator(user):
            return self
        known: JobQuerySet | None = getattr(user, "_visible_jobs", None)
        if known is None:
            known = user._visible_jobs = Job.objects.filter(_seen_by(user))
        return self & known

    def active(self) -> JobQuerySet:
        """Return the jobs that are waiting or held by a worker."""
        return self.filter(state__in=ACTIVE)

    def active_of_all(self) -> JobQuerySet:
        """Return ``active``, to be read over all branches: looked up in the index of states alone.

        SQLite, which knows how many jobs a state has on average and not how few are active, would read every job.
        """
        return self.filter(pk__in=Job.objects.active().order_by().values("pk"))

    def left_something(self) -> JobQuerySet:
        """Return the jobs without those that were cancelled before their first step, which changed nothing."""
        return self.exclude(state=JobState.CANCELLED, step=0)

    def counts_by(self, field: str) -> dict[Any, int]:
        """Return each value of a field -> how many jobs have it, counted by the database."""
        rows = self.order_by().values_list(field).annotate(count=models.Count("pk"))
        return dict(rows)

    def held_by(self, attempt: int) -> JobQuerySet:
        """Return the jobs that a worker holds by this attempt: what its fenced writes may touch."""
        return self.filter(attempt=attempt, state__in=HELD)


class Job(models.Model):
    """One unit of queued work. The row is the truth; ``attempt`` is the fencing token of whoever holds it.

    ::

        QUEUED -> CLAIMED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED
                             RUNNING <-> PAUSED
                             RUNNING -> LOST -> QUEUED | FAILED      (silent worker)
                             RUNNING -> LOST -> RUNNING              (silent loop of one's own, until it speaks again)
                             RUNNING -> QUEUED                       (drained worker)
                             FAILED | CANCELLED -> QUEUED            (resumed at its newest checkpoint)
    """

    kind = models.CharField(max_length=16)
    queue = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    attempt = models.PositiveIntegerField(
        default=0, help_text="raised by each claim; every write of a worker carries it"
    )
    workers_lost = models.PositiveIntegerField(default=0, help_text="how often a worker fell silent with it")
    priority = models.SmallIntegerField(default=0, help_text="of those that wait, the highest is next")
    position = models.FloatField(
        null=True, help_text="where it was moved to among jobs of its priority; null: as submitted, by its id"
    )
    title = models.CharField(max_length=160)
    branch = models.ForeignKey("training.Branch", null=True, on_delete=models.CASCADE, related_name="jobs")
    checkpoint = models.ForeignKey(
        "training.Checkpoint",
        null=True,
        on_delete=models.SET_NULL,
        related_name="evaluation_jobs",
        help_text="evaluate, expand, replay: what it is about",
    )
    start_checkpoint = models.ForeignKey(
        "training.Checkpoint",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="train: where it began",
    )
    resume_checkpoint = models.ForeignKey(
        "training.Checkpoint",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="train: where the next attempt goes on",
    )
    spec = models.JSONField(help_text="acc.specs.TrainJobSpec, EvalSpec, or the parameters of its kind")
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="jobs")
    device = models.CharField(max_length=640, blank=True, help_text="all that it holds, its worker's first")
    lease_expires_at = models.DateTimeField(null=True)
    step = models.PositiveBigIntegerField(default=0)
    total_steps = models.PositiveBigIntegerField(default=0)
    steps_per_second = models.FloatField(null=True)
    points_seq = models.PositiveBigIntegerField(
        default=0, help_text="blocks of loss points written, over all attempts"
    )
    points_wall = models.FloatField(
        null=True, help_text="when the newest step was made, in seconds since the epoch"
    )
    preview = models.BooleanField(
        default=False, help_text="evaluate: of passing interest while training; lists leave it out"
    )
    message = CleanTextField(
        blank=True, help_text="a sentence for the user: why it failed, or what happened on the way"
    )
    traceback = CleanTextField(blank=True, limit=DETAIL_CHARS)
    result = CleanJSONField(default=dict)
    # Null where there is none: a constraint of unique pairs lets any number of nulls in.
    idempotency_key = models.CharField(  # noqa: DJ001
        max_length=80,
        null=True,
        help_text="of the request that submitted it: sent twice, it makes one job",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "queue"]),
            models.Index(fields=["state", "lease_expires_at"]),
            models.Index(fields=["branch", "kind", "state"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"], name="one_job_per_idempotency_key"
            )
        ]

    def __str__(self) -> str:
        return f"job {self.pk} {self.title}"

    @property
    def makes_points(self) -> bool:
        """Whether it is a training, of ACC or of a loop of one's own: what has curves."""
        return self.kind in TRAININGS

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    def get_state_display(self) -> str:  # type: ignore[no-redef]
        """Return its state in words, as everything shows it."""
        return self.words.label

    @property
    def words(self) -> StateWords:
        """Its state in words; the one place that knows, for pages, lists, API, socket and shell."""
        state = JobState(self.state)
        mark, label = str(state), str(state.label)
        silent = (
            state in HELD and self.lease_expires_at is not None and self.lease_expires_at < timezone.now()
        )
        if silent:
            mark, label = str(JobState.LOST), "not responding"
        diverged = state in TERMINAL and bool((self.result or {}).get("diverged"))
        if diverged:
            mark = DIVERGED if state == JobState.SUCCEEDED else mark
            label = "ended, diverged" if state == JobState.SUCCEEDED else f"{label}, diverged"
        rate = self.steps_per_second if state == JobState.RUNNING and not silent else None
        left = max(0, self.total_steps - self.step)
        return StateWords(
            mark=mark,
            label=label,
            attempt=self.attempt if self.attempt > 1 else 0,
            diverged=diverged,
            rate=rate,
            eta_seconds=left / rate if rate and self.total_steps else None,
        )


def ranks_in_words(first: int, count: int) -> str:
    """Return ``rank 2``, or ``ranks 2 to 5``."""
    return f"rank {first}" if count == 1 else f"ranks {first} to {first + count - 1}"


class JobPartQuerySet(models.QuerySet["JobPart"]):
    def live(self) -> JobPartQuerySet:
        """Return the parts that count: of an attempt that holds its job, and not ended."""
        held = self.filter(job__state__in=HELD, job__attempt=models.F("attempt"))
        return held.exclude(state=JobPart.State.ENDED)


class JobPart(models.Model):
    """The ranks of a job that a worker of another machine runs, for one attempt; the job's own worker runs the rest.

    A part counts only while that attempt holds the job, so whatever ends the attempt has ended its parts.
    """

    class State(models.TextChoices):
        WAITING = "WAITING", "waiting for its worker"
        JOINED = "JOINED", "joined"
        ENDED = "ENDED", "ended"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="parts")
    attempt = models.PositiveIntegerField()
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="parts")
    first_rank = models.PositiveSmallIntegerField()
    devices = models.JSONField(help_text="what its ranks compute on, one for each")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    lease_expires_at = models.DateTimeField()
    address = models.CharField(max_length=64, blank=True, help_text="host:port where rank 0 waits for it")
    resume_from = models.CharField(
        max_length=64, blank=True, help_text="sha256 of the checkpoint that this attempt goes on from"
    )
    draining = models.BooleanField(default=False, help_text="its worker is to shut down")
    lost = CleanTextField(blank=True, help_text="how it ended, if not with the job")
    error = CleanTextField(blank=True, help_text="what one of its ranks found wrong with the job")

    objects = JobPartQuerySet.as_manager()

    class Meta:
        ordering = ["first_rank"]
        constraints = [
            models.UniqueConstraint(fields=["job", "attempt", "first_rank"], name="one_part_per_rank")
        ]

    def __str__(self) -> str:
        return f"{self.ranks} of job {self.job_id}"

    @property
    def ranks(self) -> str:
        return ranks_in_words(self.first_rank, len(self.devices))


class JobEvent(models.Model):
    """Something asked of a running job, or that happened to it; drawn on its chart as a marker."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "waiting to be applied"
        APPLIED = "APPLIED", "applied"
        REFUSED = "REFUSED", "refused"
        RECORDED = "RECORDED", "recorded"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(
        max_length=32, help_text="acc.training.protocols.CommandKind, or state, alarm, note"
    )
    payload = CleanJSONField(default=dict)
    status = models.CharField(max_length=16, choices=Status, default=Status.RECORDED)
    message = CleanTextField(blank=True)
    step = models.PositiveBigIntegerField(null=True, help_text="the step before which it was applied")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "status"])]

    def __str__(self) -> str:
        return f"{self.kind} on job {self.job_id}"


class JobLog(models.Model):
    """What a process of a job printed, from byte ``start`` of all that it printed in one attempt, as it came.

    A stream is what one rank printed in one attempt. Its rows follow each other; where one begins behind the end of
    the one before it, what lies between was left out, see ``services.logs``.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log")
    attempt = models.PositiveIntegerField()
    rank = models.PositiveSmallIntegerField(default=0)
    start = models.PositiveBigIntegerField(help_text="bytes of the stream before it")
    size = models.PositiveIntegerField(help_text="its bytes")
    data = models.BinaryField()

    class Meta:
        ordering = ["job", "attempt", "rank", "start"]
        constraints = [
            models.UniqueConstraint(fields=["job", "attempt", "rank", "start"], name="one_log_row_per_start")
        ]

    def __str__(self) -> str:
        return f"job {self.job_id} attempt {self.attempt} rank {self.rank} from byte {self.start}"


class OutboxMessage(models.Model):
    """A doorbell to ring, written in the transaction that queued the job; what nobody hears is rung again."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="outbox")
    queue = models.CharField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)
    rung_at = models.DateTimeField(null=True)
    rings = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"doorbell for job {self.job_id}"
