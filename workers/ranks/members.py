"""The ranks that follow on the machine of the process that leads them: forks of it, told later what to train.

They are made before this process opens anything, and the kernel ends them with it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import structlog
from setproctitle import setproctitle

from acc.text import traceback_of
from acc.training.ranks.group import RankLost
from accsite.logging import job_context
from workers.fork import copies
from workers.fork.channel import Channel
from workers.job import joblog
from workers.job.durable import disconnect
from workers.job.team import FINISHED, LEFT_BEHIND, Member, Team
from workers.machine import memory, processes
from workers.ranks.follow import follow

log = structlog.get_logger(__name__)


def fork_team(job_id: int, worker: str, ranks: range) -> Team:
    """Fork a process for each of ``ranks``; this process may have one thread only."""
    disconnect()
    members: list[Member] = []
    parent = os.getpid()
    for rank in ranks:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            for channel in (ours, *(member.channel for member in members)):
                channel.close()
            _be_member(parent, theirs, job_id, worker, rank)
        theirs.close()
        members.append(Member(rank, pid, ours))
    return Team(worker, members)


def _be_member(parent: int, channel: Channel, job_id: int, worker: str, rank: int) -> NoReturn:
    """Wait for what to train, train it, and leave without the exit handlers of the parent."""
    status = 1
    here = 1
    try:
        processes.end_with(parent)
        copies.protect()
        for number in (signal.SIGTERM, signal.SIGUSR1):  # rank 0 hears them, and tells
            signal.signal(number, signal.SIG_IGN)
        setproctitle(f"acc {worker}: job {job_id}, rank {rank}")
        told = channel.receive()
        if told is not None:
            here = len(told["devices"])
            joblog.capture(worker, job_id, told["attempt"], rank)
            with job_context(job_id):
                follow(job_id, rank, told)
        status = FINISHED
    except RankLost as error:
        log.warning("rank_lost", rank=rank, error=str(error))
        status = LEFT_BEHIND
    except BaseException as error:
        log.exception("rank_failed", rank=rank)
        joblog.say(traceback_of(error))
        with suppress(OSError):
            channel.send({"error": wrong(error, ranks=here)})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wrong(error: BaseException, *, ranks: int) -> str:
    """Return in words what is wrong with a job, as one of its ``ranks`` on a machine found out."""
    memory.lift()
    return memory.in_words(error, ranks=ranks)
