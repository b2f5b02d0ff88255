"""The other ranks of a job: forks of its process, made before it is claimed and told later what to train.

Rank 0 is the job's process: it claims, reports, hears and writes checkpoints. When another rank dies, the job is
taken from this worker like one whose process died, and goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from django.conf import settings
from setproctitle import setproctitle

from acc.errors import AccError, InvalidInput
from acc.training.ranks import RankLost, Ranks
from accsite.apps.training.errors import Fenced
from accsite.apps.training.models import Job, JobKind
from accsite.apps.training.services import lifecycle, placement
from accsite.logging import job_context
from workers import memory, processes
from workers.channel import Channel
from workers.durable import disconnect, insist

if TYPE_CHECKING:
    from workers.held import Held

WATCH_SECONDS = 0.2
ANSWER_SECONDS = 10.0
"""So long rank 0 may take to notice a loss by itself; one that waits in a GPU's kernel never does."""

LEFT_BEHIND = 75
"""Exit status of a rank that ends because another was lost."""

log = structlog.get_logger(__name__)


@dataclass
class Member:
    """Another rank, as rank 0 knows it. ended: how, in words, if it did not end well; first: by itself."""

    rank: int
    pid: int
    channel: Channel
    alive: bool = True
    ended: str = ""
    first: bool = False


class Team:
    """Rank 0's hold on the other ranks of its job; empty for a job of one."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.size = 1 + len(members)
        self._over = threading.Event()

    @classmethod
    def of(cls, job_id: int, worker: str) -> Team:
        """Fork the other ranks of a job, if it has any; this process may have one thread only."""
        row = Job.objects.filter(pk=job_id, kind=JobKind.TRAIN).values_list("spec", flat=True).first() or {}
        ranks = int((row.get("train") or {}).get("ranks", 1))
        if ranks == 1:
            return cls([])
        disconnect()
        members: list[Member] = []
        parent = os.getpid()
        for rank in range(1, ranks):
            ours, theirs = Channel.pair()
            pid = os.fork()
            if pid == 0:
                for channel in (ours, *(member.channel for member in members)):
                    channel.close()
                _be_member(parent, theirs, job_id, worker, (rank, ranks))
            theirs.close()
            members.append(Member(rank, pid, ours))
        return cls(members)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell every member what to train; one that is dead already is noticed later."""
        for member in self.members:
            with suppress(OSError):
                member.channel.send(message)

    def watch(self, on_hang: Callable[[str], None]) -> None:
        """Look after the members until ``dismiss``; ``on_hang``: one was lost and rank 0 has not noticed."""
        threading.Thread(target=self._watch, args=(on_hang,), name="ranks", daemon=True).start()

    def _watch(self, on_hang: Callable[[str], None]) -> None:
        still: dict[int, float] = {}
        lost_at: float | None = None
        while not self._over.wait(WATCH_SECONDS):
            now = time.monotonic()
            for member in self.members:
                self.reap(member)
                if member.alive and processes.is_stopped(member.pid):
                    since = still.setdefault(member.pid, now)
                    if now - since > settings.ACC_LEASE_SECONDS:
                        log.warning(
                            "rank_killed", rank=member.rank, hint="it was stopped for longer than a lease"
                        )
                        os.kill(member.pid, signal.SIGKILL)
                else:
                    still.pop(member.pid, None)
            if lost_at is None and any(member.ended for member in self.members):
                lost_at = now
            if lost_at is not None and now - lost_at > ANSWER_SECONDS and not self._over.is_set():
                on_hang(self.loss())

    def reap(self, member: Member) -> None:
        """Note how a member ended, if it has."""
        if not member.alive:
            return
        try:
            done, status = os.waitpid(member.pid, os.WNOHANG)
        except ChildProcessError:
            return  # the other thread was faster
        if done:
            member.alive = False
            code = os.waitstatus_to_exitcode(status)
            how = "lost the others" if code == LEFT_BEHIND else processes.describe_exit(code)
            member.ended = f"rank {member.rank} {how}" if code else ""
            member.first = code != LEFT_BEHIND

    def loss(self) -> str:
        """Return which members were lost and how; '' if none was."""
        for member in self.members:
            self.reap(member)
        ended = [member for member in self.members if member.ended]
        return "; ".join(member.ended for member in [each for each in ended if each.first] or ended)

    def complaint(self) -> str:
        """Return what a member said was wrong with the job itself; '' if none did."""
        for member in self.members:
            member.channel.socket.setblocking(False)
            with suppress(OSError):
                said = member.channel.receive()
                if said is not None:
                    return f"rank {member.rank}: {said['error']}"
        return ""

    def dismiss(self) -> None:
        """End every member that still runs."""
        self._over.set()
        for member in self.members:
            if member.alive:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(member.pid, signal.SIGKILL)
                    os.waitpid(member.pid, 0)
                member.alive = False
            member.channel.close()
        self.members = []


@contextmanager
def together(
    held: Held, device: str, told: dict[str, Any], *, save: Callable[[], None]
) -> Iterator[Ranks | None]:
    """Give rank 0 of a held job its place, or None if the job has one rank; see the others end on the way out.

    told: what the members need to know. save: keeps what was recorded, before the job is given back because a rank
    is lost. Raises AccError for what a member says is wrong with the job, Fenced after the job was given back.
    """
    from acc.training.launch import at_file, joined  # torch

    team = held.team
    if not team.members:
        yield None
        return
    import torch

    size = team.size
    devices = [device] * size if device == "cpu" else held.job.device.split(placement.BETWEEN)
    if len(devices) != size:
        raise InvalidInput(
            {"ranks": f"{size} ranks need as many GPUs, and the job was given {held.job.device}"}
        )
    meeting = held.scratch() / f"job-{held.job.pk}-{held.attempt}-ranks"
    meeting.unlink(missing_ok=True)

    def give_back(reason: str) -> None:
        lost = f"{reason} on {held.worker}; the job goes on from its last checkpoint"
        insist(partial(lifecycle.lose, held.job.pk, held.attempt, lost), given_up=held.lease.fenced)

    def hang(reason: str) -> None:
        log.error("ranks_hang", reason=reason)
        give_back(reason)
        os._exit(0)

    team.tell({**told, "attempt": held.attempt, "devices": devices, "meeting": str(meeting)})
    team.watch(hang)
    try:
        with joined(0, size, device=torch.device(devices[0]), store=at_file(meeting, size)) as ranks:
            yield ranks
    except RankLost as error:
        time.sleep(2 * WATCH_SECONDS)  # its connection breaks a moment before the process is gone
        complaint = team.complaint()
        if complaint:
            raise AccError(complaint) from error
        log.warning("rank_lost", error=str(error))
        with suppress(Exception):
            save()
        give_back(team.loss() or str(error))
        raise Fenced(held.job.pk, held.attempt) from error
    finally:
        team.dismiss()
        meeting.unlink(missing_ok=True)


def _be_member(parent: int, channel: Channel, job_id: int, worker: str, place: tuple[int, int]) -> NoReturn:
    """Wait for what to train, train it, and leave without the exit handlers of the parent."""
    status, (rank, size) = 1, place
    try:
        processes.end_with(parent)
        for number in (signal.SIGTERM, signal.SIGUSR1):  # rank 0 hears them, and tells
            signal.signal(number, signal.SIG_IGN)
        setproctitle(f"acc {worker}: job {job_id}, rank {rank}")
        told = channel.receive()
        if told is not None:
            from workers.follow import follow

            with job_context(job_id):
                follow(job_id, rank, told)
        status = 0
    except RankLost as error:
        log.warning("rank_lost", rank=rank, error=str(error))
        status = LEFT_BEHIND
    except BaseException as error:
        memory.lift()
        log.exception("rank_failed", rank=rank)
        with suppress(OSError):
            channel.send(
                {"error": str(error) if isinstance(error, AccError) else memory.in_words(error, ranks=size)}
            )
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
