"""What a kind of job is, and where the kinds are found; each app has one class for each of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from pydantic import BaseModel

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job
from accsite.errors import WrongState


class Kind:
    """What there is to know of the jobs of one kind: each hook is given the row of one.

    name: one word, at most 16 characters. queue: where its jobs wait, unless one is put elsewhere; empty: no worker
    does them, so there is no body. body: what a worker calls with the job's context, by its dotted name, since the
    site imports no workers; it proves what the kind promises. recorded: whether a process beside it keeps what its
    jobs hand over while they run. request: the shape in which the API is asked for one, with ``kind`` for its name;
    None when nobody may ask for it by that door, else ``submit`` makes the job.
    """

    name: ClassVar[str]
    queue: ClassVar[str]
    body: ClassVar[str]
    recorded: ClassVar[bool] = False
    request: ClassVar[type[BaseModel] | None] = None

    def submit(self, *, actor: Any, data: dict[str, Any], idempotency_key: str | None) -> Job:
        """Return a new job of what the API was asked for, ``data`` without its kind; raises InvalidInput."""
        raise NotImplementedError(f"{type(self).__name__} has a request, so it must define submit(...)")

    def begin(self, job: Job) -> dict[str, Any] | None:  # noqa: ARG002 - most kinds begin at any time
        """Return what a claim writes into the row besides, None if the job has to wait; within the claim."""
        return {}

    def before(self, job: Job) -> QuerySet[Job]:  # noqa: ARG002
        """Return the jobs that are to end before this one begins."""
        return Job.objects.none()

    def held_back(self) -> set[int]:
        """Return the ids of the queued jobs of the kind that wait for another job, whatever their places."""
        return set()

    def losses(self, job: Job) -> dict[str, float]:  # noqa: ARG002
        """Return the newest loss of each task by its name, of a kind that has any."""
        return {}

    def lock(self, job: Job) -> None:
        """Lock what the job's end changes, before the job itself is."""

    def lock_to_retry(self, job: Job) -> None:
        """Lock what asking the same again locks, before the job itself is."""
        self.lock(job)

    def outcome(self, job: Job) -> dict[str, Any]:  # noqa: ARG002
        """Return what the end of the job adds to its result."""
        return {}

    def ended(self, job: Job) -> None:
        """Settle what hangs on a job that has just ended; within its end."""

    def got_on(self, job: Job) -> bool:  # noqa: ARG002
        """Return whether the newest attempt did what none after it does again: losing it counts as the first loss."""
        return False

    def retry(self, *, actor: Any, job: Job) -> Job:  # noqa: ARG002
        """Return a new job that was asked the same; raises WrongState or InvalidInput if that is not possible."""
        raise self.cannot_retry(job, "what it was about is gone")

    def cannot_retry(self, job: Job, why: str) -> WrongState:
        """Return the error that says why a job cannot be tried again."""
        return WrongState({"job": f"job {job.pk} cannot be tried again: {why}"})


KINDS: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    KINDS.update({kind.name: kind for kind in kinds})


def of(job: Job) -> Kind:
    return KINDS[job.kind]


def named(name: Any, known: Mapping[str, Kind] = KINDS) -> Kind:
    """Return the kind of a name; raises InvalidInput with the names that there are."""
    if isinstance(name, str) and name in known:
        return known[name]
    raise InvalidInput(kind=f"{name!r} is not a kind of job here; choose one of: {', '.join(sorted(known))}")


def submittable() -> dict[str, Kind]:
    """Return the kinds that the API may be asked for, by name."""
    return {name: kind for name, kind in sorted(KINDS.items()) if kind.request is not None}


def queue_of(kind: str) -> str:
    """Return the queue in which jobs of a kind wait."""
    return KINDS[kind].queue


def queues() -> list[str]:
    """Return the queues that any kind of job uses, sorted."""
    return sorted({kind.queue for kind in KINDS.values() if kind.queue})
