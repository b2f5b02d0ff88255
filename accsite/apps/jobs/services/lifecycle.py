"""The worker's side of a job's life: each move is one guarded UPDATE on state and attempt.

``states.TRANSITIONS`` is the only source of what may follow what. ``attempt`` is the fencing token: ``claim``
raises it, every later write carries it, and a write whose attempt no longer holds the job changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, JobEvent, Worker
from accsite.apps.jobs.services import leases, outbox, parts, placement
from accsite.apps.jobs.services.queueing import note
from accsite.apps.jobs.services.unit import announce, touch, unit_of_work
from accsite.apps.jobs.states import HELD, NEVER_BEGAN, RESUMABLE, TERMINAL, JobState, sources


@dataclass(frozen=True)
class Claim:
    """The right to work on a job until its lease ends."""

    job: Job
    attempt: int


@unit_of_work()
def claim(job_id: int, worker: Worker | str) -> Claim | None:
    """Return the claim of ``worker`` on a QUEUED job, or None if it is not to be had.

    None means: another was faster, the worker is draining, does not serve the job's queue or runs ranks of another
    job, its device does not suit, or an older train job of the same branch is not done (each goes on where the one
    before it ended). A train job that was never claimed begins at the branch's head as it is now.
    """
    job = Job.objects.filter(pk=job_id, state=JobState.QUEUED).first()
    name = worker.name if isinstance(worker, Worker) else worker
    holder = Worker.objects.filter(name=name, state=Worker.State.ONLINE).first()
    # A bell that was left in the broker may be for a job of another queue that has its number by now.
    if job is None or holder is None or job.queue not in holder.queues:
        return None
    placement.lock_machines(job, holder)
    places = None if placement.takes_part(holder) else placement.places_for(job, holder)
    if places is None:
        return None
    # How an earlier attempt ended stands among the events; it is nothing that this one says.
    changes: dict[str, Any] = {"message": "", "traceback": ""}
    begin = kinds.of(job).begin(job)
    if begin is None:
        return None
    won = _move(
        job,
        JobState.CLAIMED,
        raise_attempt=True,
        worker=holder,
        device=places[0].held,
        lease_expires_at=leases.end(),
        **{**changes, **begin},
    )
    if not won:
        return None
    job.outbox.all().delete()
    job.refresh_from_db()
    others = parts.share_out(job, places)
    told = f"on {name}" + (f", with {' and '.join(others)}" if others else "")
    note(job.pk, "state", {"state": job.state, "attempt": job.attempt}, told, job.step)
    announce(job)
    return Claim(job, job.attempt)


@unit_of_work()
def start(job_id: int, attempt: int) -> bool:
    """Move a claimed job to RUNNING; return False if it is no longer this attempt's."""
    job = Job.objects.get(pk=job_id)
    changes: dict[str, Any] = {} if job.started_at else {"started_at": timezone.now()}
    if not _move(job, JobState.RUNNING, attempt=attempt, only_from={JobState.CLAIMED}, **changes):
        return False
    announce(job)
    return True


def renew(job_id: int, attempt: int, lease_seconds: float | None = None) -> bool:
    """Put off the end of the lease; return False if the job is no longer this attempt's: then stop."""
    held = Job.objects.filter(pk=job_id).held_by(attempt)
    return bool(held.update(lease_expires_at=leases.end(lease_seconds)))


@unit_of_work()
def set_paused(job_id: int, attempt: int, paused: bool) -> bool:
    """Move between RUNNING and PAUSED; return False if the job is no longer this attempt's or already so."""
    job = Job.objects.get(pk=job_id)
    target, origin = (JobState.PAUSED, JobState.RUNNING) if paused else (JobState.RUNNING, JobState.PAUSED)
    if not _move(job, target, attempt=attempt, only_from={origin}):
        return False
    announce(job)
    return True


@unit_of_work()
def finish(job_id: int, attempt: int, result: dict[str, Any] | None = None, message: str = "") -> bool:
    """Move a running job to SUCCEEDED; return False if it is no longer this attempt's.

    A train job moves its branch's head to its final checkpoint and queues the measuring of it. message: why it
    ended sooner than it might have.
    """
    job = _locked(job_id)
    # What happened on the way to earlier attempts stands among the events; it is no part of how the job ended.
    outcome = {**(result or {}), **kinds.of(job).outcome(job)}
    if not _move(job, JobState.SUCCEEDED, attempt=attempt, result=outcome, message=message, **_ended()):
        return False
    _after_end(job, message or "done")
    return True


@unit_of_work()
def cancelled(job_id: int, attempt: int, result: dict[str, Any] | None = None, message: str = "") -> bool:
    """Move a job that was stopped on request to CANCELLED; return False if it is no longer this attempt's.

    What a stopped train job reached is kept: its branch goes on from the checkpoint it wrote when it stopped.
    """
    job = _locked(job_id)
    outcome = {**(result or {}), **kinds.of(job).outcome(job)}
    changes: dict[str, Any] = {"result": outcome, "message": message or "stopped on request"}
    if not _move(job, JobState.CANCELLED, attempt=attempt, only_from=HELD, **changes, **_ended()):
        return False
    _after_end(job, job.message)
    return True


@unit_of_work()
def fail(job_id: int, attempt: int, message: str, traceback: str = "") -> bool:
    """Move a job to FAILED with a sentence for the user; return False if it is no longer this attempt's."""
    job = Job.objects.get(pk=job_id)
    changes: dict[str, Any] = {"message": message, "traceback": traceback}
    if not _move(job, JobState.FAILED, attempt=attempt, only_from=HELD, **changes, **_ended()):
        return False
    _after_end(job, message)
    return True


@unit_of_work()
def hand_back(job_id: int, attempt: int, reason: str) -> bool:
    """Put a draining worker's job back into its queue; return False if it is no longer this attempt's."""
    job = Job.objects.get(pk=job_id)
    was_paused = job.state == JobState.PAUSED
    if not _move(job, JobState.QUEUED, attempt=attempt, only_from=HELD, message=reason, **_LET_GO):
        return False
    _requeue(job, reason, was_paused)
    return True


@unit_of_work()
def cancel_queued(job: Job, actor: Any = None) -> JobEvent | None:
    """Move a job that waits in its queue to CANCELLED and return the event; None if a worker was faster."""
    message = "cancelled while it waited" if job.attempt else NEVER_BEGAN
    if not _move(job, JobState.CANCELLED, only_from={JobState.QUEUED}, message=message, **_ended()):
        return None
    event = JobEvent.objects.create(
        job=job,
        kind="stop",
        status=JobEvent.Status.APPLIED,
        actor=actor,
        message=message,
        step=job.step,
        applied_at=timezone.now(),
    )
    _after_end(job, message)
    return event


@unit_of_work()
def queue_again(job: Job, reason: str, **changes: Any) -> bool:
    """Put a job that failed or was stopped back into its queue; return False if somebody else was faster."""
    begun: dict[str, Any] = {
        "finished_at": None,
        "workers_lost": 0,
        "traceback": "",
        "result": {},
        "message": reason,
    }
    if not _move(job, JobState.QUEUED, only_from=RESUMABLE, **begun, **_LET_GO, **changes):
        return False
    outbox.queue_up(job)
    announce(job)
    return True


def reap() -> list[int]:
    """Take jobs whose lease has ended from their workers, and mark silent workers; return the jobs' ids."""
    late = Job.objects.filter(leases.ended(), state__in=HELD).select_related("worker")
    taken = []
    for job in late:
        who = job.worker.name if job.worker else "its worker" if kinds.of(job).queue else "its loop"
        reason = f"{who} did not report for more than {settings.ACC_LEASE_SECONDS:g} s"
        # The lease is judged again by the update: a heartbeat in between saves the job.
        if lose(job.pk, job.attempt, reason, leases.ended()):
            taken.append(job.pk)
    _mark_silent_workers()
    return taken


@unit_of_work()
def go_on(job_id: int, attempt: int) -> bool:
    """Move a job that no worker does from its end back to RUNNING: its loop has spoken again; False if it runs."""
    job = Job.objects.get(pk=job_id)
    assert not kinds.of(job).queue, "a worker's job goes on through its queue"
    origins = {JobState.LOST, *RESUMABLE}
    begun: dict[str, Any] = {
        "finished_at": None,
        "message": "",
        "traceback": "",
        "lease_expires_at": leases.end(),
    }
    if not _move(job, JobState.RUNNING, attempt=attempt, only_from=origins, **begun):
        return False
    note(job.pk, "state", {"state": job.state, "attempt": attempt}, "its loop goes on", job.step)
    announce(job)
    return True


_LET_GO: dict[str, Any] = {"worker": None, "lease_expires_at": None, "steps_per_second": None}


def _locked(job_id: int) -> Job:
    """Return a job, what its end changes locked before its own row is."""
    job = Job.objects.get(pk=job_id)
    kinds.of(job).lock(job)
    return job


def _ended() -> dict[str, Any]:
    return {"finished_at": timezone.now(), "lease_expires_at": None}


def _move(
    job: Job,
    target: JobState,
    *,
    attempt: int | None = None,
    only_from: Iterable[JobState] | None = None,
    raise_attempt: bool = False,
    guard: Q | None = None,
    **changes: Any,
) -> bool:
    """Compare and set: return whether this call, and no other, moved the job; ``job`` then shows its row."""
    origins = sources(target) if only_from is None else sources(target) & frozenset(only_from)
    expected = job.attempt if attempt is None else attempt
    rows = Job.objects.filter(pk=job.pk, attempt=expected, state__in=origins).filter(guard or Q())
    if raise_attempt:
        changes["attempt"] = expected + 1
    if not rows.update(state=target, **changes):
        return False
    job.refresh_from_db()
    return True


@unit_of_work()
def lose(job_id: int, attempt: int, reason: str, guard: Q | None = None) -> bool:
    """Take the job from a worker that fell silent; return False if it is no longer this attempt's.

    It waits for another worker, which goes on at its newest checkpoint; after ACC_MAX_ATTEMPTS losses
    between which it did not get on (``Kind.got_on``) it fails. guard: what must hold of its row as well.
    """
    job = Job.objects.get(pk=job_id)
    was_paused = job.state == JobState.PAUSED
    losses = 1 if kinds.of(job).got_on(job) else job.workers_lost + 1
    if not _move(
        job, JobState.LOST, attempt=attempt, guard=guard, workers_lost=losses, message=reason, **_LET_GO
    ):
        return False
    if not kinds.of(job).queue:  # nobody else can do it; if its loop speaks again, it runs again
        Job.objects.filter(pk=job.pk).update(finished_at=timezone.now())
        _after_end(job, reason)
        return True
    note(job.pk, "state", {"state": JobState.LOST, "attempt": attempt}, reason, job.step)
    if losses >= settings.ACC_MAX_ATTEMPTS:
        message = f"given up after {losses} lost workers; the last: {reason}"
        _move(job, JobState.FAILED, attempt=attempt, message=message, **_ended())
        _after_end(job, message)
    else:
        _move(job, JobState.QUEUED, attempt=attempt, only_from={JobState.LOST})
        _requeue(job, reason, was_paused)
    return True


@unit_of_work()
def _mark_silent_workers() -> None:
    workers = Worker.objects.exclude(state=Worker.State.OFFLINE).exclude(leases.heard())
    if workers.exists() and workers.update(state=Worker.State.OFFLINE):
        touch("workers")


def _requeue(job: Job, reason: str, was_paused: bool) -> None:
    note(job.pk, "state", {"state": job.state, "attempt": job.attempt}, reason, job.step)
    if was_paused:  # the next attempt waits, as the user had asked of this one
        JobEvent.objects.create(
            job=job, kind="pause", status=JobEvent.Status.PENDING, message="was paused before"
        )
    outbox.queue_up(job)
    announce(job)


def _after_end(job: Job, message: str) -> None:
    """Settle what hangs on a job that has just ended."""
    assert JobState(job.state) in TERMINAL
    note(job.pk, "state", {"state": job.state, "attempt": job.attempt}, message, job.step)
    job.events.filter(status=JobEvent.Status.PENDING).update(
        status=JobEvent.Status.REFUSED, message="the job ended before this could be applied"
    )
    job.outbox.all().delete()
    kinds.of(job).ended(job)
    announce(job)
