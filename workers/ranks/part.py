"""Runs the part of a job whose rank 0 is on another machine: this process and its forks are ranks that follow.

What is asked of the job is asked of rank 0; of the part it is only seen that it still counts.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from setproctitle import setproctitle

from acc.training.ranks.group import RankLost
from accsite.apps.jobs.models import JobPart
from accsite.apps.jobs.services import parts
from accsite.logging import job_context
from workers.fork import copies
from workers.job import joblog
from workers.job.durable import disconnect, insist
from workers.job.lease import Lease
from workers.job.team import Team
from workers.ranks.follow import follow
from workers.ranks.members import fork_team, wrong

ASK_SECONDS = 0.1
HANDLED = 0

log = structlog.get_logger(__name__)


def main(part_id: int, worker: str) -> int:
    """Run a part that waits for ``worker``; return the exit status: 0 if its row says all."""
    copies.protect()
    for number in (signal.SIGTERM, signal.SIGUSR1):  # rank 0 hears of them, and tells
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    part = JobPart.objects.select_related("job").get(pk=part_id)
    first = part.first_rank
    setproctitle(f"acc {worker}: job {part.job_id}, {part.ranks}")
    with job_context(part.job_id):
        team = fork_team(part.job_id, worker, range(first + 1, first + len(part.devices)))
        try:
            if not insist(partial(parts.join, part)):
                log.info("not_joined", hint="joined already, or its job is not held any more")
                return HANDLED
            joblog.capture(worker, part.job_id, part.attempt, first)
            lease = Lease(part.job_id, part.attempt, partial(parts.renew, part))
            lease.when_fenced(_leave)
            with lease:
                _run(part, team)
            return HANDLED
        finally:
            team.dismiss()
            disconnect()


def _run(part: JobPart, team: Team) -> None:
    """Follow rank 0 to the end of the job, and write how the part ended."""

    def hang(reason: str) -> NoReturn:
        log.error("ranks_hang", reason=reason)
        insist(partial(parts.end, part, lost=reason, error=team.complaint()))
        os._exit(HANDLED)

    lost = error = ""
    try:
        told = _told(part)
        team.tell(told)
        team.watch(hang)
        follow(part.job_id, part.first_rank, told)
    except RankLost as reason:
        log.warning("rank_lost", error=str(reason))
        error, lost = team.reason(seconds=0.5)
        lost = lost or f"{part.ranks} {parts.LOST_OTHERS} on {team.worker}"
    except BaseException as broken:
        log.exception("rank_failed", rank=part.first_rank)
        error = f"rank {part.first_rank}: {wrong(broken, ranks=len(part.devices))}"
    insist(partial(parts.end, part, lost=lost, error=error))


def _told(part: JobPart) -> dict[str, Any]:
    """Wait until rank 0 has said where it is, and return what ranks need to know."""
    while True:
        with suppress(DatabaseError):
            part.refresh_from_db(fields=["address", "resume_from"])
            if part.address:
                break
        time.sleep(ASK_SECONDS)  # for ever, if need be: the lease ends what does not count any more
    disconnect()
    return {
        "attempt": part.attempt,
        "first": part.first_rank,
        "devices": part.devices,
        "size": part.job.spec["train"]["ranks"],
        "resume_from": part.resume_from,
        "meeting": part.address,
        "interface": settings.ACC_RANKS_INTERFACE,
    }


def _leave() -> NoReturn:
    """End this process and its forks where they stand: they keep nothing that could be lost."""
    os._exit(HANDLED)
