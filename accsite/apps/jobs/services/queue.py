"""The order of the queues, as operators change it, and the job that a free worker takes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from acc.errors import InvalidInput
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors.queue import position, waiting
from accsite.apps.jobs.services import placement
from accsite.apps.jobs.services.unit import announce, unit_of_work
from accsite.apps.jobs.states import JobState
from accsite.errors import WrongState

Direction = Literal["first", "up", "down", "last"]
DIRECTIONS: tuple[Direction, ...] = ("first", "up", "down", "last")
PRIORITIES = (-100, 100)


@unit_of_work()
def set_priority(*, job: Job, priority: Any) -> Job:
    """Return the waiting job with another priority (-100 to 100, 0 by default): the highest is next.

    Raises InvalidInput (priority), WrongState for a job that does not wait.
    """
    least, most = PRIORITIES
    try:
        value = int(str(priority))
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise InvalidInput(priority=f"{priority!r} is refused; give a whole number from {least} to {most}")
    return _write(_waiting(job), priority=value, position=None)


@unit_of_work()
def move(*, job: Job, direction: str) -> Job:
    """Return the waiting job at another place of its queue: first, up, down or last.

    It takes on the priority of the jobs that it goes between. Raises InvalidInput (direction), WrongState for
    a job that does not wait.
    """
    if direction not in DIRECTIONS:
        raise InvalidInput({"direction": f"{direction!r} is refused; choose one of: {', '.join(DIRECTIONS)}"})
    job = _waiting(job)
    others = list(waiting(job.queue))
    now = next(index for index, other in enumerate(others) if other.pk == job.pk)
    del others[now]
    to = {"first": 0, "up": max(0, now - 1), "down": min(len(others), now + 1), "last": len(others)}[
        direction
    ]
    if to == now:
        return job
    before, after = others[to - 1] if to else None, others[to] if to < len(others) else None
    if before is None:
        assert after is not None
        return _write(job, priority=after.priority, position=position(after) - 1)
    if after is None or before.priority != after.priority:
        return _write(job, priority=before.priority, position=position(before) + 1)
    middle = (position(before) + position(after)) / 2
    if not position(before) < middle < position(after):  # one number twice, or two with no room between
        alike = [each for each in others if each.priority == before.priority]
        alike.insert(alike.index(after), job)
        middle = _number(alike)[job.pk]
    return _write(job, priority=before.priority, position=middle)


def next_for(worker: str, rung: int) -> int:
    """Return the id of the job that a free worker should take when job ``rung`` rings at its door.

    A doorbell says that there is work; which work is a matter of the queue's order. ``rung`` itself when
    nothing that this worker may take stands before it.
    """
    holder = Worker.objects.filter(name=worker).first()
    asked = Job.objects.filter(pk=rung).values_list("queue", flat=True).first()
    if holder is None or asked is None or placement.takes_part(holder):
        return rung
    held_back: dict[str, set[int]] = {}
    for job in waiting(asked):
        if job.kind not in held_back:
            held_back[job.kind] = kinds.of(job).held_back()
        if job.pk not in held_back[job.kind] and placement.suits(job, holder):
            return int(job.pk)
    return rung


def _number(jobs: Sequence[Job]) -> dict[int, float]:
    """Number the jobs of a priority anew in this order, by their own ids: what is submitted later still follows."""
    numbers = dict(zip((job.pk for job in jobs), sorted(float(job.pk) for job in jobs), strict=True))
    for job in jobs:
        job.position = numbers[job.pk]
    Job.objects.bulk_update(jobs, ["position"], batch_size=200)
    return numbers


def _waiting(job: Job) -> Job:
    current = Job.objects.select_for_update().get(pk=job.pk)
    if current.state != JobState.QUEUED:
        raise WrongState(
            job=f"job {job.pk} is {current.get_state_display()}; only one that waits has a place in a queue"
        )
    return current


def _write(job: Job, **changes: Any) -> Job:
    Job.objects.filter(pk=job.pk).update(**changes)
    for name, value in changes.items():
        setattr(job, name, value)
    announce(job)
    return job
