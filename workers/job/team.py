"""The other ranks of a job, as the process knows them that leads those of its machine: its forks, and others."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from accsite.apps.jobs.services import parts
from workers.fork import copies
from workers.fork.channel import Channel
from workers.job.durable import disconnect
from workers.job.elsewhere import Elsewhere
from workers.machine import processes

WATCH_SECONDS = 0.2
ANSWER_SECONDS = 10.0
"""So long the leading rank may take to notice a loss by itself; one that waits in a GPU's kernel never does."""

FINISHED = 76
"""Exit status of a rank that did all it was asked; 0 would be that of a plugin which ends its process, too."""

LEFT_BEHIND = 75
"""Exit status of a rank that ends because another was lost."""

log = structlog.get_logger(__name__)


@dataclass
class Member:
    """Another rank on this machine. ended: how, in words, if it did not end well; first: by itself; said: why."""

    rank: int
    pid: int
    channel: Channel
    alive: bool = True
    ended: str = ""
    first: bool = False
    said: str = ""


class Team:
    """What a process that leads ranks on its machine knows of the job's others; empty for a job of one.

    elsewhere: those that other machines run, of which only rank 0 knows.
    """

    def __init__(self, worker: str = "", members: list[Member] | None = None) -> None:
        self.worker, self.members = worker, members or []
        self.elsewhere = Elsewhere()
        self._over = threading.Event()

    @property
    def here(self) -> int:
        """How many ranks this machine runs, the leading one among them."""
        return 1 + len(self.members)

    @property
    def size(self) -> int:
        return self.here + self.elsewhere.ranks

    def keep(self, ranks: int) -> None:
        """Let those members go that are not needed for ``ranks`` on this machine."""
        for member in self.members[ranks - 1 :]:
            _end(member)
        del self.members[ranks - 1 :]

    def tell(self, message: dict[str, Any]) -> None:
        """Tell every member what to train; one that is dead already is noticed later."""
        for member in self.members:
            with suppress(OSError):
                member.channel.send(message)

    def watch(self, on_hang: Callable[[str], None], on_drain: Callable[[], None] | None = None) -> None:
        """Look after the other ranks until ``dismiss``.

        on_hang: one was lost and this process has not noticed; on_drain: the worker of one is to shut down.
        """
        threading.Thread(target=self._watch, args=(on_hang, on_drain), name="ranks", daemon=True).start()

    def _watch(self, on_hang: Callable[[str], None], on_drain: Callable[[], None] | None) -> None:
        still: dict[int, float] = {}
        lost_at: float | None = None
        try:
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
                self._look_elsewhere()
                if on_drain is not None and self.elsewhere.draining:
                    on_drain()
                    on_drain = None
                loss = self.loss()
                lost_at = (lost_at or now) if loss else None
                if lost_at is not None and now - lost_at > ANSWER_SECONDS and not self._over.is_set():
                    on_hang(loss)
        finally:
            disconnect()

    def _look_elsewhere(self) -> None:
        try:
            self.elsewhere.look()
        except DatabaseError as error:
            log.warning("parts_not_read", error=str(error).strip())
            disconnect()

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
            how = parts.LOST_OTHERS if code == LEFT_BEHIND else processes.describe_exit(code)
            member.ended = "" if code == FINISHED else f"rank {member.rank} {how} on {self.worker}"
            member.first = code != LEFT_BEHIND

    def loss(self) -> str:
        """Return which ranks were lost and how, those that went first if that is known; '' if none was."""
        for member in self.members:
            self.reap(member)
        ended = [(member.ended, member.first) for member in self.members if member.ended]
        ended += self.elsewhere.lost()
        return "; ".join(how for how, _ in [each for each in ended if each[1]] or ended)

    def complaint(self) -> str:
        """Return what another rank said was wrong with the job itself; '' if none did."""
        for member in self.members:
            member.channel.socket.setblocking(False)
            with suppress(OSError):
                said = member.channel.receive()
                member.said = f"rank {member.rank}: {said['error']}" if said else member.said
        return next((member.said for member in self.members if member.said), self.elsewhere.complaint())

    def reason(self, seconds: float) -> tuple[str, str]:
        """Return (complaint, loss) once one of them is known, for ``seconds`` at most.

        A connection breaks a moment before its process is gone, and before another machine's worker has said so.
        """
        until = time.monotonic() + seconds
        while True:
            self._look_elsewhere()
            complaint, loss = self.complaint(), self.loss()
            if complaint or loss or time.monotonic() > until:
                return complaint, loss
            time.sleep(WATCH_SECONDS)

    def dismiss(self) -> None:
        """End every member that still runs."""
        copies.end_if_copy()
        self._over.set()
        for member in self.members:
            _end(member)
        self.members = []


def _end(member: Member) -> None:
    if member.alive:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(member.pid, signal.SIGKILL)
            os.waitpid(member.pid, 0)
        member.alive = False
    member.channel.close()
