"""Answers quick questions about the latents of checkpoints: ``python -m workers.latent``.

It only hands on. What a question is about is read and computed by a process of its own, a fork of this one, that is
kept while questions come: so a model that hangs or crashes takes nothing with it but its own answers, and what was
needed for one is given back to the machine. Nothing is written but decoders as files.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

YOUNG_SECONDS = 3.0
"""Nobody takes the place of a checkpoint that was asked about so short a while ago."""
NICENESS = 3  # training comes first
REST_SECONDS = 5.0
LOOK_SECONDS = 0.1
STUCK_SECONDS = 8.0
"""A process that has questions and has answered none for so long is not going to."""
OPENING_SECONDS = 60.0
"""So long it may take to read a checkpoint, which its first question waits for."""
PAUSE_SECONDS = 1.0
ENDED = "the process that reads this checkpoint ended ({how}); ask again, and it is read anew"
BUSY = "this checkpoint has more questions than it can answer; wait for a moment"
FULL = "as many checkpoints as this site keeps open are in use; wait for a moment, and ask again"
NO_PROCESS = "no process can be started for this checkpoint now ({why}); wait for a moment, and ask again"
STUCK = "the decoder of this checkpoint took longer than {seconds:g} s; it was ended"


@dataclass
class _Open:
    """A process that has a checkpoint open; waiting: ticket -> when it was handed on; heard: of its newest answer."""

    pid: int
    channel: socket.socket
    used: float = 0.0
    heard: float | None = None
    waiting: dict[str, float] = field(default_factory=dict)

    def patience(self) -> float:
        """Return how long it may go without an answer."""
        return OPENING_SECONDS if self.heard is None else STUCK_SECONDS

    def stuck(self, now: float) -> bool:
        since = max(min(self.waiting.values(), default=now), self.heard or 0.0)
        return now - since > self.patience()


class Desk:
    """Hands each question to the process of its checkpoint, and answers for those that can no longer."""

    def __init__(self) -> None:
        import redis
        from django.conf import settings

        self.client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REST_SECONDS + 5, socket_connect_timeout=1
        )
        self.most = settings.ACC_LATENT_CHECKPOINTS
        self.open: dict[str, _Open] = {}  # by the hash of the checkpoint's file

    def run(self) -> NoReturn:
        """Work until told to end."""
        import structlog
        from redis.exceptions import RedisError

        from accsite.apps.latent import desk
        from accsite.supervisor.health import say_alive

        log = structlog.get_logger("workers.latent")
        log.info("latent_serving")
        said = 0.0
        while True:
            say_alive()
            try:
                if time.monotonic() - said > REST_SECONDS - 1:
                    desk.say_alive(self.client)
                    said = time.monotonic()
                busy = any(each.waiting for each in self.open.values())
                message = desk.take(self.client, LOOK_SECONDS if busy else REST_SECONDS)
                if message is not None:
                    self.hand_on(message)
                self.look()
            except RedisError as error:
                log.info("latent_without_redis", error=str(error))
                time.sleep(PAUSE_SECONDS)
            except (ValueError, KeyError) as error:
                log.warning("latent_question_refused", error=str(error))

    def hand_on(self, message: bytes) -> None:
        """Give a question to the process that has its checkpoint open, or is to open it."""
        from accsite.apps.latent import desk

        asked, body = desk.unpack(message)
        now = time.monotonic()
        self.look()
        sha256 = asked["sha256"]
        message = desk.pack({**asked, "at": now}, body)
        for _ in range(2):
            try:
                known = self._opened(sha256, asked["checkpoint"])
            except OSError as error:  # of processes, memory or open files there are none left for it
                desk.answer(self.client, asked["ticket"], {"error": NO_PROCESS.format(why=error.strerror)})
                return
            if known is None:
                desk.answer(self.client, asked["ticket"], {"error": FULL})
                return
            known.used = known.waiting[asked["ticket"]] = now
            try:
                known.channel.send(message, socket.MSG_DONTWAIT)
                return
            except ConnectionError:  # it ended of rest a moment ago: another takes its place
                del known.waiting[asked["ticket"]]
                self._end(sha256, ENDED.format(how="at rest"))
            except OSError:
                del known.waiting[asked["ticket"]]
                desk.answer(self.client, asked["ticket"], {"error": BUSY})
                return

    def _opened(self, sha256: str, pk: int) -> _Open | None:
        """Return the process that has a checkpoint open, or a new one; None while all that may be are in use.

        One that rests may have to end for it, and no other: two who ask in turn would end each other's for ever.
        """
        if sha256 in self.open:
            return self.open[sha256]
        if len(self.open) >= self.most:
            now = time.monotonic()
            resting = [
                (each.used, name)
                for name, each in self.open.items()
                if not each.waiting and now - each.used > YOUNG_SECONDS
            ]
            if not resting:
                return None
            self._end(min(resting)[1], ENDED.format(how="for another"))
        self.open[sha256] = self._fork(pk)
        return self.open[sha256]

    def look(self) -> None:
        """Note what was answered, and answer for those that have ended or hang."""
        now = time.monotonic()
        for sha256, each in list(self.open.items()):
            with suppress(BlockingIOError, ConnectionError):
                while ticket := each.channel.recv(64, socket.MSG_DONTWAIT):
                    each.waiting.pop(ticket.decode(), None)
                    each.heard = now
            done, status = os.waitpid(each.pid, os.WNOHANG)
            if done:
                self._forget(sha256, ENDED.format(how=_how(os.waitstatus_to_exitcode(status))))
            elif each.stuck(now):
                self._end(sha256, STUCK.format(seconds=each.patience()))

    def close(self) -> None:
        """End what it has started, so that none is left to whoever is above."""
        for each in self.open.values():
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(each.pid, signal.SIGKILL)
                os.waitpid(each.pid, 0)

    def _end(self, sha256: str, why: str) -> None:
        os.kill(self.open[sha256].pid, signal.SIGKILL)
        os.waitpid(self.open[sha256].pid, 0)
        self._forget(sha256, why)

    def _forget(self, sha256: str, why: str) -> None:
        from accsite.apps.latent import desk

        gone = self.open.pop(sha256)
        gone.channel.close()
        for ticket in gone.waiting:
            desk.answer(self.client, ticket, {"error": why})

    def _fork(self, pk: int) -> _Open:
        from workers.zygote import require_forkable

        require_forkable()
        sys.stdout.flush()
        sys.stderr.flush()
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            mine.close()
            its.close()
            raise
        if pid == 0:
            mine.close()
            self._be(parent, pk, its)
        its.close()
        return _Open(pid, mine)

    def _be(self, parent: int, pk: int, channel: socket.socket) -> NoReturn:
        """Be the process of one checkpoint."""
        status = 1
        try:
            from setproctitle import setproctitle

            from workers import hands
            from workers.machine import processes

            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            processes.end_with(parent)
            for each in self.open.values():
                each.channel.close()
            self.client.connection_pool.disconnect()  # closes this copy; the other end is the parent's
            setproctitle(f"acc latent, checkpoint {pk}")
            hands.serve(pk, channel)
            status = 0
        except BaseException:
            import structlog

            structlog.get_logger("workers.latent").exception("latent_process_broke", checkpoint=pk)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _how(status: int) -> str:
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"


def _leave(*_: Any) -> NoReturn:
    raise SystemExit(0)


def main() -> int:
    """Import what checkpoints need, with one thread and no connection, and serve."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    from workers.fork.client import ONE_THREAD

    os.environ.update(ONE_THREAD)
    from workers import zygote

    zygote.preload()
    from django.db import connections

    import workers.hands  # noqa: F401 - so that forks have it

    connections.close_all()
    with suppress(OSError):
        os.nice(NICENESS)
    desk = Desk()
    try:
        desk.run()
    finally:
        desk.close()


if __name__ == "__main__":
    sys.exit(main())
