"""Workers as they describe themselves: present, draining, gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.services import leases, lifecycle, outbox, parts
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.jobs.states import HELD
from accsite.errors import WrongState


@unit_of_work()
def register(
    *,
    name: str,
    hostname: str,
    pid: int,
    device: str,
    queues: Sequence[str],
    address: str = "",
    telemetry: dict[str, Any] | None = None,
) -> Worker:
    """Return the row of a worker that has just started, ONLINE.

    address: where ranks of other machines reach it; empty: its jobs stay on their machine.

    A worker that starts under the name of one that held jobs is its successor: those jobs are free at once, and
    what it ran of others is lost.
    One that was retired stays so. Raises InvalidInput (device) when another worker of this machine has the GPU.
    """
    if device.startswith("cuda") and not settings.ACC_SHARE_DEVICES:
        _only_one(name, hostname, device)
    before = Worker.objects.filter(name=name).first()
    retired = before is not None and before.state == Worker.State.RETIRED
    worker, _ = Worker.objects.update_or_create(
        name=name,
        defaults={
            "hostname": hostname,
            "address": address,
            "pid": pid,
            "device": device,
            "queues": list(queues),
            "state": Worker.State.RETIRED if retired else Worker.State.ONLINE,
            "telemetry": telemetry or {},
            "heartbeat_at": Now(),
            "started_at": timezone.now(),
        },
    )
    if before is not None and (before.pid, before.hostname) != (pid, hostname):
        for job in Job.objects.filter(worker=worker, state__in=HELD):
            lifecycle.lose(job.pk, job.attempt, f"{name} was started again while it held the job")
        for part in JobPart.objects.live().filter(worker=worker):
            parts.end(part, lost=f"{name} was started again while it ran {part.ranks}")
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
    if Worker.objects.filter(name=name).exclude(state=Worker.State.OFFLINE).update(**changes):
        return Worker.objects.filter(name=name).values_list("state", flat=True).first()
    if not Worker.objects.filter(name=name).update(**changes):
        return None
    _change(name, Worker.State.ONLINE)
    return Worker.State.ONLINE


def drain(*, name: str) -> None:
    """Let a worker take no more jobs until it is resumed or started again.

    Raises InvalidInput for a name that is not known, WrongState for a worker that has gone.
    """
    _change(name, Worker.State.DRAINING, only_from={Worker.State.ONLINE, Worker.State.DRAINING})


def resume(*, name: str) -> None:
    """Let a draining or retired worker take jobs again; raises InvalidInput, WrongState as ``drain`` does."""
    _change(
        name,
        Worker.State.ONLINE,
        only_from={Worker.State.ONLINE, Worker.State.DRAINING, Worker.State.RETIRED},
    )
    for queue in Worker.objects.get(name=name).queues:
        outbox.ring_waiting(queue)


def retire(*, name: str) -> None:
    """Let a worker take no more jobs, even when it is started again; it may finish the one it has.

    Raises InvalidInput for a name that is not known.
    """
    _change(name, Worker.State.RETIRED)


@unit_of_work()
def forget(*, name: str) -> None:
    """Delete the row of a worker that has gone; raises InvalidInput, or WrongState for one that still reports."""
    worker = find_worker(name)
    heard = Worker.objects.filter(leases.heard(), pk=worker.pk)
    if worker.state != Worker.State.OFFLINE and heard.exists():
        raise WrongState({"worker": f"{name!r} still reports; stop its process first, or retire it"})
    worker.delete()
    touch("workers")


def offline(*, name: str) -> None:
    """Note that a worker has gone; one that was retired stays so. Raises InvalidInput for an unknown name."""
    if find_worker(name).state != Worker.State.RETIRED:
        _change(name, Worker.State.OFFLINE)


@unit_of_work()
def _change(name: str, state: Worker.State, *, only_from: Collection[Worker.State] | None = None) -> None:
    now = Worker.State(find_worker(name).state)
    if only_from is not None and now not in only_from:
        raise WrongState({"worker": f"{name!r} is {now.label}; start its process first"})
    Worker.objects.filter(name=name).update(state=state)
    touch("workers")


def find_worker(name: str) -> Worker:
    """Return the worker of this name; raises InvalidInput naming those there are."""
    worker = Worker.objects.filter(name=name).first()
    if worker is None:
        known = ", ".join(Worker.objects.values_list("name", flat=True)) or "none"
        raise InvalidInput({"worker": f"{name!r} is not a worker of this site; known: {known}"})
    return worker


def _only_one(name: str, hostname: str, device: str) -> None:
    """Raise InvalidInput if another living worker of the machine is bound to the device."""
    living = Worker.objects.exclude(name=name).exclude(state=Worker.State.OFFLINE)
    other = living.filter(leases.heard(), hostname=hostname, device=device).first()
    if other is not None:
        raise InvalidInput(
            device=f"{device} of {hostname} is bound to {other.name} already; choose another, or set "
            "ACC_SHARE_DEVICES=1 to let workers share one"
        )
