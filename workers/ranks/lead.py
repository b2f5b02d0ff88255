"""Rank 0 of a job of several: it claims, reports, hears and writes checkpoints, and brings the others together.

When another rank is lost, the job is taken from its worker like one whose process died, and goes on from its last
checkpoint.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import structlog
from django.conf import settings

from acc.errors import AccError, InvalidInput
from acc.training.ranks.group import RankLost, Ranks
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.services import parts, placement
from workers.job import promises
from workers.job.context import JobContext
from workers.job.durable import insist
from workers.job.elsewhere import Elsewhere
from workers.job.team import Team
from workers.machine.network import address_of
from workers.ranks.members import fork_team

REASON_SECONDS = 3.0
"""How long a lost rank may take to be known by name, before the job is given back with what its connection said."""

log = structlog.get_logger(__name__)


def fork_others(job_id: int, worker: str) -> Team:
    """Return forks for the other ranks that a job might have on this machine, if it has any; see ``settle``."""
    spec = Job.objects.filter(pk=job_id, kind=JobKind.TRAIN).values_list("spec", flat=True).first() or {}
    train = spec.get("train") or {}
    ranks = int(train.get("ranks", 1))
    row = Worker.objects.filter(name=worker).first()
    if ranks == 1 or row is None:
        return Team(worker)
    most = placement.capacity(train.get("device", "auto"), row)
    return fork_team(job_id, worker, range(1, min(ranks, most)))


def settle(team: Team, job: Job) -> None:
    """Learn which ranks of a job that was just claimed other machines run, and keep the forks for the rest."""
    ranks = int(job.spec["train"].get("ranks", 1)) if job.kind == JobKind.TRAIN else 1
    if ranks > 1:
        team.elsewhere = Elsewhere(job)
        team.keep(ranks - team.elsewhere.ranks)


@contextmanager
def together(
    context: JobContext, device: str, resume_from: str, *, save: Callable[[], None], drain: Callable[[], None]
) -> Iterator[Ranks | None]:
    """Give rank 0 of a claimed job its place, or None if the job has one rank; see the others end on the way out.

    resume_from: sha256 of the checkpoint that all go on from, '' for none. save: keeps what was recorded, before the
    job is given back because a rank is lost. drain: asks the trainer to put its work down, since the worker of
    another rank is to shut down. Raises AccError for what a rank says is wrong with the job, Fenced after the job was
    given back.
    """
    from acc.training.ranks.join import joined  # torch

    team = context.team
    if team.size == 1:
        yield None
        return
    import torch

    devices = [device] * team.here if device == "cpu" else context.job.device.split(placement.BETWEEN)
    if len(devices) != team.here:
        raise InvalidInput(
            {"ranks": f"{team.here} ranks need as many GPUs, and the job was given {context.job.device}"}
        )

    def hang(reason: str) -> None:
        log.error("ranks_hang", reason=reason)
        complaint = team.complaint()
        if complaint:
            promises.fail(context, complaint)
        else:
            promises.give_back(context, reason)
        os._exit(0)

    told: dict[str, Any] = {
        "attempt": context.attempt,
        "first": 0,
        "devices": devices,
        "size": team.size,
        "resume_from": resume_from,
    }
    with _meeting(context, told) as store:
        team.watch(hang, drain)
        try:
            with joined(
                0, team.size, device=torch.device(devices[0]), store=store(), interface=told["interface"]
            ) as ranks:
                yield ranks
        except RankLost as error:
            complaint, loss = team.reason(REASON_SECONDS)
            if complaint:
                raise AccError(complaint) from error
            log.warning("rank_lost", error=str(error))
            with suppress(Exception):
                save()
            elsewhere = team.elsewhere.named
            reason = loss or (f"the connection to {elsewhere} broke" if elsewhere else str(error))
            promises.give_back(context, reason)
            raise Fenced(context.job.pk, context.attempt) from error
        finally:
            team.dismiss()


@contextmanager
def _meeting(context: JobContext, told: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """Tell all other ranks where to meet, and give what makes rank 0's end of it."""
    from acc.training.ranks.join import LOOPBACK, at_file, at_socket

    team = context.team
    if not team.elsewhere.parts:
        file = context.scratch() / f"job-{context.job.pk}-{context.attempt}-ranks"
        file.unlink(missing_ok=True)
        told |= {"meeting": str(file), "interface": LOOPBACK}
        team.tell(told)
        try:
            yield partial(at_file, file, team.size)
        finally:
            file.unlink(missing_ok=True)
        return
    interface = settings.ACC_RANKS_INTERFACE
    listening = socket.create_server((address_of(interface), 0), backlog=team.size)
    address = "{}:{}".format(*listening.getsockname()[:2])
    told |= {"meeting": address, "interface": interface}
    team.tell(told)
    tell = partial(parts.tell, context.job, address=address, resume_from=told["resume_from"])
    insist(tell, given_up=context.lease.fenced)
    yield partial(at_socket, listening)
