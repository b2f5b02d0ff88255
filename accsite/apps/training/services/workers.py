"""Workers as they describe themselves: present, draining, gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.training.models import Job, Worker
from accsite.apps.training.services import lifecycle
from accsite.apps.training.services.unit import touch, unit_of_work
from accsite.apps.training.states import HELD


@unit_of_work()
def register(
    *,
    name: str,
    hostname: str,
    pid: int,
    device: str,
    queues: Sequence[str],
    telemetry: dict[str, Any] | None = None,
) -> Worker:
    """Return the row of a worker that has just started, ONLINE.

    A worker that starts under the name of one that held jobs is its successor: those jobs are free at once.
    """
    before = Worker.objects.filter(name=name).first()
    worker, _ = Worker.objects.update_or_create(
        name=name,
        defaults={
            "hostname": hostname,
            "pid": pid,
            "device": device,
            "queues": list(queues),
            "state": Worker.State.ONLINE,
            "telemetry": telemetry or {},
            "heartbeat_at": Now(),
            "started_at": timezone.now(),
        },
    )
    if before is not None and (before.pid, before.hostname) != (pid, hostname):
        for job in Job.objects.filter(worker=worker, state__in=HELD):
            lifecycle.lose(job.pk, job.attempt, f"{name} was started again while it held the job")
    touch("workers")
    worker.refresh_from_db()
    return worker


def heartbeat(*, name: str, telemetry: dict[str, Any] | None = None) -> str | None:
    """Note that a worker is alive; return its state (DRAINING: take no more jobs), None if it is unknown.

    One that was taken for gone is ONLINE again.
    """
    changes: dict[str, Any] = {"heartbeat_at": Now()}
    if telemetry is not None:
        changes["telemetry"] = telemetry
    if Worker.objects.filter(name=name, state=Worker.State.OFFLINE).exists():
        _change(name, Worker.State.ONLINE)
    Worker.objects.filter(name=name).update(**changes)
    return Worker.objects.filter(name=name).values_list("state", flat=True).first()


def drain(*, name: str) -> None:
    """Let a worker take no more jobs; raises InvalidInput for a name that is not known."""
    _change(name, Worker.State.DRAINING)


def offline(*, name: str) -> None:
    """Note that a worker has gone; raises InvalidInput for a name that is not known."""
    _change(name, Worker.State.OFFLINE)


@unit_of_work()
def _change(name: str, state: Worker.State) -> None:
    if not Worker.objects.filter(name=name).update(state=state):
        known = ", ".join(Worker.objects.values_list("name", flat=True)) or "none"
        raise InvalidInput({"worker": f"{name!r} is not a worker of this site; known: {known}"})
    touch("workers")
